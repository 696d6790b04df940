"""A comparison as one picture: the gradient flow of each row in a small panel, all on one scale.

Where exactly two settings differ and are crossed, heat maps of decades per layer and of accuracy stand above them.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gradlab.errors import UserError
from gradlab.text import MINUS, setting_text
from gradlab.views import PlotFormat
from gradlab.views.comparison.comparison import ComparedConfiguration, Comparison, ten_to_the
from gradlab.views.pictures.axes import log_axis, log_line, mark_handles
from gradlab.views.pictures.heatmaps import BROKEN_CELLS
from gradlab.views.pictures.labels import setting_label
from gradlab.views.pictures.sheet import drawing, new_figure, picture_title, write_figure

FORMATS = get_args(PlotFormat)
MOST_PANELS = 60
"""A picture has room for so many panels; of more rows only the first are drawn."""
MOST_ACROSS = 8
"""Panels beside one another at most."""
POSITIONS = 41
"""Points of a panel's line, from the first hidden layer to the last."""
LEVEL = 0.02
"""The colours of the heat map span at least ± so many decades per layer, so that smaller slopes look like none."""
START, END = "#9ecae1", "#08306b"
"""Colours of the first record and of the last."""


def save_picture(comparison: Comparison, file: Path) -> str:
    """Draw a comparison into a file.

    Returns:
        What was left out, in words; empty where nothing was.

    Raises:
        UserError: the file's ending names no format, or no row is there to draw.
        RunFolderError: it cannot be written.
    """
    if file.suffix[1:] not in FORMATS:
        raise UserError(f"--plot: {file} is not named like a picture", fix=f"Endings are: .{', .'.join(FORMATS)}")
    if not any(run.profiles["end"] for row in comparison.rows for run in row.runs):
        raise UserError("there is nothing to draw: no finished run has recorded a gradient")
    figure, left_out = draw(comparison)
    write_figure(figure, file)
    return left_out


def draw(comparison: Comparison) -> tuple[Figure, str]:
    """The picture, and what was left out of it, in words."""
    grid = crossed_settings(comparison)
    rows = comparison.rows[:MOST_PANELS]
    crossed = grid is not None and len(grid.columns) <= MOST_ACROSS and len(comparison.rows) <= MOST_PANELS
    across = len(grid.columns) if grid and crossed else min(len(rows), 5 if len(rows) > 8 else 4)
    down = len(grid.lines) if grid and crossed else -(-len(rows) // across)
    height = 0.55 + 1.25 * down + 0.35
    maps = 0.9 + 0.34 * len(grid.lines) if grid else 0.0
    with drawing():
        figure = new_figure(height + maps)
        below: Any = figure
        if grid:
            parts: Any = figure.subfigures(2, 1, height_ratios=[maps, height], hspace=0.02)
            above, below = parts
            _heat_maps(above, grid)
        panels = below.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        if grid and crossed:
            _crossed(panels, grid, rows)
        else:
            _listed(panels, rows)
        _finish(below, panels, rows)
        picture_title(figure, _title(comparison))
    left = len(comparison.rows) - len(rows)
    return figure, f"the picture has room for {MOST_PANELS} panels; {left} rows are not in it" if left else ""


def _title(comparison: Comparison) -> str:
    """The title: the rows whose gradient shrinks most, and grows most, toward the input."""
    slopes = [row.means["decades_per_layer_start"].value for row in comparison.rows]
    known = [(row, slope) for row, slope in zip(comparison.rows, slopes, strict=True) if slope is not None]
    if len(known) < 2:
        return "Gradient flow"
    (low, least), (high, most) = (pick(known, key=lambda item: item[1]) for pick in (min, max))
    return (
        f"RMS δ changes by {least:+.2f} decades per layer toward the input with {row_label(low)}, "
        f"by {most:+.2f} with {row_label(high)}"
    ).replace("-", MINUS)


def row_label(row: ComparedConfiguration) -> str:
    """The settings of a row in words."""
    return ", ".join(setting_label(key, value) for key, value in row.settings.items()) or "every run"


# -------------------------------------------------------------------------------------------------------------- panels


def _panel(axes: Axes, row: ComparedConfiguration | None, title: str) -> None:
    """Draw RMS δ against relative depth: each run as a thin line, the mean over the runs as a thick one."""
    axes.set_title(textwrap.fill(title, 24, break_long_words=False), fontsize=7.5, loc="left", pad=3)
    if row is None:
        axes.text(0.5, 0.5, "no run", ha="center", va="center", color="0.5", fontsize=8, transform=axes.transAxes)
        return
    at = np.linspace(0, 1, POSITIONS)
    for moment, colour in (("start", START), ("end", END)):
        for run in row.runs:
            if len(row.runs) > 1:
                alone = ComparedConfiguration(row.settings, [run])
                log_line(axes, at, _powers(alone, moment), color=colour, lw=0.5, alpha=0.5)
        log_line(axes, at, _powers(row, moment), color=colour, lw=1.5)


def _powers(row: ComparedConfiguration, moment: str) -> NDArray[np.float64]:
    return np.array([math.nan if log is None else ten_to_the(log) for log in row.profile(moment, POSITIONS)])


def _crossed(panels: NDArray[Any], grid: "CrossedSettings", rows: Sequence[ComparedConfiguration]) -> None:
    """Draw the panels of crossed settings: one setting down, the other across."""
    for line, line_value in enumerate(grid.lines):
        for column, column_value in enumerate(grid.columns):
            row = grid.cells.get((line, column))
            names = [setting_label(grid.keys[1], column_value)] if line == 0 else []
            axes = panels[line, column]
            _panel(axes, row, names[0] if names else "")
            if column == 0:
                axes.set_ylabel(
                    textwrap.fill(setting_label(grid.keys[0], line_value), 14, break_long_words=False), fontsize=8
                )


def _listed(panels: NDArray[Any], rows: Sequence[ComparedConfiguration]) -> None:
    """Draw a panel for each row, titled with the settings that not all rows share."""
    same = {key for key, value in rows[0].settings.items() if all(row.settings.get(key) == value for row in rows)}
    for axes, row in zip(panels.flat, rows, strict=False):
        own = {key: value for key, value in row.settings.items() if key not in same or len(rows) == 1}
        _panel(axes, row, row_label(replace(row, settings=own)))
    for axes in panels.flat[len(rows) :]:
        axes.set_axis_off()


def _finish(figure: Any, panels: NDArray[Any], rows: Sequence[ComparedConfiguration]) -> None:
    """Give all panels one scale, and the picture a legend."""
    values = np.concatenate([_powers(row, moment) for row in rows for moment in ("start", "end")])
    log_axis(panels[0, 0], values)
    for axes in panels.flat:
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 1], ["first", "last"])
        axes.tick_params(labelsize=7.5)
    handles = [
        Line2D([], [], color=colour, label=label) for colour, label in ((START, "first record"), (END, "last record"))
    ]
    if any(len(row.runs) > 1 for row in rows):
        handles.append(Line2D([], [], color="0.5", lw=0.5, label="single runs"))
    handles += mark_handles(values)
    figure.legend(handles=handles, loc="outside lower right", ncols=len(handles), frameon=False)
    figure.supxlabel("hidden layer", fontsize=9)
    figure.supylabel("RMS δ", fontsize=9)


