"""Pictures of a run, drawn with matplotlib's object interface: no window, no global state. Torch-free."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import numpy as np
from matplotlib.figure import Figure

from gradlab.errors import UserError
from gradlab.measures.network import is_own
from gradlab.measures.profiles import layer_names
from gradlab.tables import Tables
from gradlab.views import PlotFormat
from gradlab.views.pictures.axes import name_layers
from gradlab.views.pictures.distributions import activation_histograms, activation_statistics, unit_health
from gradlab.views.pictures.gradients import gradient_flow, gradient_heatmap
from gradlab.views.pictures.overview import overview
from gradlab.views.pictures.sheet import drawing, new_figure, save_figure
from gradlab.views.pictures.training import training, updates

FORMATS: tuple[PlotFormat, ...] = get_args(PlotFormat)
PICTURES: Mapping[str, tuple[Callable[[Figure, Tables], None], float]] = {
    "gradient_flow": (gradient_flow, 4.0),
    "gradient_heatmap": (gradient_heatmap, 3.8),
    "activation_statistics": (activation_statistics, 4.0),
    "activation_histograms": (activation_histograms, 5.2),
    "unit_health": (unit_health, 3.8),
    "updates": (updates, 3.8),
    "training": (training, 3.6),
    "overview": (overview, 7.2),
}
"""For each picture, the function that draws it and its height in inches. A new picture is a function and an entry."""


def figure(run: Tables, name: str) -> Figure:
    """Draw a picture.

    Args:
        run: a run, in whatever state.
        name: a key of `PICTURES`.

    Raises:
        UserError: there is no such picture.
    """
    if name not in PICTURES:
        raise UserError(f"there is no picture {name!r}", fix=f"Pictures are: {', '.join(PICTURES)}.")
    draw, height = PICTURES[name]
    with drawing(), np.errstate(all="ignore"):  # NaN and infinity are what a diverged network measures
        drawn = new_figure(height)
        draw(drawn, run)
        if is_own(run):
            name_layers(drawn, layer_names(run.layers))
    return drawn


def save_pictures(run: Tables, folder: Path, format: PlotFormat = "png") -> list[Path]:
    """Draw every picture into a folder, which is made where it is missing.

    Returns:
        the files written, in the order of `PICTURES`.

    Raises:
        UserError: the format is not one of `FORMATS`.
    """
    if format not in FORMATS:
        raise UserError(f"plots cannot be written as {format!r}", fix=f"Formats are: {', '.join(FORMATS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in PICTURES:
        paths.append(folder / f"{name}.{format}")
        save_figure(figure(run, name), paths[-1])
    return paths
