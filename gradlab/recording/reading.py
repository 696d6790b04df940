"""The one moment at which the devices are waited for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.recording.calls import Call

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
