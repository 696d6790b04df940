"""The parameters on one device: sums of squares of gradients, weights and updates.

The gradients are read when a backward pass has ended, before anybody clips them. The update is measured against a copy
of the weights; see `weight_copies.py`.
"""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlab.recording.calls import Device
from gradlab.recording.hooks import Hook
from gradlab.recording.shards import local, may_be_shard
from gradlab.recording.sum_table import SumTable
from gradlab.recording.torch_private import version
from gradlab.recording.weight_copies import WeightCopies
from gradlab.statistics import PARAMETER_SUMS

GRADIENT = PARAMETER_SUMS.index("gradient_squares")
LARGE = 2**16
"""Entries from which on a parameter's gradient is read as soon as it is there, while it may still be in the cache."""


class DeviceParameters:
    """The parameters of a model on one device.

    Args:
        device: where they are.
        parameters: all that are recorded.
        readable: which of them have entries that can be summed up; of the others nothing is known.
        moved: which of them may be updated.
        copied: which of them are copied, for the update.
        several_optimizers: whether several optimizers update them. Each of these sees the gradients of its own moment.

    Attributes:
        weights: the parameters and the copies of their entries.
        sums: (parameters, `PARAMETER_SUMS`), as each parameter's optimizer saw them.
        has_gradient: which parameters had a gradient then.
        has_weight: for which parameters Σ w² is known.
        trainable: the numbers of the parameters that can be read and may be updated.
        small: the numbers of those with less than `LARGE` entries.
    """

    def __init__(
        self,
        device: Device,
        parameters: Sequence[nn.Parameter],
        readable: Sequence[bool],
        moved: Sequence[bool],
        copied: Sequence[bool],
        *,
        several_optimizers: bool,
    ) -> None:
        self._backend = device.backend
        self._copied = list(copied)
        table = SumTable(device.device, len(parameters), PARAMETER_SUMS)
        self.weights = WeightCopies(parameters, table)
        self._begun: set[tuple[int, ...]] = set()
        self._copied_numbers: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._copied_rows: dict[tuple[int, ...], NDArray[np.intp]] = {}
        self._gradient_seen = np.zeros(len(parameters), dtype=bool)
        self._seen_address = self._gradient_seen.ctypes.data
        self.sums = (
            SumTable(device.device, len(parameters), PARAMETER_SUMS).values if several_optimizers else table.values
        )
        self.has_gradient = np.zeros(len(parameters), dtype=bool)
        self._frozen = [can and not moves for can, moves in zip(readable, moved, strict=True)]
        self.has_weight = np.zeros(len(parameters), dtype=bool)
        self.trainable = tuple(n for n, moves in enumerate(moved) if readable[n] and moves)
        self.small = tuple(number for number in self.trainable if parameters[number].numel() < LARGE)
        self._noted: bytes | None = None
        self._witness: tuple[int, weakref.ref[Tensor], int] | None = None
        self.read_weights([number for number, frozen in enumerate(self._frozen) if frozen])

    def begin_step(self) -> None:
        """A step begins: no gradient has been seen. Frozen weights are what they were."""
        self.forget_gradients()
        self._begun.clear()
        self.has_gradient[:] = False
        self.has_weight[:] = self._frozen

    def seen_squares(self) -> Tensor:
        """Σ g² of all gradients that were seen, without waiting for the device."""
        return self.weights.sums.numbers[np.flatnonzero(self._gradient_seen), GRADIENT].sum()

    def forget_gradients(self) -> None:
        """The gradients that were seen are gone."""
        self._gradient_seen[:] = False
        self._noted = self._witness = None

    def keep_sums(self, numbers: Sequence[int]) -> None:
        """The optimizer of these parameters has done its step; it has not seen what is added to their gradients now."""
        seen = self._gradient_seen
        if self.sums is self.weights.sums.values:  # there is one optimizer
            self.has_gradient[:] = seen
        elif numbers:
            chosen = list(numbers)
            self.has_gradient[chosen] = seen[chosen]
            self.sums[chosen] = self.weights.sums.values[chosen]

    # ---------------------------------------------------------------------------------------------------- gradients

    def note_gradients(self) -> None:
        """A backward pass has ended: note which tensors the gradients are, as a step may change them."""
        self._noted = self._gradients_now()
        number = self._gradient_seen.tobytes().find(1)
        gradient = self.weights.parameters[number].grad if number >= 0 else None
        self._witness = None if gradient is None else (number, weakref.ref(gradient), version(local(gradient)))

    def gradients_are_gone(self) -> bool:
        """Whether no gradient is left of those that the last backward pass has left: all are None or zero."""
        if self._witness is not None:
            number, witness, when = self._witness
            gradient = self.weights.parameters[number].grad
            if gradient is not None and gradient is witness() and version(local(gradient)) == when:
                return False
        gradients = (self.weights.parameters[n].grad for n in np.flatnonzero(self._gradient_seen))
        return all(gradient is None or is_zero(gradient) for gradient in gradients)

    def read_changed_gradients(self, numbers: tuple[int, ...], scale: Tensor | float) -> None:
        """Take the gradients that are other tensors than those that the last backward pass has left.

        Args:
            numbers: the parameters.
            scale: what gradients would have to be multiplied with to be like those that backward passes leave.
        """
        noted, now = self._noted, self._gradients_now()
        if noted is not None and self._witness is not None:
            number, witness, _ = self._witness
            if witness() is not self.weights.parameters[number].grad:
                noted = None  # the tensor is gone, and another one may be where it was
        if now == noted:
            return
        differs = [True] * len(self._gradient_seen) if noted is None else _objects(now) != _objects(noted)
        changed = tuple(n for n in numbers if differs[n])
        self._gradient_seen[list(changed)] = False
        self.read_gradients(changed)
        if changed and (isinstance(scale, Tensor) or scale != 1):
            self.weights.sums.numbers[list(changed), GRADIENT] *= scale**2

    def _gradients_now(self) -> bytes:
        """Which tensor each parameter's gradient is."""
        found: bytes = self._backend.hooks.identities(self.weights.parameters, "grad")
        return found

    def read_gradients(self, numbers: tuple[int, ...]) -> None:
        """Take Σ g² of some parameters; those without a gradient are passed over."""
        sums, flags = self.weights.sums.base, self._seen_address
        for number in self._backend.hooks.gradients(self.weights.parameters, numbers, sums, flags):
            if self.weights.parameters[number].grad is not None:
                self.read_gradient(number)

    def read_gradient(self, number: int) -> None:
        """Take Σ g² of one parameter that has a gradient, dense or sparse."""
        gradient = self.weights.parameters[number].grad
        assert gradient is not None
        gradient = local(gradient)
        if gradient.layout is not torch.strided:
            gradient = gradient.coalesce().values()  # entries of the same place add up first
        self._backend.take_squares(gradient, self.weights.sums, number, "gradient_squares")
        self._gradient_seen[number] = True

    def gradient_hook(self, current: Any, number: int, on_gradient: Hook) -> Any:
        """A hook that takes Σ g² of a parameter when its gradient is there; `on_gradient` takes any."""
        table, seen = self.weights.sums, self._gradient_seen
        owner = (table.numbers, seen)  # a native hook writes into their memory
        sum_address, flag = table.address(number, "gradient_squares"), self._seen_address + number
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
        self._begun.add(numbers)
        copied = self._copied_among(numbers)
        self._backend.copy_weights(self.weights, copied)
        self.has_weight[self._copied_rows[numbers]] = True

    def after_update(self, numbers: tuple[int, ...]) -> None:
        """Take Σ (w − copy)² of some parameters, if they were copied: a closure may have made them."""
        if numbers not in self._begun:
            return
        for number in self._backend.compare_weights(self.weights, self._copied_among(numbers)):
            self.has_weight[number] = False

    def _copied_among(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        if numbers not in self._copied_numbers:
            parameters = self.weights.parameters  # one that is not copied may be lazy, and has no entries to count
            copied = [n for n in numbers if self._copied[n] and (parameters[n].numel() or may_be_shard(parameters[n]))]
            self._copied_numbers[numbers] = tuple(n for n in copied if local(parameters[n]).numel())
            self._copied_rows[numbers] = np.array(copied, dtype=np.intp)  # sums of an empty shard are 0
        return self._copied_numbers[numbers]


def _objects(identities: bytes) -> NDArray[np.uintp]:
    return np.frombuffer(identities, dtype=np.uintp)


def is_zero(gradient: Tensor) -> bool:
    """Whether a gradient is zero all over. It is asked where somebody has changed it without making a step of it."""
    gradient = local(gradient)  # to ask for all entries of a distributed tensor would be a collective operation
    values = gradient.coalesce().values() if gradient.layout is not torch.strided else gradient
    return not bool(values.any())
