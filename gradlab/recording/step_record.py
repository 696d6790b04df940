"""The copy of a step ─► its rows, read when somebody asks for them.

In the step itself, nothing is waited for. Rows are made later, of many steps in a row, which costs a third of making
them one by one between steps: what they need is in no cache there.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.recording.combine import Combiner, Plan
from gradlab.recording.numbering import Numbering
from gradlab.recording.parameters import Parameters
from gradlab.recording.step_copy import StepCopy
from gradlab.recording.transfer import fetch
from gradlab.statistics import PARAMETER_SUMS, SUMS, Flags, Floats, StepRows, finish


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
        copy: the copy of its numbers.
        reader: makes rows of it.
        seconds: what the hooks have cost.
    """

    def __init__(self, copy: StepCopy, reader: "Reader", seconds: float) -> None:
        self.step = copy.step
        self.learning_rate = copy.learning_rate
        self._copy: StepCopy | None = copy
        self._reader = reader
        self._seconds = seconds

    @cached_property
    def _content(self) -> Content:
        assert self._copy is not None
        start = perf_counter()
        content = self._reader.read(self._copy)
        self._copy = None
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
    """Makes rows of the copies of steps.

    Args:
        numbering: the recorded modules.
        parameters: the parameters.
    """

    def __init__(self, numbering: Numbering, parameters: Parameters) -> None:
        self._numbering = numbering
        self._parameters = parameters
        self._combiner = Combiner()
        self._labels: _Labels | None = None

    def read(self, copy: StepCopy) -> Content:
        """Read a step from the devices, each of them once, and make rows of it."""
        call_sums, parameter_sums, losses, histograms, ((scale,),) = fetch(
            copy.call_sums, copy.parameter_sums, copy.losses, [numbers for *_, numbers in copy.histograms], [copy.scale]
        )
        scale = float(scale)
        plan, quantities, exists = self._combiner.combine(
            copy.calls, _table(call_sums, len(SUMS)), copy.delta_sizes, self._numbering.owners, copy.phases
        )
        called = plan.modules_U
        of_parameters, known, gradient_squares = self._parameters.by_module(
            [sums.reshape(-1, len(PARAMETER_SUMS)) for sums in parameter_sums],
            np.frombuffer(b"".join(had_gradient for had_gradient, _ in copy.flags), dtype=bool),
            np.frombuffer(b"".join(had_weight for _, had_weight in copy.flags), dtype=bool),
            self._numbering.modules,
        )
        quantities |= {name: values[called] for name, values in of_parameters.items()}
        exists |= {name: flags[called] for name, flags in known.items()}
        labels = self._labels_of(plan)
        _add_full_pass(copy, labels.row_of, quantities, exists)
        quantities["gradient_scale"] = scale
        values_SU, applies_SU = finish(quantities, exists, len(called))
        rows = StepRows(copy.step, *labels.columns, values_SU.T[labels.order], applies_SU.T[labels.order])
        loss = sum(float(value[0]) for value in losses) / scale if losses else None
        drawn = [
            self._histogram(copy.step, index, labels.layers[index][0], quantity, numbers)
            for (index, quantity, _), numbers in zip(copy.histograms, histograms, strict=True)
            if index in labels.layers
        ]
        return Content(rows, drawn, loss, float(np.sqrt(gradient_squares)) / scale, scale)

    def _labels_of(self, plan: Plan) -> "_Labels":
        """The labels of the rows; those of the step before, where the same modules have been called as often."""
        numbered = self._numbering.layers()
        if self._labels is None or self._labels.plan is not plan or self._labels.numbered is not numbered:
            row_of = {module: row for row, module in enumerate(plan.modules_U.tolist())}
            layers = {index: of for index, of in numbered.items() if index in row_of}
            order = np.array([row_of[index] for index in layers], dtype=np.intp)
            columns = (
                [layer for layer, _ in layers.values()],
                [self._numbering.modules[index].name for index in layers],
                [kind for _, kind in layers.values()],
                plan.counts_U[order].tolist(),
                [plan.formats[row] for row in order],
            )
            self._labels = _Labels(plan, numbered, row_of, layers, order, columns)
        return self._labels

    def _histogram(self, step: int, index: int, layer: int, quantity: str, numbers: Any) -> dict[str, Any]:
        low, high, non_finite, *counts = numbers
        return {
            "step": step,
            "layer": layer,
            "module": self._numbering.modules[index].name,
            "quantity": quantity,
            "low": float(low) if low <= high else None,
            "high": float(high) if low <= high else None,
            "counts": [int(count) for count in counts],
            "non_finite": int(non_finite),
        }


class _Labels(NamedTuple):
    """What rows have besides numbers.

    Attributes:
        plan: the plan that they were made for.
        numbered: layer number and kind of all modules, in order.
        row_of: the place of each module in the plan.
        layers: layer number and kind of the modules that were called, in the order of the rows.
        order: their places in the plan.
        columns: layer, module, kind, calls and dtype, as in `StepRows`.
    """

    plan: Plan
    numbered: Mapping[int, tuple[int, str]]
    row_of: dict[int, int]
    layers: dict[int, tuple[int, str]]
    order: NDArray[np.intp]
    columns: tuple[list[int], list[str], list[str], list[int], list[str]]


def _table(parts: Sequence[Floats], columns: int) -> Floats:
    """Vectors as rows of one table."""
    return np.concatenate([*parts, np.zeros(0)]).reshape(-1, columns)


def _add_full_pass(
    copy: StepCopy, row_of: dict[int, int], quantities: dict[str, Any], exists: dict[str, Flags]
) -> None:
    """Add what a full pass has found, to the rows of its modules."""
    for index, found in copy.full_pass.items():
        if index in row_of:
            for name, value in found.items():
                quantities.setdefault(name, np.zeros(len(row_of)))[row_of[index]] = value
                exists.setdefault(name, np.zeros(len(row_of), dtype=bool))[row_of[index]] = True
