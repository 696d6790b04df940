"""Pictures of a run, drawn with matplotlib's object interface: no window, no global state. Torch-free."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from gradlab.errors import UserError
from gradlab.views.plots.activations import activation_histograms, activation_statistics, unit_health
from gradlab.views.plots.gradients import gradient_flow, gradient_heatmap
from gradlab.views.plots.overview import overview
from gradlab.views.plots.progress import training, updates
from gradlab.views.plots.sheet import DPI, WIDTH, drawing
from gradlab.views.reading import Run

PLOTS: Mapping[str, tuple[Callable[[Figure, Run], None], float]] = {
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


def figure(run: Run, name: str) -> Figure:
    """Draw a picture.

    Args:
        run: a run, in whatever state.
        name: a key of `PLOTS`.

    Raises:
        UserError: there is no such picture.
    """
    if name not in PLOTS:
        raise UserError(f"there is no picture {name!r}", fix=f"Pictures are: {', '.join(PLOTS)}.")
    draw, height = PLOTS[name]
    with drawing():
        sheet = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
        draw(sheet, run)
    return sheet


def save_plots(run: Run, folder: Path, format: Literal["png", "svg"] = "png") -> list[Path]:
    """Draw every picture into a folder, which is made where it is missing.

    Returns:
        the files written, in the order of `PLOTS`.

    Raises:
        UserError: the format is neither png nor svg.
    """
    if format not in ("png", "svg"):
        raise UserError(f"plots cannot be written as {format!r}", fix="Formats are: png, svg.")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in PLOTS:
        sheet = figure(run, name)
        paths.append(folder / f"{name}.{format}")
        with drawing():  # some settings are read only now
            sheet.savefig(paths[-1], metadata={"Date": None} if format == "svg" else None)
    return paths
