"""The one moment at which the devices are waited for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.recording.calls import Call
from gradlab.recording.statistics import accumulator

Floats = NDArray[np.float64]


class Reading(NamedTuple):
    """The calls of a step.

    Attributes:
        calls: every call, device by device.
        slots_CS: its row of sums.
        delta_sizes_C: entries of the gradient that it received.
    """

    calls: Sequence[Call]
    slots_CS: Floats
    delta_sizes_C: Floats


def fetch(tensors: Sequence[Tensor | Floats]) -> list[Floats]:
    """Vectors as float64 arrays in main memory, with one transfer from each device; those that are stay as they are."""
    arrays: list[Floats] = [np.zeros(0)] * len(tensors)
    devices: dict[torch.device, list[int]] = {}
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            arrays[index] = tensor
        elif tensor.device.type == "cpu":
            arrays[index] = tensor.to(torch.float64).numpy().reshape(-1)
        else:
            devices.setdefault(tensor.device, []).append(index)
    for device, indices in devices.items():
        there = [torch.as_tensor(tensors[index]).reshape(-1).to(accumulator(device)) for index in indices]
        parts = torch.cat(there).cpu().to(torch.float64).numpy()
        ends = np.cumsum([len(tensor) for tensor in there])[:-1]
        for index, part in zip(indices, np.split(parts, ends), strict=True):
            arrays[index] = part
    return arrays
