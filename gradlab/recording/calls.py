"""What was computed in one step: a row of sums for each call of a module, on one device.

A module that is called several times has several rows; `combine.py` puts them together. Rows stay on the device until
the step has ended.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.networks.activations import Intervals
from gradlab.recording.backend import Backend
from gradlab.recording.dense import real
from gradlab.recording.python_hooks import Fields
from gradlab.recording.sum_table import SumTable
from gradlab.statistics import SUMS

ROWS = 256
"""Rows at first; there are more when they are needed."""


class Call(NamedTuple):
    """What is known of a call without looking at the device.

    Attributes:
        module: which module, by its number.
        phase: steps that the module's optimizer has done within this step.
        size: entries of the output; two for each that is complex.
        input_size: entries of what entered an activation; 0 for other modules.
        dtype: format of the output.
    """

    module: int
    phase: int
    size: int
    input_size: int
    dtype: torch.dtype


class Device:
    """What is kept for one device. The memory for the sums of calls is written anew in each step.

    Args:
        device: the device.
        backend: takes sums there.

    Attributes:
        table: the sums of the calls of a step, a row each.
        last: the last call of each module. A call that is equal to the last one is the same object.
    """

    def __init__(self, device: torch.device, backend: Backend) -> None:
        self.device = device
        self.backend = backend
        self.table = SumTable(device, ROWS, tuple(SUMS))
        self.last: dict[int, Call] = {}


class Calls:
    """The calls of one step on one device.

    Args:
        device: where their sums are written.

    Attributes:
        fields: what native hooks know of the step. They add to the calls, too.
        calls: the calls so far.
        delta_sizes: for each call, the entries of the gradient that its output received; 0 at first.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.fields: Fields = device.backend.hooks.Fields(device.table.base, len(device.table))
        self.calls: list[Call] = self.fields.calls
        self.delta_sizes: list[int] = self.fields.delta_sizes

    def add(self, module: int, phase: int, x: Tensor, h: Tensor | None, saturation: Intervals | None) -> int:
        """Take the sums of an output; see `Call` and `Backend.take_output`. Returns the row, for `take_delta`."""
        table, row, dtype = self.device.table, len(self.calls), x.dtype
        x, h = real(x), None if h is None else real(h)
        if row == len(table):
            table.grow()
            self.fields.base, self.fields.rows = table.base, len(table)
        if saturation is None:
            h = None
        self.device.backend.take_output(x, h, saturation, table, row)
        call = Call(module, phase, x.numel(), 0 if h is None else h.numel(), dtype)
        last = self.device.last.get(module)
        if call != last:
            last = self.device.last[module] = call
        self.calls.append(last)
        self.delta_sizes.append(0)
        return row

    def take_delta(self, row: int, gradient: Tensor) -> None:
        """Take Σ δ² of a row; gradients that arrive in parts add up to what `Tensor.register_hook` is given."""
        if gradient.layout is not torch.strided:
            gradient = gradient.coalesce().values()
        gradient = real(gradient)
        self.device.backend.take_squares(gradient, self.device.table, row, "delta_squares")
        self.delta_sizes[row] = gradient.numel()

    def sums(self) -> Tensor | NDArray[np.float64]:
        """The sums of all calls so far, (calls, sums), in memory that the next step will write anew."""
        sums: Tensor | NDArray[np.float64] = self.device.table.values[: len(self.calls)]
        return sums
