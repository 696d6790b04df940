"""What panels are drawn with: a line for each value of a setting, axes and legends."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogFormatterSciNotation, NullLocator

from gradlab.claims.claim import Course, PanelOptions, Points, Quantity
from gradlab.claims.measuring import Observation
from gradlab.measures.profiles import Floats, Numbers
from gradlab.measures.settings import label_of, value_of
from gradlab.views.comparison.picture import SPEAKING
from gradlab.views.pictures.sheet import SMALLEST, colour_ramp, log_axis, log_line

COLOURS = ("#1f4e8c", "#d1495b", "#2a9d6f", "#e59f21", "#7a4fa3", "#4f9fc4", "#8c5a2b", "#555555")
"""Of lines without an order: apart also for those who see no red or green, and in grey."""
MOST_INSIDE = 4
"""Entries of a legend within a panel."""
WORDS = {
    "delta_rms": "RMS δ",
    "weight_gradient_norm": "norm of ∂L/∂W",
    "weight_norm": "norm of the weights",
    "update_ratio": "update ratio ‖ΔW‖/‖W‖",
    "activation_mean": "mean of activations",
    "activation_std": "std of activations",
    "activation_rms": "RMS of activations",
    "saturated_fraction": "saturated share",
    "zero_fraction": "share of zeros",
    "dead_fraction": "dead units",
    "revived_fraction": "revived units",
}
"""What columns are called on an axis."""
OUTPUTS = {"weight": "pre-activations", "norm": "BatchNorm's outputs", "output": "logits", "block": "blocks' outputs"}
"""What the outputs of modules that are no activations are called."""
LOGARITHMIC = ("delta_rms", "weight_gradient_norm", "weight_norm", "update_ratio", "activation_rms")
"""Columns that shrink and grow by factors."""
SHARES = ("saturated_fraction", "zero_fraction", "dead_fraction", "revived_fraction", "accuracy")
"""Columns between 0 and 1."""
INCHES_A_LETTER = 0.08
"""About, in titles and along axes."""

Line = tuple[str, Any, list[Observation]]
Curve = tuple[Numbers, Floats]
"""Positions, and a value at each of them."""


def lines_of(key: str, chosen: Sequence[Observation], all_: Sequence[Observation]) -> list[Line]:
    """Label, colour and runs of each line; a value has one colour in all panels, ordered settings ordered ones."""
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
    """`relu`, but `depth 20`: the name of an activation says itself what it is."""
    text = label_of(value, found)
    text = {"true": "yes", "false": "no"}.get(text, text)
    name = key.rpartition(".")[2].replace("_", " ")
    return text if name in SPEAKING else f"{name} {text}"


def values_of(key: str, chosen: Sequence[Observation]) -> list[Any]:
    """Values of a setting, in the order of the sweep, numbers by size."""
    found = list(dict.fromkeys(value_of(one.settings, key) for one in chosen))
    return sorted(found) if ordered(found) else found


def ordered(found: Sequence[Any]) -> bool:
    """Whether values are numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)


def mean_line(axes: Axes, curves: Sequence[Curve], colour: Any, label: str, *, log: bool) -> list[Floats]:
    """Each run thin, their mean thick; returns what was drawn."""
    plot: Callable[..., Any] = log_line if log else Axes.plot
    if len(curves) > 1:
        for x, values_X in curves:
            plot(axes, x, values_X, color=colour, lw=0.5, alpha=0.35)
    x, mean_X = mean_of_curves(curves, log=log)
    plot(axes, x, mean_X, color=colour, lw=1.8, label=label)
    return [mean_X, *(values_X for _, values_X in curves)]


def mean_of_curves(curves: Sequence[Curve], *, log: bool) -> Curve:
    """The mean, of what is finite, wherever at least half of the runs are; on a log axis the geometric one.

    Runs that diverge end early, with a record that the others do not have.
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


def is_log(panel: PanelOptions, column: str) -> bool:
    """Whether the vertical axis is logarithmic."""
    return panel.scale == "log" if panel.scale else column in LOGARITHMIC


def finish(axes: Axes, panel: PanelOptions, column: str, drawn: Sequence[Floats], *, log: bool) -> None:
    """Name and scale of the vertical axis."""
    quantity = panel.quantity if isinstance(panel, Course) and not panel.split else panel
    word = WORDS.get(column, column.replace("_", " "))
    if isinstance(quantity, Quantity) and column.startswith("activation"):
        word = word.replace("activations", OUTPUTS.get(quantity.rows, "activations"))
    axes.set_ylabel(word)
    found = np.concatenate([np.ravel(values) for values in drawn]) if drawn else np.zeros(0)
    found = found[np.isfinite(found)]
    low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
    if log:
        log_axis(axes, found, decades=1)
        _few_ticks(axes)
    elif column in SHARES and not getattr(panel, "partner", {}):
        if low >= 0:
            axes.set_ylim(*((-0.03, max(1.03, 1.03 * high)) if high > 0.3 else (-0.03 * high, None)))
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=None))
    elif low >= 0:
        axes.set_ylim(bottom=-0.03 * high if isinstance(panel, Points) else 0)  # a point at 0 is seen whole


def _few_ticks(axes: Axes) -> None:
    """Label 1, 2 and 5 where a log axis is short, and mark no parts of decades where it is long."""
    low, high = axes.get_ylim()
    if high > 1e3 * low:
        axes.yaxis.set_minor_locator(NullLocator())
    elif high < 50 * low:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
        axes.yaxis.set_major_formatter(
            LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(math.inf, math.inf))
        )
        axes.yaxis.set_minor_locator(NullLocator())


def legend(
    axes: Axes, key: str, drawn: Sequence[Floats] = (), extra: Sequence[Line2D] = (), *, log: bool = False
) -> None:
    """Name the lines where there are several, and the marks of `log_line` where there are any."""
    handles, labels = axes.get_legend_handles_labels()
    known = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label and key]
    known += [(line, str(line.get_label())) for line in extra]
    found = np.concatenate([np.ravel(values) for values in drawn]) if log and drawn else np.zeros(0)
    marks = (("v", "exactly 0", (found >= 0) & (found < SMALLEST)), ("x", "NaN or infinite", ~np.isfinite(found)))
    known += [
        (Line2D([], [], ls="", marker=marker, color="0.3", ms=4.5), words) for marker, words, at in marks if at.any()
    ]
    explain(axes, known)


def said_once(panels: Iterable[Axes]) -> None:
    """Of panels with the same legend, keep that of the first one, or of the last one where it stands beside them."""
    before: dict[tuple[str, ...], Axes] = {}
    for axes in panels:
        own = axes.get_legend()
        if own is None:
            continue
        entries = tuple(text.get_text() for text in own.get_texts())
        kept = before.setdefault(entries, axes)
        if kept is not axes:
            spare, before[entries] = (kept, axes) if len(entries) > MOST_INSIDE else (axes, kept)
            explained = spare.get_legend()
            if explained is not None:
                explained.remove()


def explain(axes: Axes, known: Sequence[tuple[Any, str]]) -> None:
    """A legend where it covers least; beside the panel, where it is too long to find a place in it."""
    beside: Mapping[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "borderaxespad": 0.2}
    if known:
        place = beside if len(known) > MOST_INSIDE else {"loc": "best"}
        axes.legend(*zip(*known, strict=True), handlelength=1.4, fontsize=8, **place)
