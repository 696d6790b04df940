"""The native backend: kernels for dense tensors in main memory, and hooks in C. The plain backend does all the rest."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.networks.activations import Intervals
from gradlab.recording.backend import Batch
from gradlab.recording.dense import dense
from gradlab.recording.hooks import OutputMethods
from gradlab.recording.modules import RecordedModule, may_call_functions
from gradlab.recording.native import FORMATS, Kernels, Library
from gradlab.recording.plain import BINS, Plain, PlainBatch
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

    def batches(self, weights: WeightCopies, numbers: Sequence[int]) -> Sequence[Batch]:
        """See `Backend`."""
        readable: dict[torch.dtype, list[int]] = {}
        others = []
        for number in numbers:
            weight = weights.parameters[number].detach()
            if self._kernels_for(weight) is None:
                others.append(number)
            else:
                readable.setdefault(weight.dtype, []).append(number)
        batches: list[Batch] = list(self._plain.batches(weights, others))
        for dtype, chosen in readable.items():
            (plain,) = self._plain.batches(weights, chosen)
            batches.append(_NativeBatch(plain, weights, dtype, self._kernels[dtype], self.hooks.starts))
        return batches

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


class _NativeBatch:
    """Weights of one format that a kernel reads in one call; see `Batch`."""

    def __init__(
        self, plain: PlainBatch, weights: WeightCopies, dtype: torch.dtype, kernels: Kernels, find_starts: Any
    ) -> None:
        self.numbers = plain.numbers
        self._plain = plain
        self._parameters = weights.parameters
        self._dtype = dtype
        self._kernels = kernels
        self._find_starts = find_starts
        self._numbers = tuple(plain.numbers.tolist())
        rows = [
            [0] * len(self._numbers),  # where the weights lie now
            [weights.parameters[number].numel() for number in self._numbers],
            [weights.strides[number] for number in self._numbers],
            [weights.copies[number].data_ptr() for number in self._numbers],
            [weights.sums.address(number, "weight_squares") for number in self._numbers],
            [weights.sums.address(number, "change_squares") for number in self._numbers],
        ]
        self._table = np.array(rows, dtype=np.int64)
        self._rows = [int(self._table.ctypes.data + self._table.strides[0] * row) for row in range(len(rows))]

    def is_as_before(self) -> bool:
        """See `Batch`."""
        starts, sizes, *_ = self._rows
        self._found: bool = self._find_starts(self._parameters, self._numbers, self._dtype, sizes, starts)
        return self._found

    def copy(self) -> None:
        """See `Batch`."""
        if not self._found:
            self._plain.copy()
        else:
            starts, sizes, strides, copies, weight_squares, _ = self._rows
            self._kernels.remember(len(self._numbers), starts, sizes, strides, copies, weight_squares)

    def compare(self) -> Sequence[int]:
        """See `Batch`."""
        if not self.is_as_before():
            return self._plain.compare()
        starts, sizes, strides, copies, _, change_squares = self._rows
        self._kernels.changes(len(self._numbers), starts, sizes, strides, copies, change_squares)
        return ()


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
