"""What all pictures share: style, depth and log axes, labels on lines, and words for what cannot be drawn.

Everything is drawn inside `drawing()`, so that neither the user's matplotlib settings change the pictures nor the
pictures the settings. Suffixes: T recorded steps, L layers.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from gradlab.measures.profiles import Flags, Floats, Numbers

WIDTH = 8.3
"""Inches of every picture: at a README's 830 pixels, type is as large as it says."""
DPI = 150
STYLE: dict[str, Any] = {
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.borderpad": 0.3,
    "hatch.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "svg.hashsalt": "gradlab",  # the same run gives the same file
}
SMALLEST, LARGEST = 1e-300, 1e300
"""What a log axis can hold with room around it; smaller is drawn as 0, larger as infinity."""
MOST_STEPS = 6
"""Lines in a picture of early to late."""
MOST_MARKS = 20
"""Marks of zeros or of broken values on one line at most."""
THEORY_STYLE: dict[str, Any] = {"color": "#f28e2b", "ls": "--", "lw": 1.5, "zorder": 4}
"""A prediction: light on the dark line that it should cover, dark enough on white."""

ZERO_CELLS: dict[str, Any] = {"facecolor": "0.85", "edgecolor": "0.35", "hatch": "/////", "linewidth": 0}
BROKEN_CELLS: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "hatch": "xxxxx", "linewidth": 0}
"""Cells of a heat map that have no colour: exactly 0, and NaN or infinite."""


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib's own defaults and gradlab's style, for as long as the context lasts."""
    with mpl.style.context(["default", STYLE]):
        yield


def picture_title(figure: Figure, text: str) -> None:
    """Write what the picture shows above it."""
    lines = [textwrap.fill(line, 88) for line in text.splitlines()]
    figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=11, fontweight="bold")


def write_instead(axes: Axes, text: str) -> None:
    """Write why there is nothing to draw."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.text(0.5, 0.5, textwrap.fill(text, 34), ha="center", va="center", color="0.35", transform=axes.transAxes)


def colour_ramp(count: int) -> list[Any]:
    """Colours from light (early, or near the input) to dark, also in greyscale."""
    return [mpl.colormaps["viridis"](position) for position in np.linspace(0.8, 0.0, max(count, 1))]


def some_steps(steps_T: Numbers, count: int = MOST_STEPS) -> list[int]:
    """Indices of some recorded steps from the first to the last, denser at the start, where most happens."""
    if not len(steps_T):
        return []
    return sorted({round(index) - 1 for index in np.geomspace(1, len(steps_T), count).tolist()})


# ------------------------------------------------------------------------------------------------------------- axes


def depth_axis(axes: Axes, layers_L: Numbers, *, vertical: bool = False, output: bool = False) -> None:
    """Label an axis with layer numbers; `output` says that the last one is the output layer."""
    first, last = (int(layers_L.min()), int(layers_L.max())) if len(layers_L) else (0, 0)
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(_whole_numbers(first, last))
    axis.set_minor_locator(NullLocator())
    axis.set_label_text(f"layer (0 = nearest the input{f', {last} = output' if output else ''})")
    margin = max(0.5, (last - first) * 0.03)
    (axes.set_ylim if vertical else axes.set_xlim)(first - margin, last + margin)


def step_axis(axes: Axes, first: int, last: int) -> None:
    """Label the horizontal axis with step numbers."""
    axes.xaxis.set_major_locator(_whole_numbers(first, last))
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.set_xlabel("step")


def _whole_numbers(first: int, last: int) -> FixedLocator:
    """Ticks from `first` to `last` and not beyond, where names of lines may stand."""
    ticks = MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]).tick_values(first, max(last, first + 1))
    return FixedLocator([tick for tick in ticks if first <= tick <= last])


