"""Axes, lines and legends that several pictures share: depth, steps, log scales, and values that no log scale can hold.

Suffix L: layers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatterSciNotation, MaxNLocator, NullLocator
from numpy.typing import NDArray

from gradlab.measures.profiles import Flags, Floats, Numbers
from gradlab.text import shortened

SMALLEST, LARGEST = 1e-300, 1e300
"""The range of a log axis. Smaller numbers are drawn as 0, larger ones as infinity."""
LAYERS = "layer"
"""How the label of an axis of layers begins."""
NAME = 14
"""Characters of a module's name at a tick."""
MOST_MARKS = 20
"""Marks of zeros, or of values that are not finite, on one line at most."""


def depth_axis(axes: Axes, layers_L: Numbers, *, vertical: bool = False, output: bool = False) -> None:
    """Label an axis with layer numbers; `output` says that the last one is the output layer."""
    first, last = (int(layers_L.min()), int(layers_L.max())) if len(layers_L) else (0, 0)
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(_whole_numbers(first, last))
    axis.set_minor_locator(NullLocator())
    axis.set_label_text(f"{LAYERS} (0 = nearest the input{f', {last} = output' if output else ''})")
    margin = max(0.5, (last - first) * 0.03)
    (axes.set_ylim if vertical else axes.set_xlim)(first - margin, last + margin)


def name_layers(figure: Figure, names: Mapping[int, str]) -> None:
    """Write names of modules instead of layer numbers along the axes of a picture that is drawn."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_label_text().startswith(LAYERS):
                axis.set_major_formatter(FuncFormatter(lambda layer, _: shortened(names.get(round(layer), ""), NAME)))
                axis.set_label_text("module, in the order from the input")
                if axis is axes.xaxis:
                    axes.tick_params("x", rotation=20)


def step_axis(axes: Axes, first: int, last: int) -> None:
    """Label the horizontal axis with step numbers."""
    axes.xaxis.set_major_locator(_whole_numbers(first, last))
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.set_xlabel("step")


def _whole_numbers(first: int, last: int) -> FixedLocator:
    """Ticks from `first` to `last`. Beyond, the names of lines may stand."""
    ticks = MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]).tick_values(first, max(last, first + 1))
    return FixedLocator([tick for tick in ticks if first <= tick <= last])


def log_axis(axes: Axes, values: NDArray[np.float64], decades: float = 3, *, axis: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic and at least some decades long, so that a level profile looks level."""
    drawable = values[(values >= SMALLEST) & (values <= LARGEST)]
    low, high = np.log10([drawable.min(), drawable.max()]) if drawable.size else (-1.0, 0.0)
    margin = max((decades - (high - low)) / 2, 0.06 * (high - low))
    low, high = max(low - margin, -307.0), min(high + margin, 308.0)
    axes.autoscale(False, axis)  # matplotlib's own limits overflow near the largest float
    axes.set(**{f"{axis}scale": "log", f"{axis}lim": (10**low, 10**high)})
    scale, nbins = (axes.yaxis, 7) if axis == "y" else (axes.xaxis, 3)
    ticks = MaxNLocator(nbins=nbins, integer=True, steps=[1, 2, 3, 5, 10]).tick_values(low, high)
    scale.set_major_locator(FixedLocator([10**tick for tick in ticks if low <= tick <= high]))
    if high - low > 8 or axis == "x":
        scale.set_minor_locator(NullLocator())


def few_ticks(axes: Axes) -> None:
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


def log_line(axes: Axes, x: NDArray[Any], y: Floats, **style: Any) -> None:
    """A line on a log axis. Exact zeros are marked ▾ at its lower edge, NaN and infinity × at its upper edge.

    What is masked in `y` has no value, and is a gap.
    """
    y, missing = np.ma.filled(y, np.nan), np.ma.getmaskarray(y)
    drawable = (y >= SMALLEST) & (y <= LARGEST)
    axes.plot(x, np.where(drawable, y, np.nan), **style)
    edge = axes.get_xaxis_transform()
    colour = style.get("color")
    for where, height, marker in ((_is_zero(y), 0.015, "v"), (~np.isfinite(y) & ~missing, 0.985, "x")):
        if where.any():
            at = x[where][:: -(-int(where.sum()) // MOST_MARKS)]  # thinned: a row of neighbours would look like a bar
            axes.plot(at, np.full(len(at), height), marker, ms=4.5, color=colour, transform=edge, clip_on=False)


LEGEND_ABOVE: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1, 1),
    "borderaxespad": 0.1,
    "columnspacing": 1,
    "handletextpad": 0.5,
    "handlelength": 1.5,
}
"""Place of a legend above the axes, where it covers nothing."""


