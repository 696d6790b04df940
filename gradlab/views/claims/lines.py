"""The lines of a panel: one for each value of a setting, each the mean of its runs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gradlab.claims.measuring import Observation
from gradlab.measures.profiles import Floats, Numbers
from gradlab.measures.settings import label_of, value_of
from gradlab.views.pictures.axes import log_line
from gradlab.views.pictures.labels import setting_label
from gradlab.views.pictures.sheet import colour_ramp

COLOURS = ("#1f4e8c", "#d1495b", "#2a9d6f", "#e59f21", "#7a4fa3", "#4f9fc4", "#8c5a2b", "#555555")
"""Colours of lines that have no order. They can be told apart by who does not see red or green, and in grey."""

Line = tuple[str, Any, list[Observation]]
"""Label, colour, and the runs that the line is the mean of."""
Curve = tuple[Numbers, Floats]
"""Positions, and a value at each of them."""


def lines_of(key: str, chosen: Sequence[Observation], all_: Sequence[Observation]) -> list[Line]:
    """The lines of a panel, one for each value of the setting `key`.

    A value has the same colour in all panels. Values that are numbers have colours from light to dark.

    Args:
        key: the setting that tells the lines apart; empty for a single line.
        chosen: the runs of this panel.
        all_: the runs of the claim.
    """
    if not key:
        return [("", COLOURS[0], list(chosen))]
    found, known = values_of(key, chosen), values_of(key, all_)
    colours: Sequence[Any] = colour_ramp(len(known)) if ordered(known) and len(known) > 2 else COLOURS
    return [
        (
            _label(key, value, found),
            colours[known.index(value) % len(colours)],
            [one for one in chosen if value_of(one.settings, key) == value],
        )
        for value in found
    ]


def _label(key: str, value: Any, found: Sequence[Any]) -> str:
    """What the legend calls a line: `relu`, `depth 20`, `batch norm yes`."""
    text = label_of(value, found)
    text = {"true": "yes", "false": "no"}.get(text, text)
    return setting_label(key, text)


def values_of(key: str, chosen: Sequence[Observation]) -> list[Any]:
    """Values of a setting, in the order of the sweep, numbers by size."""
    found = list(dict.fromkeys(value_of(one.settings, key) for one in chosen))
    return sorted(found) if ordered(found) else found


def ordered(found: Sequence[Any]) -> bool:
    """Whether values are numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)


def mean_line(axes: Axes, curves: Sequence[Curve], colour: Any, label: str, *, log: bool) -> list[Floats]:
    """Draw each run as a thin line and their mean as a thick one; returns the values of all of them."""
    plot: Callable[..., Any] = log_line if log else Axes.plot
    if len(curves) > 1:
        for x, values_X in curves:
            plot(axes, x, values_X, color=colour, lw=0.5, alpha=0.35)
    x, mean_X = mean_of_curves(curves, log=log)
    plot(axes, x, mean_X, color=colour, lw=1.8, label=label)
    return [mean_X, *(values_X for _, values_X in curves)]


def mean_of_curves(curves: Sequence[Curve], *, log: bool) -> Curve:
    """The mean of the finite values at every position that at least half of the runs have.

    On a log axis it is the geometric mean. A run that diverges ends early, with a record at a step that the other runs
    did not record; without the rule of half, the mean would jump there.
    """
    x = np.unique(np.concatenate([at for at, _ in curves])) if curves else np.zeros(0, dtype=np.int64)
    values_RX = np.full((len(curves), len(x)), np.nan)
    known_X = np.zeros(len(x), dtype=np.int64)
    for values_X, (at, found) in zip(values_RX, curves, strict=True):
        places = np.searchsorted(x, at)
        values_X[places] = found
        known_X[places] += 1
    shared = 2 * known_X >= len(curves)
    finite_RX = np.isfinite(values_RX) & ((values_RX >= 0) | (not log))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        summed_X = np.where(finite_RX, np.log(values_RX) if log else values_RX, 0).sum(0) / finite_RX.sum(0)
        mean_X = np.exp(summed_X) if log else summed_X
    return x[shared], mean_X[shared]
