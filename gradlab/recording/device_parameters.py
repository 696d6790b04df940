"""The parameters on one device: sums of squares of gradients, weights and updates.

The gradients are read when a backward pass has ended, before anybody clips them. The update is measured against a copy
of the weights; see `weight_copies.py`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from gradlab.recording.calls import Device
from gradlab.recording.hooks import Hook
from gradlab.recording.sum_table import SumTable
from gradlab.recording.weight_copies import WeightCopies
from gradlab.statistics import PARAMETER_SUMS

LARGE = 2**16
"""Entries from which on a parameter's gradient is read as soon as it is there, while it may still be in the cache."""


class DeviceParameters:
    """The parameters of a model on one device.

    Args:
        device: where they are.
        parameters: all that are recorded.
        copied: which of them are copied, for the update.
        several_optimizers: whether several optimizers update them. Each of these sees the gradients of its own moment.

    Attributes:
        weights: the parameters and the copies of their entries.
        sums: (parameters, `PARAMETER_SUMS`), as each parameter's optimizer saw them.
        has_gradient: which parameters had a gradient then.
        has_weight: for which parameters Σ w² is known.
        trainable: the numbers of the parameters that require a gradient.
        small: the numbers of those with less than `LARGE` entries.
    """

    def __init__(
        self, device: Device, parameters: Sequence[nn.Parameter], copied: Sequence[bool], *, several_optimizers: bool
    ) -> None:
        self._backend = device.backend
        self._copied = list(copied)
        table = SumTable(device.device, len(parameters), PARAMETER_SUMS)
        self.weights = WeightCopies(parameters, table)
        self._copied_numbers: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._gradient_seen = torch.zeros(len(parameters), dtype=torch.bool)
        self.sums = torch.zeros_like(table.numbers) if several_optimizers else table.numbers
        self.has_gradient = np.zeros(len(parameters), dtype=bool)
        self._frozen = [not parameter.requires_grad for parameter in parameters]
        self.has_weight = np.zeros(len(parameters), dtype=bool)
        self.trainable = tuple(number for number, frozen in enumerate(self._frozen) if not frozen)
        self.small = tuple(number for number in self.trainable if parameters[number].numel() < LARGE)
        self.read_weights([number for number, frozen in enumerate(self._frozen) if frozen])

    def begin_step(self) -> None:
        """A step begins: no gradient has been seen. Frozen weights are what they were."""
        self._gradient_seen.zero_()
        self.has_gradient[:] = False
        self.has_weight[:] = self._frozen

    def keep_sums(self, numbers: Sequence[int]) -> None:
        """The optimizer of these parameters has done its step; it has not seen what is added to their gradients now."""
        seen = self._gradient_seen.numpy()
        if self.sums is self.weights.sums.numbers:  # there is one optimizer
            self.has_gradient[:] = seen
        elif numbers:
            chosen = list(numbers)
            self.has_gradient[chosen] = seen[chosen]
            self.sums[chosen] = self.weights.sums.numbers[chosen]

    # ---------------------------------------------------------------------------------------------------- gradients

    def with_gradient(self) -> nn.Parameter | None:
        """Some parameter whose gradient has been seen."""
        seen = self._gradient_seen.numpy()
        number = int(seen.argmax()) if len(seen) else -1
        return self.weights.parameters[number] if number >= 0 and seen[number] else None

    def read_gradients(self, numbers: tuple[int, ...]) -> None:
        """Take Σ g² of some parameters; those without a gradient are passed over."""
        sums, flags = self.weights.sums.base, self._gradient_seen.data_ptr()
        for number in self._backend.hooks.gradients(self.weights.parameters, numbers, sums, flags):
            if self.weights.parameters[number].grad is not None:
                self.read_gradient(number)

    def read_gradient(self, number: int) -> None:
        """Take Σ g² of one parameter that has a gradient, dense or sparse."""
        gradient = self.weights.parameters[number].grad
        assert gradient is not None
        if gradient.layout is not torch.strided:
            gradient = gradient.coalesce().values()  # entries of the same place add up first
        self._backend.take_squares(gradient, self.weights.sums, number, "gradient_squares")
        self._gradient_seen[number] = True

    def gradient_hook(self, current: Any, number: int, on_gradient: Hook) -> Any:
        """A hook that takes Σ g² of a parameter when its gradient is there; `on_gradient` takes any."""
        table, seen = self.weights.sums, self._gradient_seen
        owner = (table.numbers, seen)  # a native hook writes into their memory
        sum_address, flag = table.address(number, "gradient_squares"), seen.data_ptr() + number
        return self._backend.hooks.Gradient(current, on_gradient, owner, sum_address, flag)

    # ------------------------------------------------------------------------------------------ weights and updates

    def read_weights(self, numbers: Sequence[int]) -> None:
        """Take Σ w² of parameters that no optimizer updates."""
        for number in numbers:
            self._backend.take_squares(self.weights.parameters[number], self.weights.sums, number, "weight_squares")
            self.has_weight[number] = True
        self.keep_sums(numbers)

    def before_update(self, numbers: tuple[int, ...]) -> None:
        """Take Σ w² of some parameters, and copy them."""
        copied = self._copied_among(numbers)
        self._backend.copy_weights(self.weights, copied)
        self.has_weight[list(copied)] = True

    def after_update(self, numbers: tuple[int, ...]) -> None:
        """Take Σ (w − copy)² of some parameters."""
        for number in self._backend.compare_weights(self.weights, self._copied_among(numbers)):
            self.has_weight[number] = False

    def _copied_among(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        if numbers not in self._copied_numbers:
            copied = (n for n in numbers if self._copied[n] and self.weights.parameters[n].numel())
            self._copied_numbers[numbers] = tuple(copied)
        return self._copied_numbers[numbers]
