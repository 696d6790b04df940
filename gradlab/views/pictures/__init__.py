"""Pictures of a run, drawn with matplotlib's object interface: no window, no global state. Torch-free."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from gradlab.errors import UserError
from gradlab.tables import Tables
from gradlab.views.pictures.distributions import activation_histograms, activation_statistics, unit_health
from gradlab.views.pictures.gradients import gradient_flow, gradient_heatmap
from gradlab.views.pictures.overview import overview
from gradlab.views.pictures.sheet import DPI, WIDTH, drawing
from gradlab.views.pictures.training import training, updates

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
"""How each picture is drawn, and its height in inches."""


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
    with drawing():
        sheet = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        draw(sheet, run)
    return sheet


def save_pictures(run: Tables, folder: Path, format: Literal["png", "svg"] = "png") -> list[Path]:
    """Draw every picture into a folder, which is made where it is missing.

    Returns:
        the files written, in the order of `PICTURES`.

    Raises:
        UserError: the format is neither png nor svg.
    """
    if format not in ("png", "svg"):
        raise UserError(f"plots cannot be written as {format!r}", fix="Formats are: png, svg.")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in PICTURES:
        sheet = figure(run, name)
        paths.append(folder / f"{name}.{format}")
        with drawing():  # some settings are read only now
            sheet.savefig(paths[-1], metadata={"Date": None} if format == "svg" else None)
    return paths
