"""Rows of sums in the memory of a device, where backends write them without waiting for the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

BYTES = 8
"""Of a sum in main memory."""


def accumulator(device: torch.device) -> torch.dtype:
    """The widest float format of a device."""
    return torch.float32 if device.type == "mps" else torch.float64


class SumTable:
    """A table of sums on a device.

    Args:
        device: where it is.
        rows: how many rows it has at first.
        names: the sums of a row, in order.

    Attributes:
        numbers: (rows, sums). They are not set to 0: a sum that counts is written before it is read.
        values: the same numbers: in main memory as an array, from which copies are made faster.
        base: the address of the first row.
    """

    def __init__(self, device: torch.device, rows: int, names: Sequence[str]) -> None:
        self.device = device
        self.names = tuple(names)
        self._slots = {name: BYTES * slot for slot, name in enumerate(self.names)}
        self._row_bytes = BYTES * len(self.names)
        self._allocate(rows)

    def _allocate(self, rows: int) -> None:
        self.numbers = torch.zeros(rows, len(self.names), dtype=accumulator(self.device), device=self.device)
        self.values: Any = self.numbers.numpy() if self.numbers.is_cpu else self.numbers
        self.base = self.numbers.data_ptr()
        self._views: dict[int, Mapping[str, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def grow(self) -> None:
        """Make room for as many rows again; those that are there stay."""
        before = self.numbers
        self._allocate(2 * len(before))
        self.numbers[: len(before)] = before

    def address(self, row: int, name: str | None = None) -> int:
        """Where a row lies, or a sum of it; for tables in main memory."""
        return self.base + self._row_bytes * row + (0 if name is None else self._slots[name])

    def sums(self, row: int) -> Mapping[str, Tensor]:
        """The sums of a row, each as a tensor without dimensions that can be written to."""
        views = self._views.get(row)
        if views is None:
            views = self._views[row] = dict(zip(self.names, self.numbers[row].unbind(), strict=True))
        return views
