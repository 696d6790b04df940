"""The native backend: kernels for dense tensors in main memory, and hooks in C. The plain backend does all the rest."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.networks.activations import Intervals
from gradlab.recording.dense import dense
from gradlab.recording.hooks import OutputMethods
from gradlab.recording.modules import RecordedModule, may_call_functions
from gradlab.recording.native import FORMATS, Kernels, Library
from gradlab.recording.plain import BINS, Plain
from gradlab.recording.sum_table import SumTable
from gradlab.recording.weight_copies import WeightCopies


class Native:
    """Takes sums of tensors in main memory; see `Backend`.

    Args:
        library: the native library.
        plain: takes sums of what the kernels cannot read.
    """

    def __init__(self, library: Library, plain: Plain) -> None:
        self._kernels = library.kernels
        self.hooks = library.hooks
        self._plain = plain
        self._tables: dict[tuple[int, ...], tuple[list[_WeightTable], list[int]]] = {}
        self._tables_are_of: WeightCopies | None = None
        self._edges: dict[tuple[torch.dtype, Intervals], NDArray[np.floating]] = {}

    def take_output(self, x: Tensor, h: Tensor | None, saturation: Intervals | None, table: SumTable, row: int) -> None:
        """See `Backend`."""
        kernels = self._kernels_for(x)
        if kernels is None or (h is not None and (h.dtype is not x.dtype or not dense(h))):
            self._plain.take_output(x, h, saturation, table, row)
        elif h is None or saturation is None:
            kernels.output(x.data_ptr(), x.numel(), table.address(row))
        else:
            edges, count = self._limits(x.dtype, saturation)
            sums = table.address(row)
            kernels.activation(x.data_ptr(), x.numel(), h.data_ptr(), h.numel(), edges, count, sums)

    def take_squares(self, x: Tensor, table: SumTable, row: int, name: str) -> None:
        """See `Backend`."""
        kernels = self._kernels_for(x)
        if kernels is None:
            self._plain.take_squares(x, table, row, name)
        else:
            kernels.sum_of_squares(x.data_ptr(), x.numel(), table.address(row, name))

    def copy_weights(self, weights: WeightCopies, numbers: tuple[int, ...]) -> None:
        """See `Backend`."""
        if weights is not self._tables_are_of:
            self._tables_are_of = weights
            self._tables.clear()
        tables, _ = self._tables.get(numbers, ((), ()))
        if not all(table.find() for table in tables):
            self._tables.clear()  # somebody has given a parameter data of another shape, format or device
        if numbers not in self._tables:
            self._tables[numbers] = self._tables_of(weights, numbers)
        tables, others = self._tables[numbers]
        for table in tables:
            table.copy()
        self._plain.copy_weights(weights, others)

    def compare_weights(self, weights: WeightCopies, numbers: tuple[int, ...]) -> Sequence[int]:
        """See `Backend`."""
        tables, others = self._tables.get(numbers, ((), numbers))
        left = list(others)
        for table in tables:
            if table.find():
                table.compare()
            else:
                left += table.numbers
        return self._plain.compare_weights(weights, left)

    def _tables_of(self, weights: WeightCopies, numbers: Sequence[int]) -> "tuple[list[_WeightTable], list[int]]":
        """Tables of the weights that kernels can read, one for each format; and the others."""
        by_format: dict[torch.dtype, list[int]] = {}
        tables: list[_WeightTable] = []
        others: list[int] = []
        for number in numbers:
            weights.make_room(number)
            weight = weights.parameters[number].detach()
            (by_format.setdefault(weight.dtype, []) if self._kernels_for(weight) else others).append(number)
        for dtype, chosen in by_format.items():
            table = _WeightTable(weights, tuple(chosen), dtype, self._kernels[dtype], self.hooks.starts)
            if table.find():
                tables.append(table)
            else:
                others += chosen
        return tables, others

    def histogram(self, x: Tensor) -> Tensor:
        """See `Backend`."""
        kernels = self._kernels_for(x)
        if kernels is None:
            return self._plain.histogram(x)
        out = torch.empty(3 + BINS, dtype=torch.float64)
        kernels.histogram(x.data_ptr(), x.numel(), BINS, out.data_ptr())
        return out

    def output_hook(
        self, current: Any, module: RecordedModule, methods: OutputMethods, *, has_own_outputs: bool
    ) -> Any:
        """See `Backend`."""
        if module.in_place or (module.kind == "other" and may_call_functions(module.module)):
            return methods.on_output
        edges = (0, 0, -1)
        if module.saturation is not None:
            (narrow, count), (wide, _) = (self._limits(dtype, module.saturation) for dtype in FORMATS)
            edges = (narrow, wide, count)
        return self.hooks.Output(current, *methods, edges, has_own_outputs)

    def _kernels_for(self, x: Tensor) -> Kernels | None:
        """The kernels that can read a tensor."""
        kernels = self._kernels.get(x.dtype)
        return kernels if kernels is not None and x.is_cpu and dense(x) else None

    def _limits(self, dtype: torch.dtype, saturation: Intervals) -> tuple[int, int]:
        """Where the edges of intervals lie in memory, and how many intervals there are."""
        key = dtype, saturation
        if key not in self._edges:
            self._edges[key] = _closed(np.float32 if dtype is torch.float32 else np.float64, saturation)
        return self._edges[key].ctypes.data, len(saturation)


class _WeightTable:
    """Weights of one format, in a table by which a kernel finds them, their copies and their sums."""

    def __init__(
        self, weights: WeightCopies, numbers: tuple[int, ...], dtype: torch.dtype, kernels: Kernels, find_starts: Any
    ) -> None:
        self.numbers = numbers
        self._kernels = kernels
        rows = [
            [0] * len(numbers),  # where the weights lie now
            [weights.parameters[number].numel() for number in numbers],
            [weights.strides[number] for number in numbers],
            [weights.copies[number].data_ptr() for number in numbers],
            [weights.sums.address(number, "weight_squares") for number in numbers],
            [weights.sums.address(number, "change_squares") for number in numbers],
        ]
        self._table = np.array(rows, dtype=np.int64)
        first, step = self._table.ctypes.data, self._table.strides[0]
        self._rows = [first + step * row for row in range(len(rows))]
        self.find = partial(find_starts, weights.parameters, numbers, dtype, self._rows[1], self._rows[0])
        """Look where the weights lie now; whether they have the format and size that they had."""

    def copy(self) -> None:
        """Take Σ w², and copy the weights."""
        starts, sizes, strides, copies, weight_squares, _ = self._rows
        self._kernels.remember(len(self.numbers), starts, sizes, strides, copies, weight_squares)

    def compare(self) -> None:
        """Take Σ (w − copy)²."""
        starts, sizes, strides, copies, _, change_squares = self._rows
        self._kernels.changes(len(self.numbers), starts, sizes, strides, copies, change_squares)


def _closed(number: type[np.floating], intervals: Intervals) -> NDArray[np.floating]:
    """Open intervals as closed ones that hold the same numbers of a format; infinity lies in an interval up to it."""
    edges = []
    for low, high in intervals:
        least, most = number(low), number(high)
        if math.isfinite(low) and float(least) <= low:
            least = np.nextafter(least, number(math.inf))
        if math.isfinite(high) and float(most) >= high:
            most = np.nextafter(most, number(-math.inf))
        edges += [least, most]
    return np.array(edges, dtype=number)
