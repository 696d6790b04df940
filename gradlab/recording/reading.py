"""The one moment of a step at which the devices are waited for."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.recording.calls import SLOTS, Call, Calls
from gradlab.recording.weights import Weights

Floats = NDArray[np.float64]


class Reading(NamedTuple):
    """What the devices held.

    Attributes:
        calls: every call, device by device.
        slots_CS: its row of sums.
        delta_sizes_C: entries of the gradient that it received.
        weights: the buffer of each device's parameters.
        extras: the tensors that were asked for.
    """

    calls: Sequence[Call]
    slots_CS: Floats
    delta_sizes_C: Floats
    weights: Sequence[Floats]
    extras: Sequence[Floats]


def read(
    calls: Mapping[torch.device, Calls], weights: Mapping[torch.device, Weights], extras: Sequence[Tensor]
) -> Reading:
    """Read what a step left on the devices, with one transfer from each.

    Args:
        calls: the rows of each device.
        weights: the parameters of each device.
        extras: other vectors to bring along.
    """
    tensors: list[Tensor] = [*(c.buffer[: len(c.calls)] for c in calls.values()), *(w.buffer for w in weights.values())]
    arrays = fetch([*tensors, *extras])
    slots, buffers = arrays[: len(calls)], arrays[len(calls) : len(tensors)]
    return Reading(
        [call for c in calls.values() for call in c.calls],
        np.concatenate([*(array.reshape(-1, SLOTS) for array in slots), np.zeros((0, SLOTS))]),
        np.array([size for c in calls.values() for size in c.delta_sizes], dtype=float),
        [array.reshape(-1, 3) for array in buffers],
        arrays[len(tensors) :],
    )


def fetch(tensors: Sequence[Tensor]) -> list[Floats]:
    """Vectors as float64 arrays in main memory, with one transfer from each device."""
    arrays: list[Floats] = [np.zeros(0)] * len(tensors)
    devices: dict[torch.device, list[int]] = {}
    for index, tensor in enumerate(tensors):
        if tensor.device.type == "cpu":
            arrays[index] = tensor.to(torch.float64).numpy().reshape(-1)
        else:
            devices.setdefault(tensor.device, []).append(index)
    for indices in devices.values():
        wide = torch.cat([tensors[index].reshape(-1).to(tensors[indices[0]].dtype) for index in indices]).cpu()
        parts = wide.to(torch.float64).numpy()
        ends = np.cumsum([tensors[index].numel() for index in indices])[:-1]
        for index, part in zip(indices, np.split(parts, ends), strict=True):
            arrays[index] = part
    return arrays
