"""What was computed in one step: a row of sums for each call of a module, on one device.

A module that is called several times has several rows; `rows.py` combines them. Rows stay on the device until the step
has ended, and are read in one go. In main memory a native kernel writes them, elsewhere, and for formats and layouts
that the kernels do not read, plain operators.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.recording.native import KERNELS, Intervals, dense
from gradlab.recording.statistics import Statistics, accumulator

if TYPE_CHECKING:
    from gradlab.recording.state import State

MEAN, SQUARES, MINIMUM, MAXIMUM, ZEROS, SATURATED, DELTA = range(7)
"""Slots of a row; the first six in the order of the kernels."""
SLOTS = 8
ROW_BYTES = 8 * SLOTS
ROWS = 256
"""Rows at first; there are more when they are needed."""


class Call(NamedTuple):
    """The Python half of a row: what is known without looking at the device.

    Attributes:
        place: which module.
        phase: steps that the module's optimizer has done within this step.
        size: entries of the output.
        input_size: entries of what entered an activation; 0 for other modules.
        dtype: format of the output.
    """

    place: int
    phase: int
    size: int
    input_size: int
    dtype: torch.dtype


class Calls:
    """The rows of one device.

    Args:
        device: where the tensors are.
        state: is told where the rows are, so that native hooks can write them; for rows in main memory.
    """

    def __init__(self, device: torch.device, state: "State | None" = None) -> None:
        self.device = device
        self._state = state
        self._statistics = Statistics(device)
        self._kernels = KERNELS if device.type == "cpu" else {}
        self._edges: dict[tuple[torch.dtype, Intervals], tuple[int, int]] = {}
        self._arrays: list[NDArray[np.floating]] = []
        self._known: dict[int, Call] = {}
        self._views: dict[int, Sequence[Tensor]] = {}
        self.calls: list[Call] = []
        self.delta_sizes: list[int] = []
        self._allocate(ROWS)

    def _allocate(self, rows: int) -> None:
        self.buffer = torch.zeros(rows, SLOTS, dtype=accumulator(self.device), device=self.device)
        self._rows = rows
        self.base = self.buffer.data_ptr()
        self._views = {}
        if self._state is not None:
            self._state.base, self._state.rows = self.base, rows

    def clear(self) -> None:
        """Forget all rows."""
        self.calls.clear()
        self.delta_sizes.clear()
        # Every slot that counts is written before it is read: nothing has to be set to 0.

    def add(self, place: int, phase: int, x: Tensor, h: Tensor | None, saturation: Intervals | None) -> int:
        """Take the statistics of an output.

        Args:
            place: which module.
            phase: see `Call`.
            x: the output.
            h: what entered, where the module is an activation.
            saturation: intervals of `h` in which it is saturated; None where that has no meaning.

        Returns:
            the row, for `delta`.
        """
        row = self.next_row()
        size, dtype = x.numel(), x.dtype
        kernels = self._kernels.get(dtype)
        if h is None or saturation is None:
            entered = 0
            if kernels is None or not dense(x):
                self._add_plainly(row, x, None, None)
            else:
                kernels.output(x.data_ptr(), size, self.base + row * ROW_BYTES)
        else:
            entered = h.numel()
            if kernels is None or not dense(x) or h.dtype is not dtype or not dense(h):
                self._add_plainly(row, x, h, saturation)
            else:
                edges, count = self.limits(dtype, saturation)
                address = self.base + row * ROW_BYTES
                kernels.activation(x.data_ptr(), size, h.data_ptr(), entered, edges, count, address)
        known = self._known.get(place)
        if known is None or known != (place, phase, size, entered, dtype):
            known = self._known[place] = Call(place, phase, size, entered, dtype)
        self.calls.append(known)
        self.delta_sizes.append(0)
        return row

    def next_row(self) -> int:
        """The row of the next call; there is room for it."""
        row = len(self.calls)
        if row == self._rows:
            old = self.buffer
            self._allocate(2 * self._rows)
            self.buffer[: len(old)] = old
        return row

    def limits(self, dtype: torch.dtype, saturation: Intervals) -> tuple[int, int]:
        """Where the edges of intervals lie in memory, and how many intervals there are."""
        found = self._edges.get((dtype, saturation))
        if found is None:
            array = self._kernels[dtype].limits(saturation)
            self._arrays.append(array)  # keeps it there
            found = self._edges[dtype, saturation] = array.ctypes.data, len(saturation)
        return found

    def _add_plainly(self, row: int, x: Tensor, h: Tensor | None, saturation: Intervals | None) -> None:
        slots = self._slots(row)
        self._statistics.output(x.detach(), slots[:SATURATED])
        if saturation is not None and h is not None:
            self._statistics.count_inside(h.detach(), saturation, slots[SATURATED])

    def delta(self, row: int, gradient: Tensor) -> None:
        """Take Σ δ² of a row; gradients that arrive in parts add up to what `Tensor.register_hook` is given."""
        if gradient.layout is not torch.strided:
            gradient = gradient.coalesce().values()
        kernels = self._kernels.get(gradient.dtype)
        if kernels is not None and dense(gradient):
            kernels.sum_of_squares(gradient.data_ptr(), gradient.numel(), self.base + row * ROW_BYTES + 8 * DELTA)
        else:
            self._statistics.sum_of_squares(gradient.detach(), self._slots(row)[DELTA])
        self.delta_sizes[row] = gradient.numel()

    def _slots(self, row: int) -> Sequence[Tensor]:
        views = self._views.get(row)
        if views is None:
            views = self._views[row] = self.buffer[row].unbind()
        return views
