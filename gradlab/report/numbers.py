"""A run ─► the numbers behind the pictures of its page, small enough to be mailed.

They are values of the run's tables. A statistic that grows and shrinks by factors is given as its decimal logarithm, in
which also δ of 1e-60 fits into 32 bits: 0 is −∞ there.

Suffixes: R rows of a picture, C columns.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from gradlab.claims.claim import THEORY_COLUMNS
from gradlab.measures.constant import constant_loss
from gradlab.measures.profiles import Floats, profiles
from gradlab.report.evidence import evidence_of
from gradlab.report.thinning import NAN, Columns, Matrix, columns_of, matrices, thinned_line
from gradlab.statistics import STATISTICS
from gradlab.tables import Tables
from gradlab.views.pictures.depth import WEIGHTS
from gradlab.views.pictures.gradients import predicted_delta
from gradlab.views.pictures.sheet import some_steps
from gradlab.views.pictures.training import SPLITS, evaluated

GROUPS: Mapping[str, tuple[str, Sequence[str]]] = {
    "weight": ("weight layers", WEIGHTS),
    "activation": ("activations", ("activation",)),
    "norm": ("normalizations", ("norm",)),
    "block": ("blocks", ("block",)),
    "other": ("other modules", ("other",)),
}
"""The modules that a picture puts side by side: what they are called, and their kinds."""
CORE = ("delta_rms", "activation_rms", "activation_std", "weight_gradient_norm", "update_ratio", "zero_fraction",
    "saturated_fraction")  # fmt: skip
"""The statistics of a page of many runs."""
BUDGET = 1_700_000
"""Characters that all matrices of a page may take."""
CHARACTERS = 16 / 3
"""Characters of a number: 32 bits in base 64."""
LARGEST: Mapping[int, float] = {32: 3e38, 64: 1.7e308}
"""Numbers up to this size are written in so many bits."""
LARGEST_LOG = 308.24
"""No logarithm of a number is larger."""
MOST_COLUMNS = 1000
"""Columns of a picture at most: more do not fit beside one another on a screen."""
MOST_POINTS = 1500
"""Points of the line of the loss at most."""
MOST_HISTOGRAMS = 24
"""Modules whose histograms are kept, of each quantity."""


def run_numbers(
    run: Tables,
    *,
    budget: float | None = None,
    statistics: Sequence[str] = tuple(STATISTICS),
    points: int = MOST_POINTS,
) -> dict[str, Any]:
    """What the scripts of the page draw of a run, as plain JSON types.

    Args:
        run: the run, in whatever state.
        budget: characters that its matrices may take, by default `BUDGET`. Where they would take more, steps are
            thinned out.
        statistics: what can be chosen.
        points: how many points the line of the loss may have.
    """
    modules = run.layers.select("module", "layer", "kind").unique("module", keep="first", maintain_order=True)
    names = {name: number for number, name in enumerate(modules["module"])}
    steps, drawn = _drawn(run, BUDGET if budget is None else budget, statistics)
    return {
        "name": run.name,
        "modules": modules.to_dicts(),
        "columns": [_columns(columns) for columns in steps],
        "matrices": [
            {
                "statistic": statistic,
                "group": group,
                "columns": column,
                "modules": [names[name] for name in matrix.modules],
                **_packed(matrix, steps[column], log=STATISTICS[statistic].log),
                "theory": _theory(run, statistic, group, [modules["layer"][names[name]] for name in matrix.modules]),
            }
            for statistic, group, column, matrix in drawn
        ],
        "lines": _lines(run, points),
        "histograms": list(_histograms(run, names)) if budget is None else [],
        "findings": [evidence_of(finding, names) for finding in run.findings],
        "bad_step": run.bad_step,
    }


def _drawn(
    run: Tables, budget: float, statistics: Sequence[str]
) -> tuple[list[Columns], list[tuple[str, str, int, Matrix]]]:
    """Every statistic of every group of modules: its name, the group, which columns it has, and its values."""
    if not run.layers.height:
        return [], []
    recorded = _recorded(run.layers, statistics)
    most = _most_columns(run.layers, recorded, budget)
    found: list[Columns] = []
    drawn = []
    for steps, names in recorded.items():
        found.append(columns_of(steps, most))
        for group, (_, kinds) in GROUPS.items():
            rows = run.layers.filter(pl.col("kind").is_in(list(kinds)))
            if rows.height:
                each = matrices(rows, names, found[-1])
                drawn += [(name, group, len(found) - 1, matrix) for name, matrix in each.items()]
    order = {name: number for number, name in enumerate(("delta_rms", *statistics))}
    return found, sorted(drawn, key=lambda item: (list(GROUPS).index(item[1]), order[item[0]]))


def _recorded(layers: pl.DataFrame, statistics: Sequence[str]) -> dict[tuple[int, ...], list[str]]:
    """The steps in which statistics have values, and which statistics have them then."""
    has = layers.group_by("step").agg(pl.col(name).is_not_null().any() for name in statistics).sort("step")
    found: dict[tuple[int, ...], list[str]] = {}
    for name in statistics:
        steps = tuple(has.filter(pl.col(name))["step"].to_list())
        if steps:
            found.setdefault(steps, []).append(name)
    return found


def _most_columns(layers: pl.DataFrame, recorded: Mapping[tuple[int, ...], Sequence[str]], budget: float) -> int:
    """How many columns fit, each with three numbers a module and statistic."""
    counts = layers.group_by("module").agg(
        pl.col(name).is_not_null().any() for names in recorded.values() for name in names
    )
    rows = {name: int(counts[name].sum()) for names in recorded.values() for name in names}
    wide = {steps: sum(rows[name] for name in names) for steps, names in recorded.items()}
    most = MOST_COLUMNS
    while (
        most > 2
        and sum(count * (len(steps) if len(steps) <= most else 3 * most) for steps, count in wide.items()) * CHARACTERS
        > budget
    ):
        most = most * 15 // 16
    return most


def _columns(columns: Columns) -> dict[str, Any]:
    return {
        "first": columns.first.tolist(),
        "last": columns.last.tolist(),
        "shown": columns.shown.tolist(),
        "thinned": columns.thinned,
    }


def _packed(matrix: Matrix, columns: Columns, *, log: bool) -> dict[str, Any]:
    """The numbers of a matrix in base 64, row after row: in 32 bits where these hold all of them, else in 64.

    Returns:
        `value`, and where steps are thinned out `low` and `high`; `bits`; `nan`: from this number on, a finite number
        stands for a measured NaN. NaN itself stands for a number that is missing.
    """
    parts = {"value": matrix.value_RC}
    if columns.thinned:
        parts |= {"low": matrix.low_RC, "high": matrix.high_RC}
    broken = {name: values == NAN for name, values in parts.items()}
    scaled = {name: _scaled(np.where(broken[name], 1.0, values), log=log) for name, values in parts.items()}
    largest = max(np.abs(values[np.isfinite(values)]).max(initial=0) for values in scaled.values())
    bits = 32 if largest < LARGEST[32] else 64
    limit = LARGEST_LOG if log else LARGEST[bits]
    words = {}
    for name, values in scaled.items():
        bytes_ = np.where(broken[name], 1.02 * limit, values).astype(f"<f{bits // 8}").tobytes()
        words[name] = base64.b64encode(bytes_).decode()
    return {"bits": bits, "nan": limit, **words}


def _scaled(values: Floats, *, log: bool) -> Floats:
    if not log:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(values)


def _theory(run: Tables, statistic: str, group: str, layers: Sequence[int]) -> list[float | None] | None:
    """What theory predicts for each module at the start, on the scale of the values; None where it says nothing."""
    column = THEORY_COLUMNS.get((statistic, group))
    if column is None or not run.theory.height:
        return None
    if statistic == "delta_rms":
        delta = profiles(run.layers, statistic, WEIGHTS)
        predicted = predicted_delta(run, delta)
        if not np.isfinite(predicted).any():
            return None
        values = dict(zip(delta.layers.tolist(), predicted.tolist(), strict=True))
    else:
        values = dict(run.theory.select("layer", column).drop_nulls().iter_rows())
    if column == "preactivation_variance":
        values = {layer: value**0.5 for layer, value in values.items()}
    scaled = _scaled(np.array([values.get(layer, np.nan) for layer in layers]), log=STATISTICS[statistic].log)
    return scaled.tolist()  # type: ignore[no-any-return]


def _lines(run: Tables, points: int) -> dict[str, Any]:
    """Loss of the batches, loss and accuracy of the splits, and the loss of a constant guess."""
    lines = {"loss batch": thinned_line(run.steps, "loss", points)}
    for quantity in ("loss", "accuracy"):
        for split, frame in evaluated(run, quantity).items():
            lines[f"{quantity} {split}"] = frame.select("step", quantity)
    return {
        "constant": constant_loss(run.config),
        "steps": run.steps.height,
        "splits": list(SPLITS),
        **{
            name: [frame[column].to_list() for column in frame.columns] for name, frame in lines.items() if frame.height
        },
    }


def _histograms(run: Tables, names: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """The histograms of some modules at some steps."""
    for (quantity,), rows in run.histograms.group_by("quantity", maintain_order=True):
        modules = [name for name in rows["module"].unique(maintain_order=True) if name in names]
        chosen = np.unique(np.linspace(0, len(modules) - 1, min(MOST_HISTOGRAMS, len(modules))).round().astype(int))
        steps = rows["step"].unique().sort().to_numpy()
        kept = [int(steps[index]) for index in some_steps(steps)]
        for index in chosen if modules else ():
            own = rows.filter((pl.col("module") == modules[index]) & pl.col("step").is_in(kept)).sort("step")
            yield {
                "module": names[modules[index]],
                "quantity": quantity,
                **{name: own[name].to_list() for name in ("step", "low", "high", "counts", "non_finite")},
            }
