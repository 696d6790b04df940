"""What all pictures share: size, style, colours, title, and how they are written into a file.

Everything is drawn inside `drawing()`, so that neither the user's matplotlib settings change the pictures nor the
pictures the settings. Suffixes: T recorded steps, L layers.
"""

import textwrap
from collections.abc import Mapping
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradlab import run_folder
from gradlab.measures.profiles import Numbers
from gradlab.writing import write_file

WIDTH = 8.3
"""Inches of every picture: at a README's 830 pixels, type is as large as it says."""
DPI = 150
INCHES_A_LETTER = 0.08
"""About the width of a letter in titles and along axes."""
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
    "svg.fonttype": "none",  # text stays text
}
UNDATED: Mapping[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""What keeps the time out of a file, so that the same run gives the same one."""
MOST_LINES = 6
"""Recorded steps, or layers, that are shown at most where each of them is a line."""
THEORY_STYLE: dict[str, Any] = {"color": "#f28e2b", "ls": "--", "lw": 1.5, "zorder": 4}
"""The line of a prediction: light enough on the dark line of the measurement, dark enough on white."""


class Picture(Figure):
    """A figure that a notebook shows, whatever the backend of matplotlib is there."""

    def _repr_png_(self) -> bytes:
        return picture_bytes(self, "png")


def drawing() -> AbstractContextManager[None]:
    """Matplotlib's own defaults and gradlab's style, for as long as the context lasts."""
    return mpl.style.context(["default", STYLE])


def new_figure(height: float) -> Figure:
    """An empty picture of the usual width; `height` is in inches."""
    return Picture(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def save_figure(figure: Figure, file: Path) -> None:
    """Write a picture in the format of the file's ending."""
    write_file(file, picture_bytes(figure, file.suffix[1:]))


def picture_bytes(figure: Figure, format: str) -> bytes:
    """A picture in a format; the same picture gives the same bytes."""
    drawn = BytesIO()
    with drawing():  # matplotlib reads some settings only now
        figure.savefig(drawn, format=format, metadata=UNDATED.get(format))
    return drawn.getvalue()


def write_figure(figure: Figure, file: Path) -> None:
    """`save_figure` into a folder that is made where it is missing.

    Raises:
        RunFolderError: the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_figure(figure, file)
    except OSError as error:
        raise run_folder.cannot_write(file, error) from error


def picture_title(figure: Figure, text: str) -> None:
    """Write above a picture what it shows."""
    lines = [textwrap.fill(line, 88) for line in text.splitlines()]
    figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=11, fontweight="bold")


def write_instead(axes: Axes, text: str) -> None:
    """Write into empty axes why there is nothing to draw."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.text(0.5, 0.5, textwrap.fill(text, 34), ha="center", va="center", color="0.35", transform=axes.transAxes)


def colour_ramp(count: int) -> list[Any]:
    """Colours from light (early, or near the input) to dark, also in greyscale."""
    return [mpl.colormaps["viridis"](position) for position in np.linspace(0.8, 0.0, max(count, 1))]


def some_steps(steps_T: Numbers) -> list[int]:
    """Indices of some recorded steps, the first and the last among them; denser at the start, where most happens."""
    if not len(steps_T):
        return []
    return sorted({round(index) - 1 for index in np.geomspace(1, len(steps_T), MOST_LINES).tolist()})


def some_layers(layers_L: Numbers) -> list[int]:
    """Indices of some layers, evenly spaced, the first and the last among them."""
    count = min(MOST_LINES, len(layers_L))
    return sorted({round(index) for index in np.linspace(0, len(layers_L) - 1, count).tolist()})
