"""Gradients, weights and updates of parameters: sums of squares, on the device until the step has ended.

The gradient is read when a backward pass has ended, before anybody clips it. The update is measured against a copy of
the weights, so that it holds for any optimizer. Of a parameter with more than `SAMPLE` entries, every k-th entry is
copied, k without a common factor with the length of a row (all that belongs to one entry of the first dimension), so
that all rows and columns are sampled alike. The error of the update's norm is below 2 % where an update changes the
weights all over; it grows as the update is concentrated, to 15 % in an embedding of which few rows change. Weights and
gradients are summed up whole.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlab.recording.hooks import Hook
from gradlab.recording.native import HOOKS, KERNELS, Kernels, dense
from gradlab.recording.shelf import apart
from gradlab.recording.state import State
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
        self._batches: dict[tuple[int, ...], list[_Batch]] = {}
        self._gradients_now = np.zeros(count, dtype=bool)
        self._where = self._now.data_ptr(), self._gradients_now.ctypes.data
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
        if self.buffer is self._now:  # there is one optimizer
            self.has_gradient[:] = self._gradients_now
        elif indices:
            chosen = list(indices)
            self.has_gradient[chosen] = self._gradients_now[chosen]
            self.buffer[chosen] = self._now[chosen]

    # ---------------------------------------------------------------------------------------------------- gradients

    def with_gradient(self) -> nn.Parameter | None:
        """Some parameter whose gradient has been seen."""
        index = int(self._gradients_now.argmax()) if len(self.parameters) else -1
        return self.parameters[index] if index >= 0 and self._gradients_now[index] else None

    def gradients(self, indices: tuple[int, ...]) -> None:
        """Take Σ g² of some parameters; those without a gradient are passed over."""
        left: Sequence[int] = indices
        if self._kernels and HOOKS is not None:
            left = HOOKS.gradients(self.parameters, indices, *self._where)
        for index in left:
            if self.parameters[index].grad is not None:
                self.gradient(index)

    def gradient_hook(self, index: int, state: State, on_gradient: Hook) -> Any:
        """A hook that takes Σ g² of a parameter when its gradient is there; `on_gradient` takes any."""
        if not self._kernels or HOOKS is None:
            return on_gradient
        flag = self._gradients_now.ctypes.data + index
        return HOOKS.Gradient(state, on_gradient, self, int(self._addresses[index, GRADIENT]), flag)

    def gradient(self, index: int) -> None:
        """Take Σ g² of one parameter that has a gradient, dense or sparse."""
        gradient = self.parameters[index].grad
        assert gradient is not None
        if gradient.layout is not torch.strided:
            gradient = gradient.coalesce().values()  # entries of the same place add up first
        kernels = self._kernels.get(gradient.dtype)
        if kernels is not None and dense(gradient):
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
        batches = self._batched(indices)
        if not all(batch.find() for batch in batches):
            self._batches.clear()  # somebody has given a parameter data of another shape, format or device
            self._copies.clear()
            batches = self._batched(indices)
            for batch in batches:
                batch.find()
        for batch in batches:
            if not batch.call("remember", WEIGHT):
                for index in batch.indices:
                    self._statistics.sum_of_squares(self.parameters[index].detach(), self._slots[index][WEIGHT])
                    self._copies[index].copy_(self._sampled(index))
            self.has_weight[batch.numbers] = True

    def changes(self, indices: tuple[int, ...]) -> None:
        """Take Σ (w − copy)² of some parameters after an update; of a sample, for all of its kind."""
        wide = accumulator(self._device)
        for batch in self._batched(indices):
            if batch.find() and batch.call("changes", CHANGE):
                continue
            for index in batch.indices:
                sample = self._sampled(index)
                if sample.shape == self._copies[index].shape:
                    change = sample.to(wide) - self._copies[index].to(wide)
                    self._statistics.sum_of_squares(change, self._slots[index][CHANGE])
                else:
                    self.has_weight[index] = False

    def sampled_share(self) -> NDArray[np.float64]:
        """The share of each parameter's entries that an update is measured on."""
        shares = [-(-p.numel() // k) / max(p.numel(), 1) for p, k in zip(self.parameters, self._strides, strict=True)]
        return np.array(shares)

    def _sampled(self, index: int) -> Tensor:
        return self.parameters[index].detach().reshape(-1)[:: self._strides[index]]

    def _batched(self, indices: tuple[int, ...]) -> "list[_Batch]":
        """The copied ones among some parameters, by format; what no kernel reads has a format of its own."""
        if indices not in self._batches:
            batches: dict[torch.dtype | None, list[int]] = {}
            for index in indices:
                weight = self.parameters[index]
                if self._copied[index] and weight.numel():
                    readable = weight.dtype in self._kernels and dense(weight.detach())
                    batches.setdefault(weight.dtype if readable else None, []).append(index)
                    self._strides[index] = stride(weight)
                    if index not in self._copies:
                        size = -(-weight.numel() // self._strides[index])
                        self._copies[index] = apart(size, weight.dtype, self._device)
            self._batches[indices] = [
                _Batch(self, tuple(batch), None if dtype is None else self._kernels[dtype], dtype)
                for dtype, batch in batches.items()
            ]
        return self._batches[indices]


class _Batch:
    """Parameters of one format that a kernel reads in one call; without kernels there are none to call."""

    def __init__(
        self, weights: Weights, indices: tuple[int, ...], kernels: Kernels | None, dtype: torch.dtype | None
    ) -> None:
        self.indices = indices
        self.numbers = np.array(indices, dtype=np.intp)
        self._parameters = weights.parameters
        self._kernels = kernels
        self._dtype = dtype
        self._sizes = [weights.parameters[index].numel() for index in indices]
        table = [
            [0] * len(indices),
            self._sizes,
            [weights._strides[index] for index in indices],
            [weights._copies[index].data_ptr() for index in indices],
            weights._addresses[self.numbers, WEIGHT],
            weights._addresses[self.numbers, CHANGE],
        ]
        self._table = np.array(table, dtype=np.int64)  # the first row: where the entries lie now
        first, step = self._table.ctypes.data, self._table.strides[0]
        self._starts, self._lengths, *rest = (first + step * row for row in range(len(table)))
        self._rest = {WEIGHT: (*rest[:2], rest[2]), CHANGE: (*rest[:2], rest[3])}

    def find(self) -> bool:
        """Look where the entries lie, which may change at any time; whether they can be read as before."""
        if self._kernels is None:
            return all(self._parameters[index].numel() == n for index, n in zip(self.indices, self._sizes, strict=True))
        if HOOKS is not None:
            found: bool = HOOKS.starts(self._parameters, self.indices, self._dtype, self._lengths, self._starts)
            return found
        now = [self._parameters[index].detach() for index in self.indices]
        for w, size in zip(now, self._sizes, strict=True):
            if w.numel() != size or w.dtype is not self._dtype or not w.is_cpu or not dense(w):
                return False
        self._table[0] = [w.data_ptr() for w in now]
        return True

    def call(self, name: str, slot: int) -> bool:
        """Call a kernel, if there is one."""
        if self._kernels is None:
            return False
        getattr(self._kernels, name)(len(self.indices), self._starts, self._lengths, *self._rest[slot])
        return True


def stride(parameter: Tensor) -> int:
    """Of how many entries one is copied: 1 up to `SAMPLE`, then without a common factor with the length of a row."""
    k = -(-parameter.numel() // SAMPLE)
    if k <= 1:
        return 1
    row = parameter.numel() // parameter.shape[0]
    while math.gcd(k, row) > 1:
        k += 1
    return k
