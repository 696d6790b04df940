"""A number of each layer against depth: a line a step, with the prediction for the start.

Suffixes: T recorded steps, L layers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gradlab.measures.profiles import Floats, Profiles, every_layer
from gradlab.tables import Tables
from gradlab.views.pictures.axes import (
    LARGEST,
    LEGEND_ABOVE,
    SMALLEST,
    depth_axis,
    fans_out,
    legend,
    log_axis,
    log_line,
    name_lines,
)
from gradlab.views.pictures.sheet import colour_ramp, some_steps

WEIGHTS = ("weight", "output")
"""Kinds of the rows of weights."""
COINCIDE = 0.015
"""Lines that are nowhere further apart than this share of the axis' height look like one, and get one name."""


def weight_profile(run: Tables, column: str) -> Profiles:
    """A column of the rows of weights, of every layer; masked where a layer has no value."""
    values, missing_TL = every_layer(run.layers, column, WEIGHTS)
    return Profiles(values.steps, values.layers, np.ma.array(values.values_TL, mask=missing_TL), values.modules)


def depth_lines(axes: Axes, run: Tables, values: Profiles, extra: Floats | None = None) -> None:
    """Draw the values of some steps against depth, early to late; a layer without a value is a gap.

    Args:
        axes: where to.
        run: the run.
        values: what `weight_profile` returns, not empty.
        extra: more numbers that the axis has to show.
    """
    bad = run.bad_step
    chosen = some_steps(values.steps)
    if bad is not None and len(values.steps) > 1:
        chosen = sorted({*chosen, len(values.steps) - 2})  # the last record before the run diverged
    shown = values.values_TL[chosen]
    log_axis(axes, np.concatenate([np.ma.compressed(shown), [] if extra is None else extra]))
    depth_axis(axes, values.layers, output=bool((run.layers["kind"] == "output").any()))
    lines = []
    for colour, index in zip(colour_ramp(len(chosen)), chosen, strict=True):
        line_L = values.values_TL[index]
        lines.append((int(values.steps[index]), colour, line_L))
        log_line(axes, values.layers, line_L, color=colour, marker="o", ms=2.2)
    names = _names(axes, lines, bad)
    name_lines(axes, values.layers, names, left=fans_out(shown[:, 0], shown[:, -1]))


def step_legend(axes: Axes, values: Profiles) -> None:
    """The legend above what `depth_lines` has drawn."""
    legend(axes, values.values_TL[some_steps(values.steps)], ncols=2, **LEGEND_ABOVE)


def _names(axes: Axes, lines: Sequence[tuple[int, Any, Floats]], bad: int | None) -> list[tuple[str, Any, Floats]]:
    """A name for each line; neighbours in time that coincide have one: `steps 0–99`."""
    groups: list[list[tuple[int, Any, Floats]]] = []
    for line in lines:
        same = groups and line[0] != bad and all(_coincide(axes, line[2], other[2]) for other in groups[-1])
        if same:
            groups[-1].append(line)
        else:
            groups.append([line])
    named = []
    for group in groups:
        (first, _, _), (last, colour, values_L) = group[0], group[-1]
        name = f"step {first}" if first == last else f"steps {first}–{last}"
        named.append((name + (" (bad)" if last == bad else ""), colour, values_L))
    return named


def _coincide(axes: Axes, one_L: Floats, other_L: Floats) -> bool:
    low, high = np.log10(axes.get_ylim())
    one_L, other_L = (np.log10(np.clip(np.ma.filled(line_L, np.nan), SMALLEST, LARGEST)) for line_L in (one_L, other_L))
    return np.array_equal(np.isnan(one_L), np.isnan(other_L)) and bool(
        np.nanmax(np.abs(one_L - other_L), initial=0.0) <= COINCIDE * (high - low)
    )


def backward_arrow(axes: Axes, values: Profiles) -> None:
    """An arrow from the output toward the input, at the height that is farthest from all lines."""
    near = values.values_TL[some_steps(values.steps)][:, len(values.layers) // 3 :]
    low, high = np.log10(axes.get_ylim())
    lines = (np.log10(np.clip(np.ma.compressed(near), 10**low, 10**high)) - low) / (high - low)
    heights = np.linspace(0.06, 0.93, 12)
    away = np.abs(heights[:, None] - np.nan_to_num(lines, nan=1.0)).min(axis=1, initial=1.0)
    height = float(heights[away.argmax()])
    first, last = (int(layer) for layer in values.layers[[0, -1]])
    axes.annotate(
        "backward pass",
        (last - 0.55 * max(last - first, 1), height),
        xytext=(last, height),
        xycoords=axes.get_xaxis_transform(),
        textcoords=axes.get_xaxis_transform(),
        arrowprops={"arrowstyle": "->", "color": "0.45", "shrinkA": 2},
        ha="right",
        va="center",
        fontsize=8,
        color="0.35",
    )