# ----------------------------------------------------------------------------------------------------------- heat maps


class CrossedSettings:
    """Two settings with their values, and the row of each pair of values: the cells of a grid.

    Args:
        keys: the setting whose values go down, and the setting whose values go across.
        rows: the rows.
    """

    def __init__(self, keys: tuple[str, str], rows: Sequence[ComparedConfiguration]) -> None:
        self.keys = keys
        self.lines, self.columns = (list(dict.fromkeys(row.settings[key] for row in rows)) for key in keys)
        self.cells: Mapping[tuple[int, int], ComparedConfiguration] = {
            (self.lines.index(row.settings[keys[0]]), self.columns.index(row.settings[keys[1]])): row for row in rows
        }

    def means(self, name: str) -> NDArray[np.float64]:
        """The means of a measure, lines × columns; NaN where a cell has no row or its row has no number."""
        values = np.full((len(self.lines), len(self.columns)), np.nan)
        for place, row in self.cells.items():
            value = row.means[name].value
            values[place] = np.nan if value is None else value
        return values


def crossed_settings(comparison: Comparison) -> CrossedSettings | None:
    """The grid of two settings, if exactly two settings differ and at least half of their pairs are rows; else None.

    The setting with more values goes across, if there is room for it.
    """
    values = {
        key: list(dict.fromkeys(row.settings.get(key) for row in comparison.rows)) for key in comparison.differing
    }
    keys = sorted((key for key in values if len(values[key]) > 1), key=lambda key: len(values[key]))
    if len(keys) != 2:
        return None
    down, across = keys if len(values[keys[1]]) <= MOST_ACROSS else reversed(keys)
    grid = CrossedSettings((down, across), comparison.rows)
    sparse = len(grid.cells) < 0.5 * len(grid.lines) * len(grid.columns)
    return grid if len(grid.cells) == len(comparison.rows) and not sparse else None


def _heat_maps(figure: Any, grid: CrossedSettings) -> None:
    left, right = figure.subplots(1, 2)
    slopes = grid.means("decades_per_layer_start")
    reach = max(float(np.nanmax(np.abs(slopes))) if np.isfinite(slopes).any() else 0.0, LEVEL)
    title = "decades per layer, start: red vanishes, blue explodes"
    _heat_map(left, grid, slopes, title, "{:+.2f}", "RdBu", TwoSlopeNorm(0, -reach, reach))
    accuracy = grid.means("test_accuracy")
    _heat_map(right, grid, accuracy, "test accuracy", "{:.0%}", "viridis", mpl.colors.Normalize(0, 1))
    left.set_ylabel(grid.keys[0].rpartition(".")[2])
    right.set_yticklabels([])


def _heat_map(
    axes: Axes, grid: CrossedSettings, values: NDArray[np.float64], title: str, form: str, colours: str, norm: Any
) -> None:
    """Draw a number in each cell, as a colour and as text."""
    image = axes.imshow(values, aspect="auto", cmap=colours, norm=norm)
    axes.grid(False)
    axes.set_title(title)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(
        range(len(grid.columns)),
        [textwrap.fill(setting_text(value), 12, break_long_words=False) for value in grid.columns],
    )
    axes.set_yticks(range(len(grid.lines)), [setting_text(value) for value in grid.lines])
    axes.tick_params(length=0)
    axes.set_xlabel(grid.keys[1].rpartition(".")[2])
    for (line, column), value in np.ndenumerate(values):
        if math.isfinite(value):
            red, green, blue, _ = image.cmap(norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            text = form.format(value).replace("-", MINUS)
            axes.text(column, line, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
        elif (line, column) in grid.cells:
            axes.add_patch(mpl.patches.Rectangle((column - 0.5, line - 0.5), 1, 1, **BROKEN_CELLS))
