"""The one moment at which devices are waited for: numbers on devices ─► arrays in main memory."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from gradlab.recording.sum_table import accumulator
from gradlab.statistics import Floats

Numbers = Tensor | Floats | float


def fetch(*groups: Sequence[Numbers]) -> list[list[Floats]]:
    """Vectors of float64, in the groups in which their numbers were given, with one transfer from each device."""
    arrays = _fetched([numbers for group in groups for numbers in group])
    return [[next(arrays) for _ in group] for group in groups]


def _fetched(numbers: Sequence[Numbers]) -> Iterator[Floats]:
    arrays: list[Floats] = [np.zeros(0)] * len(numbers)
    elsewhere: dict[torch.device, list[tuple[int, Tensor]]] = {}
    for index, each in enumerate(numbers):
        if not isinstance(each, Tensor):
            arrays[index] = each if isinstance(each, np.ndarray) else np.array([each])
        elif each.device.type == "cpu":
            arrays[index] = each.to(torch.float64).numpy().reshape(-1)
        else:
            elsewhere.setdefault(each.device, []).append((index, each.reshape(-1).to(accumulator(each.device))))
    for there in elsewhere.values():
        parts = torch.cat([vector for _, vector in there]).cpu().to(torch.float64).numpy()
        ends = np.cumsum([len(vector) for _, vector in there])[:-1]
        for (index, _), part in zip(there, np.split(parts, ends), strict=True):
            arrays[index] = part
    return iter(arrays)
