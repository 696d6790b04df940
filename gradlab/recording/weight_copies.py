"""Copies of weights, against which an update is measured, whatever the optimizer.

Of a parameter with more than `SAMPLE` entries, every k-th entry is copied, k without a common factor with the length of
a row (all that belongs to one entry of the first dimension), so that all rows and columns are sampled alike. The error
of the update's norm is below 2 % where an update changes the weights all over; it grows as the update is concentrated,
to 15 % in an embedding of which few rows change. Weights and gradients are summed up whole.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlab.recording.dense import real
from gradlab.recording.page_memory import empty_vector
from gradlab.recording.shards import local
from gradlab.recording.structure import is_lazy
from gradlab.recording.sum_table import SumTable
from gradlab.recording.torch_private_sharding import is_flattened

SAMPLE = 2**17
"""Entries of a parameter that are copied at most, half a MiB of float32."""


class WeightCopies:
    """Parameters of one device, and copies of some of their entries.

    Args:
        parameters: the parameters.
        sums: the table of their sums, a row each.

    Attributes:
        strides: for each parameter, of how many entries one is copied.
        copies: the copies, by number of parameter.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], sums: SumTable) -> None:
        self.parameters = list(parameters)
        self.sums = sums
        self.strides = [1 if is_lazy(parameter) else stride(parameter) for parameter in self.parameters]
        self.copies: dict[int, Tensor] = {}

    def make_room(self, number: int) -> None:
        """Make room for the copy of a parameter, where there is none for one of its size and format."""
        parameter, copy = self.parameters[number], self.copies.get(number)
        k = self.strides[number] = stride(parameter)
        size = -(-local(parameter).numel() // k) * (2 if parameter.is_complex() else 1)
        dtype = parameter.dtype.to_real()
        if copy is None or len(copy) != size or copy.dtype is not dtype:
            self.copies[number] = empty_vector(size, dtype, self.sums.device)

    def sample(self, number: int) -> Tensor:
        """The entries of a parameter that are copied."""
        return real(local(self.parameters[number]).detach().reshape(-1)[:: self.strides[number]]).reshape(-1)

    def sampled_share(self) -> NDArray[np.float64]:
        """The share of each parameter's entries that an update is measured on."""
        sizes = [0 if is_lazy(parameter) else local(parameter).numel() for parameter in self.parameters]
        pairs = zip(sizes, self.strides, strict=True)
        return np.array([-(-size // k) / size if size else 1.0 for size, k in pairs])


def stride(parameter: Tensor) -> int:
    """Of how many entries one is copied: 1 up to `SAMPLE`, then without a common factor with the length of a row."""
    parameter = local(parameter)
    k = -(-parameter.numel() // SAMPLE)
    if k <= 1:
        return 1
    row = 2 * 3 * 5 * 7 if is_flattened(parameter) else parameter.numel() // parameter.shape[0]
    while math.gcd(k, row) > 1:
        k += 1
    return k