def mark_handles(*values: Floats) -> list[Line2D]:
    """Entries of a legend for the marks that `log_line` draws of these values."""
    y = np.concatenate([np.ma.compressed(value) for value in values]) if values else np.empty(0)
    marks = (("v", "exactly 0", _is_zero(y)), ("x", "NaN or infinite", ~np.isfinite(y)))
    style: dict[str, Any] = {"ls": "", "color": "0.3", "ms": 4.5}
    return [Line2D([], [], marker=marker, label=label, **style) for marker, label, where in marks if where.any()]


def _is_zero(y: Floats) -> Flags:
    """Where `log_line` marks a value as exactly 0."""
    return np.asarray((y >= 0) & (y < SMALLEST))


def legend(axes: Axes, *values: Floats, extra: Sequence[Line2D] = (), **place: Any) -> None:
    """A legend of what has a label, of the entries in `extra`, and of the marks that `log_line` draws of the values."""
    labelled, _ = axes.get_legend_handles_labels()
    handles = [*labelled, *extra, *mark_handles(*values)]
    if handles:
        axes.legend(handles=handles, **{"loc": "best", "handlelength": 1.8, **place})


def name_lines(
    axes: Axes, x: NDArray[Any], lines: Sequence[tuple[str, Any, Floats]], *, left: bool = False, wide: bool = False
) -> None:
    """Write each line's name beside its first or last point, each at a height of its own.

    Args:
        axes: with a log axis whose limits are final.
        x: positions of the points.
        lines: name, colour and values of each line.
        left: beside the first point instead of the last.
        wide: whether the axes fill the picture's width, where names need a smaller share of it.
    """
    low, high = np.log10(axes.get_ylim())
    ends = np.array([values[0 if left else -1] for _, _, values in lines])
    drawn = np.where(np.isfinite(ends), np.clip(ends, 10**low, 10**high), 10**high)
    heights = (np.log10(drawn) - low) / (high - low)
    first, last = axes.get_xlim()
    room = (last - first) * (0.06 + 0.024 * max(len(name) for name, _, _ in lines)) / (2 if wide else 1)
    axes.set_xlim(first - room * left, last + room * (not left))
    at = x.min() if left else x.max()
    beside = at - room / 4 if left else at + room / 4
    place = axes.get_xaxis_transform()
    for (name, colour, _), height, shown in zip(lines, heights, spread_heights(heights), strict=True):
        axes.plot([at, beside], [height, shown], color=colour, lw=0.6, transform=place)
        axes.text(beside, shown, name, ha="right" if left else "left", va="center", fontsize=8, transform=place)


def fans_out(first: Floats, last: Floats) -> bool:
    """Whether lines lie further apart, in decades, at their first points than at their last ones."""
    spans = []
    for ends in (first, last):
        drawable = ends[(ends >= SMALLEST) & (ends <= LARGEST)]
        spans.append(np.ptp(np.log10(drawable)) if drawable.size else 0.0)
    return bool(spans[0] > 1.5 * spans[1])


def spread_heights(heights: Floats, gap: float = 0.058) -> Floats:
    """Move heights in [0, 1] apart until each is `gap` from the next. Equal heights keep their order."""
    order = np.argsort(np.round(heights / (gap / 2)), kind="stable")
    shown = np.clip(heights[order], 0.03, 0.97)
    for index in range(1, len(shown)):
        shown[index] = max(shown[index], shown[index - 1] + gap)
    shown -= max(0.0, shown[-1] - 0.97) if len(shown) else 0.0  # too high: move all down
    for index in range(len(shown) - 2, -1, -1):
        shown[index] = min(shown[index], shown[index + 1] - gap)
    moved = np.empty_like(shown)
    moved[order] = shown
    return moved


def mark_bad_step(axes: Axes, step: int | None, *, named: bool = True) -> None:
    """Mark where a run diverged; small panels have no room for the name."""
    if step is None:
        return
    axes.axvline(step, color="black", ls=(0, (1, 1.5)), lw=1.2)
    if not named:
        return
    first, last = axes.get_xlim()
    right = step > (first + last) / 2
    note = axes.annotate(
        f"diverged at step {step}",
        (step, 0.97),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-4 if right else 4, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
    )
    note.set_in_layout(False)
