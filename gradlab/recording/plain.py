"""The plain backend: sums of tensors by PyTorch's own operators, on any device and of any format.

Every sum is written into a table on the tensor's device, so that nothing waits for the device. Accumulation is in
float64: squares of float32 values below 1e-23 are 0 in float32, and a one-pass float32 standard deviation is off by
half where the mean is large. (MPS has no float64; there float32 has to do.)

The operators are chosen by measurement: `amin` and `amax` instead of `aminmax`, `eq(out=)` and `sum` instead of
`count_nonzero`, `mul` and `sum` instead of `dot`, which wakes BLAS threads for small vectors; and working memory is
kept instead of allocated each time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gradlab.networks.activations import Intervals
from gradlab.recording import python_hooks
from gradlab.recording.dense import real
from gradlab.recording.hooks import OutputMethods
from gradlab.recording.modules import RecordedModule
from gradlab.recording.shards import local
from gradlab.recording.sum_table import SumTable, accumulator
from gradlab.recording.weight_copies import WeightCopies

BINS = 64
"""Bins of a histogram."""


class Plain:
    """Takes sums of tensors on one device, in working memory that grows to the largest of them.

    Args:
        device: where the tensors are.
    """

    hooks = python_hooks

    def __init__(self, device: torch.device) -> None:
        self._dtype = accumulator(device)
        self._capacity = 0
        self._wide = torch.empty(0, dtype=self._dtype, device=device)
        self._spare = torch.empty_like(self._wide)

    # ------------------------------------------------------------------------------------------------ see `Backend`

    def take_output(self, x: Tensor, h: Tensor | None, saturation: Intervals | None, table: SumTable, row: int) -> None:
        """See `Backend`."""
        sums = table.sums(row)
        self.output(real(x.detach()), sums)
        if h is not None and saturation is not None:
            self.count_inside(real(h.detach()), saturation, sums["saturated"])

    def take_squares(self, x: Tensor, table: SumTable, row: int, name: str) -> None:
        """See `Backend`."""
        self.sum_of_squares(real(local(x).detach()), table.sums(row)[name])

    def copy_weights(self, weights: WeightCopies, numbers: Sequence[int]) -> None:
        """See `Backend`."""
        for number in numbers:
            self.take_squares(weights.parameters[number], weights.sums, number, "weight_squares")
            weights.make_room(number)
            weights.copies[number].copy_(weights.sample(number))

    def compare_weights(self, weights: WeightCopies, numbers: Sequence[int]) -> Sequence[int]:
        """See `Backend`."""
        changed_shape = []
        for number in numbers:
            sample, copy = weights.sample(number), weights.copies[number]
            if sample.shape == copy.shape:
                change = sample.to(self._dtype) - copy.to(self._dtype)
                self.take_squares(change, weights.sums, number, "change_squares")
            else:
                changed_shape.append(number)
        return changed_shape

    def histogram(self, x: Tensor) -> Tensor:
        """See `Backend`."""
        return histogram(x)

    def output_hook(
        self, current: Any, module: RecordedModule, methods: OutputMethods, *, has_own_outputs: bool
    ) -> Any:
        """See `Backend`."""
        return methods.on_output

    # -------------------------------------------------------------------------------------------------------- sums

    def output(self, x: Tensor, sums: Mapping[str, Tensor]) -> None:
        """Take the sums of an output: a line each.

        Two passes: the squares are taken around the mean, so that a small spread on a large mean survives. NaN in the
        tensor is NaN in all but the number of zeros.

        Args:
            x: any floating-point tensor with at least one element.
            sums: 0-d tensors to write to.
        """
        wide, spare = self._widen(x)
        mean = torch.sum(wide, dim=0, out=sums["mean"]).div_(x.numel())
        torch.amin(wide, 0, out=sums["minimum"])
        torch.amax(wide, 0, out=sums["maximum"])
        torch.sum(torch.eq(wide, 0, out=spare), dim=0, out=sums["zeros"])
        torch.sum(torch.sub(wide, mean, out=spare).square_(), dim=0, out=sums["centred_squares"])

    def count_inside(self, x: Tensor, intervals: Sequence[tuple[float, float]], count: Tensor) -> None:
        """How many entries lie inside any of some disjoint open intervals; infinity does in one up to it, NaN in none.

        The two shapes that activations have most, one flat side and two alike, are counted with fewer operators.
        """
        wide, spare = self._widen(x)
        match intervals:
            case [(low, edge)] if low == -torch.inf:
                torch.sum(torch.lt(wide, edge, out=spare), dim=0, out=count)
            case [(low, left), (right, high)] if left == -right and high == -low == torch.inf:
                torch.gt(torch.abs(wide, out=spare), right, out=spare)
                torch.sum(spare, dim=0, out=count)
            case _:
                count.zero_()
                for low, high in intervals:
                    above = wide >= low if low == -torch.inf else wide > low
                    below = wide <= high if high == torch.inf else wide < high
                    count += torch.mul(above, below, out=spare).sum()

    def sum_of_squares(self, x: Tensor, squares: Tensor) -> None:
        """Σ x²."""
        wide, spare = self._widen(x)
        torch.sum(torch.mul(wide, wide, out=spare), dim=0, out=squares)

    def _widen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The entries of a tensor as a vector of accumulators, not to be written to, and a vector like it that is."""
        size = x.numel()
        if size > self._capacity:
            self._capacity = size
            self._wide, self._spare = self._wide.new_empty(size), self._spare.new_empty(size)
        spare = self._spare[:size]
        if x.dtype == self._dtype:
            return x.reshape(-1), spare
        wide = self._wide[:size]
        wide.copy_(x.reshape(-1))
        return wide, spare


def histogram(x: Tensor) -> Tensor:
    """Equal bins between the smallest and the largest finite entry.

    Returns:
        `[low, high, non_finite, count_0, …]`, `3 + BINS` accumulators on the tensor's device. Without a finite entry,
        low is +inf and high −inf. Where all are equal, they are in the first bin.
    """
    wide = real(x.detach()).to(accumulator(x.device)).reshape(-1)
    finite = torch.isfinite(wide)
    low = torch.where(finite, wide, torch.inf).amin()
    high = torch.where(finite, wide, -torch.inf).amax()
    scaled = (wide - low) / (high - low) * BINS
    bins = torch.where(finite, scaled, 0).nan_to_num(0).clamp(0, BINS - 1).long()
    counts = torch.zeros(BINS, dtype=wide.dtype, device=wide.device)
    counts.scatter_add_(0, bins, finite.to(wide.dtype))
    non_finite = wide.numel() - finite.sum()
    return torch.cat([torch.stack([low, high, non_finite.to(wide.dtype)]), counts])
