"""What a step has left on the devices ─► its rows, read when somebody asks for them.

In the step itself, buffers are copied where they are and nothing is waited for. Rows are made later, of many steps in a
row, which costs a third of making them one by one between steps: what they need is in no cache there.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradlab.recording.calls import SLOTS, Call
from gradlab.recording.layout import Place
from gradlab.recording.numbering import Numbering
from gradlab.recording.parameters import Parameters
from gradlab.recording.reading import Reading, fetch
from gradlab.recording.rows import COLUMN, Combiner, put_weights
from gradlab.statistics import StepRows


class Left(NamedTuple):
    """What a step has left.

    Attributes:
        step: its number.
        calls: every call, device by device.
        delta_sizes: entries of the gradient that each of them received.
        flags: for each device which parameters had a gradient, and which were looked at, as bytes.
        tensors: for each device the sums of its calls, then for each device those of its parameters, then the scale; in
            main memory they are arrays.
        losses: what backward was called on.
        scale: what the loss was multiplied with; None where it is the last of `tensors`.
        pictures: module, quantity and histogram.
        units: for some modules, what a full pass has found.
        phases: steps that each optimizer has done.
        learning_rate: of the last optimizer's first group.
        seconds: what the hooks have cost.
    """

    step: int
    calls: Sequence[Call]
    delta_sizes: Sequence[int]
    flags: Sequence[tuple[bytes, bytes]]
    tensors: Sequence[Tensor | NDArray[np.float64]]
    losses: Sequence[Tensor | float]
    scale: float | None
    pictures: Sequence[tuple[int, str, Tensor | NDArray[np.float64]]]
    units: Mapping[int, Mapping[str, float]]
    phases: Sequence[int]
    learning_rate: float
    seconds: float


class Content(NamedTuple):
    """What was read of a step; see `StepRecord`."""

    rows: StepRows
    histograms: Sequence[dict[str, Any]]
    loss: float | None
    gradient_norm: float
    gradient_scale: float


class StepRecord:
    """What was seen of one step. It is read from the devices when it is first looked at.

    Args:
        left: what the step has left there.
        reader: who knows the model.
    """

    def __init__(self, left: Left, reader: "Reader") -> None:
        self.step = left.step
        self.learning_rate = left.learning_rate
        self._left: Left | None = left
        self._reader = reader
        self._seconds = left.seconds

    @cached_property
    def _content(self) -> Content:
        assert self._left is not None
        start = perf_counter()
        content = self._reader.read(self._left)
        self._left = None
        self._seconds += perf_counter() - start
        return content

    @property
    def rows(self) -> StepRows:
        """A row a module that computed something."""
        return self._content.rows

    @property
    def histograms(self) -> Sequence[dict[str, Any]]:
        """Rows of the table `histograms`; none on most steps."""
        return self._content.histograms

    @property
    def loss(self) -> float | None:
        """What backward was called on, summed over its calls; None where that could not be seen."""
        return self._content.loss

    @property
    def gradient_norm(self) -> float:
        """Norm of the gradient of all parameters together, unscaled, before clipping."""
        return self._content.gradient_norm

    @property
    def gradient_scale(self) -> float:
        """What the loss was multiplied with by a `GradScaler`; all values are those without it."""
        return self._content.gradient_scale

    @property
    def record_seconds(self) -> float:
        """What recording this step has cost, reading included."""
        assert self._content
        return self._seconds


class Reader:
    """Makes rows of what steps have left.

    Args:
        places: the recorded modules; more may come.
        owners: the optimizer of each.
        numbering: their layer numbers.
        parameters: the parameters.
    """

    def __init__(
        self, places: Sequence[Place], owners: Sequence[int | None], numbering: Numbering, parameters: Parameters
    ) -> None:
        self._places = places
        self._owners = owners
        self._numbering = numbering
        self._parameters = parameters
        self._combiner = Combiner()

    def read(self, left: Left) -> Content:
        """Read a step from the devices, each of them once, and make rows of it."""
        elsewhere = [loss for loss in left.losses if isinstance(loss, Tensor)]
        arrays = fetch([*left.tensors, *elsewhere, *(picture for _, _, picture in left.pictures)])
        buffers, losses, pictures = _parts(arrays, len(left.tensors), len(elsewhere))
        known = [loss for loss in left.losses if not isinstance(loss, Tensor)]
        scale = float(buffers[-1][0]) if left.scale is None else left.scale
        weights = len(left.flags)
        first = len(buffers) - weights - (left.scale is None)
        slots_CS = np.concatenate([*(array.reshape(-1, SLOTS) for array in buffers[:first]), np.zeros((0, SLOTS))])
        reading = Reading(left.calls, slots_CS, np.array(left.delta_sizes, dtype=float))
        combined = self._combiner.combine(reading, self._owners, left.phases, scale)
        sums, weighted, trained, squares = self._parameters.sums(
            [array.reshape(-1, 3) for array in buffers[first : first + weights]],
            np.frombuffer(b"".join(had_gradient for had_gradient, _ in left.flags), dtype=bool),
            np.frombuffer(b"".join(had_weight for _, had_weight in left.flags), dtype=bool),
            self._places,
        )
        sums[:, 0] /= scale**2
        called, values, applies = combined.modules_U, combined.values_US, combined.applies_US
        put_weights(values, applies, sums[called], weighted[called], trained[called])
        row_of = {module: row for row, module in enumerate(called.tolist())}
        for index, units in left.units.items():
            if index in row_of:
                for name, value in units.items():
                    values[row_of[index], COLUMN[name]] = value
                    applies[row_of[index], COLUMN[name]] = True
        layers = {index: of for index, of in self._numbering.layers(self._places).items() if index in row_of}
        order = [row_of[index] for index in layers]
        rows = StepRows(
            left.step,
            [layer for layer, _ in layers.values()],
            [self._places[index].name for index in layers],
            [kind for _, kind in layers.values()],
            combined.counts_U[order].tolist(),
            [combined.formats[row] for row in order],
            values[order],
            applies[order],
        )
        loss = (sum(known) + sum(float(value[0]) for value in losses)) / scale if left.losses else None
        histograms = [
            self._histogram(left.step, index, layers[index][0], quantity, numbers)
            for (index, quantity, _), numbers in zip(left.pictures, pictures, strict=True)
            if index in layers
        ]
        return Content(rows, histograms, loss, float(np.sqrt(squares)) / scale, scale)

    def _histogram(self, step: int, index: int, layer: int, quantity: str, numbers: Any) -> dict[str, Any]:
        low, high, non_finite, *counts = numbers
        return {
            "step": step,
            "layer": layer,
            "module": self._places[index].name,
            "quantity": quantity,
            "low": float(low) if low <= high else None,
            "high": float(high) if low <= high else None,
            "counts": [int(count) for count in counts],
            "non_finite": int(non_finite),
        }


def _parts(arrays: list[NDArray[np.float64]], *sizes: int) -> list[list[NDArray[np.float64]]]:
    """A list in pieces of these sizes, and the rest."""
    parts = []
    for size in sizes:
        parts.append(arrays[:size])
        arrays = arrays[size:]
    return [*parts, arrays]