def log_axis(axes: Axes, values: NDArray[np.float64], decades: float = 3) -> None:
    """Make the vertical axis logarithmic and at least some decades high, so that what is level looks level."""
    drawable = values[(values >= SMALLEST) & (values <= LARGEST)]
    low, high = np.log10([drawable.min(), drawable.max()]) if drawable.size else (-1.0, 0.0)
    margin = max((decades - (high - low)) / 2, 0.06 * (high - low))
    low, high = max(low - margin, -307.0), min(high + margin, 308.0)
    axes.set_autoscaley_on(False)  # matplotlib's own limits overflow near the largest float
    axes.set_yscale("log")
    axes.set_ylim(10**low, 10**high)
    ticks = MaxNLocator(nbins=7, integer=True, steps=[1, 2, 3, 5, 10]).tick_values(low, high)
    axes.yaxis.set_major_locator(FixedLocator([10**tick for tick in ticks if low <= tick <= high]))
    if high - low > 8:
        axes.yaxis.set_minor_locator(NullLocator())


def log_line(axes: Axes, x: NDArray[Any], y: Floats, **style: Any) -> None:
    """A line on a log axis; exact zeros become ▾ at its lower edge, NaN and infinity × at its upper one."""
    drawable = (y >= SMALLEST) & (y <= LARGEST)
    axes.plot(x, np.where(drawable, y, np.nan), **style)
    edge = axes.get_xaxis_transform()
    colour = style.get("color")
    for where, height, marker in (((y >= 0) & (y < SMALLEST), 0.015, "v"), (~np.isfinite(y), 0.985, "x")):
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
"""Place of a legend that must not cover what is at the edges of the axes."""


def edge_legend(axes: Axes, *values: Floats, extra: Sequence[Line2D] = (), **place: Any) -> None:
    """Explain the marks of `log_line` where they occur, and whatever else there is."""
    y = np.concatenate([value.ravel() for value in values]) if values else np.empty(0)
    handles = list(extra)
    if ((y >= 0) & (y < SMALLEST)).any():
        handles.append(Line2D([], [], ls="", marker="v", color="0.3", ms=4.5, label="exactly 0"))
    if (~np.isfinite(y)).any():
        handles.append(Line2D([], [], ls="", marker="x", color="0.3", ms=4.5, label="NaN or infinite"))
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
    """Move heights in [0, 1] apart until each is `gap` from the next; those that coincide keep their order."""
    order = np.argsort(np.round(heights / (gap / 2)), kind="stable")
    shown = np.clip(heights[order], 0.03, 0.97)
    for index in range(1, len(shown)):
        shown[index] = max(shown[index], shown[index - 1] + gap)
    shown -= max(0.0, shown[-1] - 0.97) if len(shown) else 0.0  # what was pushed out at the top pushes back
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


# --------------------------------------------------------------------------------------------------------- heat maps


def columns_in_time(steps_T: Numbers, columns: int = 600) -> tuple[NDArray[np.intp], tuple[float, float]]:
    """Columns of a picture that is even in time, whatever was recorded when.

    Returns:
        for each column the index of the recorded step nearest to it; the steps at the left and right edge.
    """
    first, last = int(steps_T[0]), int(steps_T[-1])
    at = np.linspace(first, last, min(last - first + 1, columns))
    return np.searchsorted((steps_T[1:] + steps_T[:-1]) / 2, at), (first - 0.5, last + 0.5)


def fill_cells(
    axes: Axes, cells_LC: Flags, layers_L: Numbers, edges: tuple[float, float], look: dict[str, Any]
) -> None:
    """Hatch some cells of a heat map, as one patch.

    Args:
        axes: where the heat map is.
        cells_LC: which, layer × column.
        layers_L: layer numbers.
        edges: left and right edge of the columns.
        look: `ZERO_CELLS` or `BROKEN_CELLS`.
    """
    if not cells_LC.any():
        return
    columns = cells_LC.shape[1]
    steps = np.diff(np.pad(cells_LC.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(steps == 1)  # row by row, runs of neighbours become one rectangle
    end = np.nonzero(steps == -1)[1]
    left, right = (edges[0] + (edges[1] - edges[0]) * position / columns for position in (start, end))
    bottom, top = layers_L[row] - 0.5, layers_L[row] + 0.5
    corners = np.stack([left, bottom, right, bottom, right, top, left, top, left, bottom], axis=1).reshape(-1, 2)
    codes = np.tile([Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY], len(row))
    axes.add_patch(PathPatch(Outline(corners, codes), **look))
