"""Gradients, weights and updates of parameters: sums of squares, on the device until the step has ended.

The gradient is read when a backward pass has ended, before anybody clips it. The update is measured against a copy of
the weights, so that it holds for any optimizer. Of a parameter with more than `SAMPLE` entries, every k-th entry is
copied, k odd and without a common factor with the rows' length: all rows and columns are sampled alike, and the
update's norm is within 1 % or so. Its weights and its gradient are summed up whole.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlab.recording.native import KERNELS
from gradlab.recording.shelf import apart
from gradlab.recording.statistics import Statistics, accumulator

SAMPLE = 2**17
"""Entries of a parameter that are copied at most, half a MiB of float32."""
LARGE = 2**16
"""Entries from which on a parameter's gradient is read as soon as it is there, while it may still be in the cache."""
GRADIENT, WEIGHT, CHANGE = range(3)
"""Columns of what is kept of a parameter."""


class Weights:
    """The parameters of a model on one device.

    Args:
        device: where they are.
        parameters: all that are recorded.
        copied: which of them are copied, for the update.
        apart: whether several optimizers update them, each of which sees the gradients of its own moment.

    Attributes:
        buffer: (parameters, 3) sums of squares, as each parameter's optimizer saw them.
        has_gradient: which parameters had a gradient then.
        has_weight: which of them have been looked at.
    """

    def __init__(
        self, device: torch.device, parameters: Sequence[nn.Parameter], copied: Sequence[bool], *, apart: bool = False
    ) -> None:
        self._device = device
        self.parameters = list(parameters)
        self._copied = list(copied)
        self._statistics = Statistics(device)
        self._kernels = KERNELS if device.type == "cpu" else {}
        count = len(self.parameters)
        self._now = torch.zeros(count, 3, dtype=accumulator(device), device=device)
        self.buffer = torch.zeros_like(self._now) if apart else self._now
        self._slots = [row.unbind() for row in self._now.unbind()]
        self._addresses = self._now.data_ptr() + 8 * np.arange(3 * count, dtype=np.int64).reshape(-1, 3)
        self._strides = [stride(parameter) for parameter in self.parameters]
        self._copies: dict[int, Tensor] = {}
        self._constants: dict[tuple[int, ...], NDArray[np.int64]] = {}
        self._batches: dict[tuple[int, ...], list[tuple[torch.dtype, list[int]]]] = {}
        self._gradients_now = np.zeros(count, dtype=bool)
        self.has_gradient = np.zeros(count, dtype=bool)
        self.has_weight = np.zeros(count, dtype=bool)
        numbered = list(enumerate(self.parameters))
        self.trainable = tuple(index for index, parameter in numbered if parameter.requires_grad)
        self.small = tuple(index for index in self.trainable if self.parameters[index].numel() < LARGE)
        self._frozen = [not parameter.requires_grad for parameter in self.parameters]
        self.look_at([index for index, frozen in enumerate(self._frozen) if frozen])

    def forget(self) -> None:
        """A step begins: no gradient has been seen. Frozen weights are what they were."""
        self._gradients_now[:] = False
        self.has_gradient[:] = False
        self.has_weight[:] = self._frozen

    def keep(self, indices: Sequence[int]) -> None:
        """These parameters' optimizer has done its step: what is added to their gradients now, it has not seen."""
        chosen = list(indices)
        self.has_gradient[chosen] = self._gradients_now[chosen]
        if self.buffer is not self._now and chosen:
            self.buffer[chosen] = self._now[chosen]

    # ---------------------------------------------------------------------------------------------------- gradients

    def with_gradient(self) -> nn.Parameter | None:
        """Some parameter whose gradient has been seen."""
        index = int(self._gradients_now.argmax()) if len(self.parameters) else -1
        return self.parameters[index] if index >= 0 and self._gradients_now[index] else None

    def gradients(self, indices: tuple[int, ...]) -> None:
        """Take Σ g² of some parameters; those without a gradient are passed over."""
        batches: dict[torch.dtype, tuple[list[int], list[int], list[int]]] = {}
        for index in indices:
            gradient = self.parameters[index].grad
            if gradient is None:
                continue
            if gradient.dtype in self._kernels and gradient.layout is torch.strided and gradient.is_contiguous():
                batch = batches.setdefault(gradient.dtype, ([], [], []))
                batch[0].append(index)
                batch[1].append(gradient.data_ptr())
                batch[2].append(gradient.numel())
            else:
                self.gradient(index)
        for dtype, (chosen, starts, sizes) in batches.items():
            arrays = np.array([starts, sizes, self._addresses[chosen, GRADIENT]], dtype=np.int64)
            first, step = arrays.ctypes.data, arrays.strides[0]
            self._kernels[dtype].sums_of_squares(len(chosen), first, first + step, first + 2 * step)
            self._gradients_now[chosen] = True

    def gradient(self, index: int) -> None:
        """Take Σ g² of one parameter that has a gradient, dense or sparse."""
        gradient = self.parameters[index].grad
        assert gradient is not None
        if gradient.layout is not torch.strided:
            gradient = gradient.coalesce().values()  # entries of the same place add up first
        kernels = self._kernels.get(gradient.dtype)
        if kernels is not None and gradient.is_contiguous():
            address = int(self._addresses[index, GRADIENT])
            kernels.sum_of_squares(gradient.data_ptr(), gradient.numel(), address)
        else:
            self._statistics.sum_of_squares(gradient.detach(), self._slots[index][GRADIENT])
        self._gradients_now[index] = True

    # ------------------------------------------------------------------------------------------ weights and updates

    def look_at(self, indices: Sequence[int]) -> None:
        """Take Σ w² of parameters that no optimizer updates."""
        for index in indices:
            self._statistics.sum_of_squares(self.parameters[index].detach(), self._slots[index][WEIGHT])
            self.has_weight[index] = True
        self.keep(indices)

    def remember(self, indices: tuple[int, ...]) -> None:
        """Take Σ w² of some parameters before an update, and copy them."""
        for dtype, batch in self._batched(indices):
            if dtype in self._kernels:
                self._call("remember", dtype, batch, WEIGHT)
            else:
                for index in batch:
                    self._statistics.sum_of_squares(self.parameters[index].detach(), self._slots[index][WEIGHT])
                    self._copies[index].copy_(self._sampled(index))
            self.has_weight[batch] = True

    def changes(self, indices: tuple[int, ...]) -> None:
        """Take Σ (w − copy)² of some parameters after an update; of a sample, for all of its kind."""
        for dtype, batch in self._batched(indices):
            if dtype in self._kernels:
                self._call("changes", dtype, batch, CHANGE)
                continue
            wide = accumulator(self._device)
            for index in batch:
                change = self._sampled(index).to(wide) - self._copies[index].to(wide)
                self._statistics.sum_of_squares(change, self._slots[index][CHANGE])

    def sampled_share(self) -> NDArray[np.float64]:
        """The share of each parameter's entries that an update is measured on."""
        shares = [-(-p.numel() // k) / max(p.numel(), 1) for p, k in zip(self.parameters, self._strides, strict=True)]
        return np.array(shares)

    def _sampled(self, index: int) -> Tensor:
        return self.parameters[index].detach().reshape(-1)[:: self._strides[index]]

    def _batched(self, indices: tuple[int, ...]) -> list[tuple[torch.dtype, list[int]]]:
        """The copied ones among some parameters, by format; what no kernel reads has a format of its own."""
        if indices not in self._batches:
            batches: dict[torch.dtype, list[int]] = {}
            for index in indices:
                weight = self.parameters[index]
                if self._copied[index] and weight.numel():
                    readable = weight.dtype in self._kernels and weight.is_contiguous()
                    batches.setdefault(weight.dtype if readable else torch.bool, []).append(index)
                    if index not in self._copies:
                        size = -(-weight.numel() // self._strides[index])
                        self._copies[index] = apart(size, weight.dtype, self._device)
            self._batches[indices] = list(batches.items())
        return self._batches[indices]

    def _call(self, name: str, dtype: torch.dtype, batch: list[int], slot: int) -> None:
        key = (slot, *batch)
        if key not in self._constants:
            rows = [
                [self.parameters[index].numel() for index in batch],
                [self._strides[index] for index in batch],
                [self._copies[index].data_ptr() for index in batch],
                self._addresses[batch, slot],
            ]
            self._constants[key] = np.array(rows, dtype=np.int64)
        constants = self._constants[key]
        # Where a weight lies may change at any time: somebody may have given it other data.
        starts = np.array([self.parameters[index].data_ptr() for index in batch], dtype=np.int64)
        first, step = constants.ctypes.data, constants.strides[0]
        rest = (first + step * row for row in range(len(constants)))
        getattr(self._kernels[dtype], name)(len(batch), starts.ctypes.data, *rest)


def stride(parameter: Tensor) -> int:
    """Of how many entries one is copied: 1 up to `SAMPLE` entries, then odd and coprime with the rows' length."""
    k = -(-parameter.numel() // SAMPLE)
    if k <= 1:
        return 1
    k += k % 2 == 0
    while math.gcd(k, parameter.shape[-1]) > 1:
        k += 2
    return k
