"""A measure and a run ─► a number, or None where the run has none.

Suffixes: T recorded steps, L layers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gradlab.claims.claim import (
    THEORY_COLUMNS,
    EvaluationMeasure,
    FindingMeasure,
    Headline,
    LayerMeasure,
    Moment,
    Over,
    Quantity,
)
from gradlab.measures.headline import numbers_of
from gradlab.measures.profiles import Floats, Numbers, Profiles, profiles
from gradlab.measures.settings import settings_of
from gradlab.measures.slopes import fit_depth
from gradlab.tables import Tables

_REDUCTIONS: Mapping[str, Callable[[Floats, int], Any]] = {
    "mean": lambda values, axis: np.mean(values, axis=axis),
    "min": lambda values, axis: np.min(values, axis=axis),
    "max": lambda values, axis: np.max(values, axis=axis),
}


@dataclass(frozen=True)
class Observation:
    """A run of a sweep.

    Attributes:
        run: the snapshot of the run.
        settings: the config of the run, by dotted key.
    """

    run: Tables
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, run: Tables) -> "Observation":
        """An observation of a snapshot, with the settings in its summary."""
        return cls(run, settings_of(run.summary.get("config", {})))


def measured(measure: Headline | LayerMeasure | EvaluationMeasure | FindingMeasure, run: Tables) -> float | None:
    """The number that a measure gives for a run; None where the run has no such number, or it is not finite."""
    match measure:
        case Headline(name="diverged"):
            value: float | None = float(run.status == "diverged")
        case Headline():
            value = numbers_of(run.summary).get(measure.name)
        case LayerMeasure():
            value = _of_layers(measure, run)
        case EvaluationMeasure():
            value = at_moment(*evaluations(run, measure.column, measure.split, measure.versus), measure.at)
        case FindingMeasure():
            steps = [finding.steps for finding in run.findings if finding.rule == measure.finding]
            onsets = [first_last[0] for first_last in steps if first_last]
            value = (min(onsets) if onsets else None) if measure.onset else float(bool(steps))
    return value if value is not None and math.isfinite(value) else None


def column_of(quantity: Quantity, run: Tables) -> Profiles:
    """A column of `layers` as a matrix, step × layer."""
    return profiles(run.layers, quantity.column, (quantity.rows,))


def predicted(quantity: Quantity, run: Tables) -> tuple[Numbers, Floats]:
    """What theory predicts for a column: layers, and a value for each; empty where theory predicts nothing."""
    column = THEORY_COLUMNS[quantity.column, quantity.rows]
    rows = run.theory.drop_nulls(column).sort("layer")
    values = rows[column].to_numpy()
    return rows["layer"].to_numpy().astype(np.int64), np.sqrt(values) if column == "preactivation_variance" else values


def evaluations(run: Tables, column: str, split: str, versus: str | None = None) -> tuple[Numbers, Floats]:
    """Steps, and a column of `evaluations` at these steps.

    Args:
        run: the run.
        column: `loss` or `accuracy`.
        split: the split that was evaluated.
        versus: subtract the column of this split; steps at which only one of the two was evaluated are left out.
    """
    rows = run.split(split).select("step", column)
    if versus is not None:
        beside = run.split(versus).select("step", beside=column)
        rows = rows.join(beside, on="step").sort("step").select("step", pl.col(column) - pl.col("beside"))
    return rows["step"].to_numpy(), rows[column].to_numpy()


def over_layers(layers_L: Numbers, values_TL: Floats, over: Over) -> Floats:
    """Reduce the layers of every step to one number; NaN where a layer that is needed has no value.

    Args:
        layers_L: layer numbers.
        values_TL: the values.
        over: how layers become one number.
    """
    if over == "slope":
        return fit_depth(layers_L, values_TL).value_T
    position = {"first": 0, "last": -1}.get(str(over), over)
    if isinstance(position, int):
        inside = -len(layers_L) <= position < len(layers_L)
        return values_TL[:, position] if inside else np.full(len(values_TL), np.nan)
    with np.errstate(invalid="ignore", over="ignore"):  # diverged networks have ∞ − ∞
        reduced: Floats = _REDUCTIONS[position](values_TL, 1)
    return reduced


def record_at(steps_T: NDArray[Any], at: Moment) -> int:
    """The index of a record: the first one at the `start`, the last one at the `end`, or the nearest to a step."""
    return int(np.abs(steps_T - at).argmin()) if isinstance(at, int) else {"start": 0, "end": -1}[at]


def at_moment(steps_T: NDArray[Any], values_T: Floats, at: Moment) -> float | None:
    """Reduce a course over time to one number: its value at a moment, or a mean, minimum or maximum."""
    if not len(values_T):
        return None
    if isinstance(at, int) or at in ("start", "end"):
        return float(values_T[record_at(steps_T, at)])
    finite_T = values_T[np.isfinite(values_T)]
    with np.errstate(over="ignore"):
        return float(_REDUCTIONS[at](finite_T, 0)) if len(finite_T) else None


def _of_layers(measure: LayerMeasure, run: Tables) -> float | None:
    values = column_of(measure, run)
    if not values:
        return None
    value = at_moment(values.steps, over_layers(values.layers, values.values_TL, measure.layers), measure.at)
    if measure.theory is None or value is None:
        return value
    layers_L, theory_L = predicted(measure, run)
    if not len(layers_L):
        return None
    return value - float(over_layers(layers_L, theory_L[None], measure.layers)[0])
