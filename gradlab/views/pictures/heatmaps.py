"""Heat maps of layer × time.

Suffixes: T recorded steps, L layers, C columns of a picture.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

from gradlab.measures.profiles import Flags, Floats, Numbers
from gradlab.views.pictures.axes import depth_axis, step_axis

MOST_COLUMNS = 600
ZERO_CELLS: dict[str, Any] = {"facecolor": "0.85", "edgecolor": "0.35", "hatch": "/////", "linewidth": 0}
BROKEN_CELLS: dict[str, Any] = {"facecolor": "white", "edgecolor": "black", "hatch": "xxxxx", "linewidth": 0}
"""The hatching of cells that are exactly 0, and of cells that are NaN or infinite."""


def columns_in_time(steps_T: Numbers) -> tuple[NDArray[np.intp], tuple[float, float]]:
    """The columns of a heat map whose horizontal axis is even in time, however the recorded steps are spaced.

    Returns:
        for each column the index of the recorded step nearest to it; the steps at the left and right edge.
    """
    first, last = int(steps_T[0]), int(steps_T[-1])
    at = np.linspace(first, last, min(last - first + 1, MOST_COLUMNS))
    return np.searchsorted((steps_T[1:] + steps_T[:-1]) / 2, at), (first - 0.5, last + 0.5)


def layer_heat_map(
    axes: Axes, values_LC: Floats, layers_L: Numbers, edges: tuple[float, float], *, output: bool = False, **scale: Any
) -> AxesImage:
    """Draw layer × column in colour; `scale` holds the options of `imshow` that map numbers to colours.

    Args:
        axes: where to.
        values_LC: a number a cell; NaN stays white.
        layers_L: layer numbers.
        edges: first and last step at the left and right edge.
        output: whether the last layer is the output layer.
        scale: `vmin`, `vmax`, `cmap`.
    """
    bounds = (*edges, float(layers_L[0]) - 0.5, float(layers_L[-1]) + 0.5)
    image = axes.imshow(values_LC, origin="lower", aspect="auto", interpolation="nearest", extent=bounds, **scale)
    axes.grid(False)
    depth_axis(axes, layers_L, vertical=True, output=output)
    step_axis(axes, round(edges[0] + 0.5), round(edges[1] - 0.5))
    axes.set_ylim(bounds[2:])
    return image


def fill_cells(axes: Axes, cells_LC: Flags, layers_L: Numbers, edges: tuple[float, float], **look: Any) -> None:
    """Hatch some cells of a heat map, as one patch: cells that have no colour.

    Args:
        axes: where the heat map is.
        cells_LC: which cells, layer × column.
        layers_L: layer numbers.
        edges: left and right edge of the columns.
        look: `ZERO_CELLS` or `BROKEN_CELLS`, and perhaps a `label` for the legend.
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
