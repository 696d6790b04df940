"""A claim as one picture that answers it at a glance: one to four panels, drawn from the runs."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradlab import run_folder
from gradlab.claims.claim import Histograms
from gradlab.claims.judging import Verdict
from gradlab.claims.measuring import Observation
from gradlab.measures.settings import matches
from gradlab.views.claims.lines import INCHES_A_LETTER, said_once
from gradlab.views.claims.panels import PAINTERS
from gradlab.views.pictures.sheet import DPI, WIDTH, drawing, picture_title


def save_picture(verdict: Verdict, observations: Sequence[Observation], file: Path) -> None:
    """Draw a claim into a file.

    Raises:
        RunFolderError: it cannot be written.
    """
    figure = draw(verdict, observations)
    try:
        with drawing():
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file)
    except OSError as error:
        raise run_folder.cannot_write(file, error) from error


def draw(verdict: Verdict, observations: Sequence[Observation]) -> Figure:
    """The picture of a claim."""
    panels = verdict.claim.picture
    across = len(panels) if len(panels) < 4 else 2
    down = -(-len(panels) // across)
    with drawing():
        figure = Figure(figsize=(WIDTH, 0.5 + 2.9 * down), dpi=DPI, layout="constrained")
        grid = figure.subplots(down, across, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            axes.set_title(textwrap.fill(panel.title, round((WIDTH / across - 0.8) / INCHES_A_LETTER)))
            chosen = [one for one in observations if matches(one.settings, panel.of)]
            PAINTERS[type(panel)](axes, panel, chosen, observations)
        _share(list(zip(grid.flat, panels, strict=False)))
        said_once(grid.flat)
        picture_title(figure, f"{verdict.claim.title}: {verdict.word}")
    return figure


def _share(drawn: Sequence[tuple[Axes, Any]]) -> None:
    """Panels of one distribution are read side by side: the same horizontal scale."""
    distributions = [axes for axes, panel in drawn if isinstance(panel, Histograms)]
    widest = max((max(map(abs, axes.get_xlim())) for axes in distributions), default=0.0)
    for axes in distributions:
        axes.set_xlim(-widest, widest)
