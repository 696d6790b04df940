"""The copy of a step ─► its rows, read when somebody asks for them.

In the step itself, nothing is waited for. Rows are made later, of many steps in a row, which costs a third of making
them one by one between steps: what they need is in no cache there.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from functools import cached_property
from math import isfinite
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradlab.recording.calls import Call
from gradlab.recording.combine import Combiner, Plan
from gradlab.recording.numbering import Numbering
from gradlab.recording.parameter_sums import nothing
from gradlab.recording.step_copy import StepCopy
from gradlab.recording.step_sums import Share, StepSums, share_of
from gradlab.recording.through_time import FEW_STEPS, over_calls
from gradlab.recording.transfer import fetch
from gradlab.statistics import PARAMETER_SUMS, SUMS, Flags, Floats, StepRows


class Content(NamedTuple):
    """What was read of a step; see `StepRecord`."""

    rows: StepRows
    histograms: Sequence[dict[str, Any]]
    loss: float | None
    gradient_norm: float | None
    gradient_scale: float
    notes: Mapping[str, float]
    share: Share | None


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
        self._is_shared = False

    @cached_property
    def _content(self) -> Content:
        assert self._copy is not None
        start = perf_counter()
        content = self._reader.read(self._copy, shared=self._is_shared)
        self._copy = None
        self._seconds += perf_counter() - start
        return content

    def will_be_shared(self) -> None:
        """Say, before the record is read, that `share` will be called."""
        self._is_shared = True

    def share(self) -> Share:
        """What this rank contributes to the step; after `will_be_shared`, and once."""
        share = self._content.share
        assert share is not None
        self._content = self._content._replace(share=None)
        return share

    def become(self, sums: StepSums) -> None:
        """Become the record of all ranks together; what only one rank can tell stays that of this one."""
        self._content = self._content._replace(
            rows=sums.rows(), loss=sums.loss, gradient_norm=sums.gradient_norm, gradient_scale=sums.scale
        )

    @property
    def may_be_finite(self) -> bool:
        """Whether the loss is finite, as far as is known without waiting for a device."""
        if self._copy is None:
            return self.loss is None or isfinite(self.loss)
        return all(isfinite(loss) for loss in self._copy.losses if isinstance(loss, float))

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
    def gradient_norm(self) -> float | None:
        """Norm of the gradient of all parameters together, unscaled, before clipping; None where it is not known."""
        return self._content.gradient_norm

    @property
    def gradient_scale(self) -> float:
        """What the loss was multiplied with by a `GradScaler`; all values are those without it."""
        return self._content.gradient_scale

    @property
    def notes(self) -> Mapping[str, float]:
        """Other columns of the table `steps`, by name."""
        return self._content.notes

    @property
    def record_seconds(self) -> float:
        """What recording this step has cost, reading included."""
        assert self._content
        return self._seconds


class Reader:
    """Makes rows of the copies of steps.

    Args:
        numbering: the recorded modules.
        recurrent: tells the modules that are called with what an earlier call of them has returned.
    """

    def __init__(self, numbering: Numbering, recurrent: Callable[[], Set[int]] = frozenset) -> None:
        self._numbering = numbering
        self._recurrent = recurrent
        self._order: tuple[Sequence[Call], Plan | None, tuple[int, ...]] = (), None, ()
        self._combiner = Combiner()
        self._labels: _Labels | None = None

    def read(self, copy: StepCopy, *, shared: bool = False) -> Content:
        """Read a step from the devices, each of them once, and make rows of it.

        Args:
            copy: the copy of its numbers.
            shared: whether another process wants this rank's share.
        """
        call_sums, parameter_sums, losses, histograms, notes, ((scale,),) = fetch(
            copy.call_sums,
            copy.parameter_sums,
            _known(copy.losses),
            [numbers for *_, numbers in copy.histograms],
            list(copy.notes.values()),
            [copy.scale],
        )
        scale = float(scale)
        plan, quantities, exists = self._combiner.combine(
            copy.calls, _table(call_sums, len(SUMS)), copy.delta_sizes, self._numbering.owners, copy.phases
        )
        sums = [sums.reshape(-1, len(PARAMETER_SUMS)) for sums in parameter_sums]
        has_gradient = np.frombuffer(b"".join(had_gradient for had_gradient, _ in copy.flags), dtype=bool)
        has_weight = np.frombuffer(b"".join(had_weight for _, had_weight in copy.flags), dtype=bool)
        ranks, divisor = copy.reduction
        whole, shards, silent = copy.parameters.by_module(
            sums, has_gradient, has_weight, self._in_order(copy.calls, plan), len(self._numbering.modules)
        )
        called = plan.modules_U
        counts = plan.counts_U
        if silent:
            called, counts = _add_silent(called, counts, silent, quantities, exists)
            self._numbering.add_silent(silent)
        whole = whole.of(called)
        shards = None if shards is None else shards.of(called)
        quantities |= whole.sums
        exists |= whole.exists if shards is None else shards.hidden(whole.exists)
        labels = self._labels_of(plan, copy.names, called, counts)
        for found in (self._through_time(copy, plan, call_sums), copy.full_pass):
            _add_found(found, labels.row_of, quantities, exists)
        quantities["delta_squares"] = quantities["delta_squares"] / divisor**2
        step_sums = StepSums(
            step=copy.step,
            columns=labels.columns,
            order=labels.order,
            quantities=quantities,
            exists=exists,
            loss=sum(float(value[0]) for value in losses) / scale if losses else None,
            gradient_squares=None if shards is not None and shards.has_gradient else whole.gradient_squares,
            scale=scale,
        )
        drawn = [
            _histogram(copy, index, labels.layer_of[index], quantity, numbers, scale * divisor)
            for (index, quantity, _), numbers in zip(copy.histograms, histograms, strict=True)
            if index in labels.layer_of
        ]
        noted = {"skipped": 0.0} | {name: float(value[0]) for name, value in zip(copy.notes, notes, strict=True)}
        share = None
        if shared:
            counted = nothing(len(called)) if shards is None else shards.counted
            share = share_of(step_sums, whole, counted, ranks=ranks, divisor=divisor)
        return Content(step_sums.rows(), drawn, step_sums.loss, step_sums.gradient_norm, scale, noted, share)

    def _through_time(self, copy: StepCopy, plan: Plan, call_sums: Sequence[Floats]) -> dict[int, Mapping[str, float]]:
        """How δ of recurrent modules changes over their calls."""
        counts = dict(zip(plan.modules_U.tolist(), plan.counts_U.tolist(), strict=True))
        modules = [index for index in self._recurrent() if counts.get(index, 0) >= FEW_STEPS]
        if not modules:
            return {}
        squares_C = _table(call_sums, len(SUMS))[:, list(SUMS).index("delta_squares")]
        sizes_C = np.array(copy.delta_sizes, dtype=float)
        module_C = np.array([call.module for call in copy.calls])
        pass_C = np.searchsorted(copy.starts, np.arange(len(module_C)), side="right")
        found: dict[int, Mapping[str, float]] = {}
        for index in modules:
            its = module_C == index
            value = over_calls(squares_C[its], sizes_C[its], pass_C[its].tolist())
            if value is not None:
                found[index] = {"delta_through_time": value}
        return found

    def _labels_of(
        self, plan: Plan, names: Sequence[str], called: NDArray[np.intp], counts: NDArray[np.intp]
    ) -> "_Labels":
        """What rows say beside their values; the same from step to step, until other modules have rows."""
        layers, modules = self._numbering.layers(), called.tolist()
        last = self._labels
        if last is None or last.made_of != (plan, modules) or last.names is not names or last.layers is not layers:
            last = self._labels = _Labels(plan, names, layers, modules, counts)
        return last

    def _in_order(self, calls: Sequence[Call], plan: Plan) -> tuple[int, ...]:
        """The modules with rows, in the order in which they have computed something."""
        if self._order[0] is not calls or self._order[1] is not plan:
            there = set(plan.modules_U.tolist())
            order = tuple(module for module in dict.fromkeys(call.module for call in calls) if module in there)
            self._order = calls, plan, order
        return self._order[2]


class _Labels:
    """What the rows of a step say beside their values.

    Attributes:
        row_of: for each module with a row, its place among the values.
        layer_of: its layer.
        order: the places, in the order of the rows.
        columns: layer, module, kind, calls and dtype of each row.
    """

    def __init__(
        self,
        plan: Plan,
        names: Sequence[str],
        layers: Mapping[int, tuple[int, str]],
        modules: list[int],
        counts: NDArray[np.intp],
    ) -> None:
        self.made_of, self.names, self.layers = (plan, modules), names, layers
        self.row_of = {module: row for row, module in enumerate(modules)}
        numbered = {index: of for index, of in layers.items() if index in self.row_of}
        self.layer_of = {index: layer for index, (layer, _) in numbered.items()}
        self.order = [self.row_of[index] for index in numbered]
        self.columns = (
            list(self.layer_of.values()),
            [names[index] for index in numbered],
            [kind for _, kind in numbered.values()],
            counts[self.order].tolist(),
            [plan.formats[row] if row < len(plan.formats) else None for row in self.order],
        )


def _table(parts: Sequence[Floats], columns: int) -> Floats:
    """Vectors as rows of one table."""
    return np.concatenate([*parts, np.zeros(0)]).reshape(-1, columns)


def _known(losses: Sequence[Tensor | float | None]) -> Sequence[Tensor | float]:
    """Losses, none of them where one is not known: their sum is not known either."""
    known = [loss for loss in losses if loss is not None]
    return known if len(known) == len(losses) else []


def _add_silent(
    called: NDArray[np.intp],
    counts: NDArray[np.intp],
    silent: Sequence[int],
    quantities: dict[str, Any],
    exists: dict[str, Flags],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Add rows of modules that have not computed anything; returns the modules, and how often they were called."""
    nothing, rows = np.zeros(len(silent)), len(called)
    for name, values in quantities.items():
        quantities[name] = np.concatenate([values, nothing])
    for name in SUMS:
        exists[name] = np.concatenate([exists.get(name, np.ones(rows, dtype=bool)), nothing.astype(bool)])
    return np.concatenate([called, silent]).astype(np.intp), np.concatenate([counts, nothing]).astype(np.intp)


def _add_found(
    found: Mapping[int, Mapping[str, float]],
    row_of: dict[int, int],
    quantities: dict[str, Any],
    exists: dict[str, Flags],
) -> None:
    """Add what was found apart from sums, to the rows of its modules."""
    for index, values in found.items():
        if index in row_of:
            for name, value in values.items():
                quantities.setdefault(name, np.zeros(len(row_of)))[row_of[index]] = value
                exists.setdefault(name, np.zeros(len(row_of), dtype=bool))[row_of[index]] = True


def _histogram(
    copy: StepCopy, index: int, layer: int, quantity: str, numbers: Any, delta_scale: float
) -> dict[str, Any]:
    low, high, non_finite, *counts = numbers
    if quantity == "delta":
        low, high = low / delta_scale, high / delta_scale
    return {
        "step": copy.step,
        "layer": layer,
        "module": copy.names[index],
        "quantity": quantity,
        "low": float(low) if low <= high else None,
        "high": float(high) if low <= high else None,
        "counts": [int(count) for count in counts],
        "non_finite": int(non_finite),
    }
