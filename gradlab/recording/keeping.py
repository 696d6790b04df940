"""What a recorded step leaves behind: copies of its numbers, made where they are, to be read when somebody asks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.recording.calls import Call, Calls
from gradlab.recording.records import Left
from gradlab.recording.shelf import Shelf
from gradlab.recording.weights import Weights


class Keeper:
    """Copies what outlives a step, and nothing twice that is as it was in the step before."""

    def __init__(self) -> None:
        self._shelf = Shelf()
        self._calls: list[Call] = []
        self._sizes: list[int] = []
        self._flags: list[tuple[bytes, bytes]] = []

    def kept(self, buffer: Tensor) -> Tensor | NDArray[np.float64]:
        """A copy of numbers that outlives the step."""
        return self._shelf.keep(buffer.numpy()) if buffer.dtype is torch.float64 and buffer.is_cpu else buffer.clone()

    def left(
        self,
        step: int,
        devices: Sequence[Calls],
        weights: Sequence[Weights],
        *,
        scale: Tensor | float,
        losses: Sequence[Tensor | float],
        pictures: Sequence[tuple[int, str, Tensor | NDArray[np.float64]]],
        units: Mapping[int, Mapping[str, float]],
        phases: Sequence[int],
        learning_rate: float,
        seconds: Callable[[], float],
    ) -> Left:
        """What a step has left; see `Left`.

        Args:
            step: its number.
            devices: the calls of each device.
            weights: the parameters of each device.
            scale: what the loss was multiplied with.
            losses: like all that follow, as in `Left`.
            pictures: …
            units: …
            phases: …
            learning_rate: …
            seconds: says what the hooks have cost, this copying included.
        """
        buffers = [device.buffer[: len(device.calls)] for device in devices] + [device.buffer for device in weights]
        tensors = [self.kept(buffer) for buffer in buffers]
        if isinstance(scale, Tensor):
            tensors.append(scale.reshape(1))
        self._calls = _same(self._calls, [call for device in devices for call in device.calls])
        self._sizes = _same(self._sizes, [size for device in devices for size in device.delta_sizes])
        self._flags = _same(
            self._flags, [(device.has_gradient.tobytes(), device.has_weight.tobytes()) for device in weights]
        )
        return Left(
            step=step,
            calls=self._calls,
            delta_sizes=self._sizes,
            flags=self._flags,
            tensors=tensors,
            losses=losses,
            scale=None if isinstance(scale, Tensor) else scale,
            pictures=pictures,
            units=units,
            phases=phases,
            learning_rate=learning_rate,
            seconds=seconds(),
        )


def _same(before: list[Any], now: list[Any]) -> list[Any]:
    """The list of before, if it is equal to that of now."""
    return before if before == now else now
