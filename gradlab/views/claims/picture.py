"""A claim as one picture that answers it at a glance: one to four panels, drawn from the runs."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradlab.claims.claim import Histograms
from gradlab.claims.judging import Verdict
from gradlab.claims.measuring import Observation
from gradlab.measures.settings import matches
from gradlab.views.claims.axes import drop_repeated_legends
from gradlab.views.claims.panels import PAINTERS
from gradlab.views.pictures.sheet import INCHES_A_LETTER, WIDTH, drawing, new_figure, picture_title, write_figure


def save_picture(verdict: Verdict, observations: Sequence[Observation], file: Path) -> None:
    """Draw the picture of a claim into a file.

    Raises:
        RunFolderError: it cannot be written.
    """
    write_figure(draw(verdict, observations), file)


def draw(verdict: Verdict, observations: Sequence[Observation]) -> Figure:
    """The picture of a claim."""
    panels = verdict.claim.picture
    across = len(panels) if len(panels) < 4 else 2
    down = -(-len(panels) // across)
    with drawing():
        figure = new_figure(0.5 + 2.9 * down)
        grid = figure.subplots(down, across, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            axes.set_title(textwrap.fill(panel.title, round((WIDTH / across - 0.8) / INCHES_A_LETTER)))
            chosen = [one for one in observations if matches(one.settings, panel.of)]
            PAINTERS[type(panel)](axes, panel, chosen, observations)
        _share_scale(list(zip(grid.flat, panels, strict=False)))
        drop_repeated_legends(grid.flat)
        picture_title(figure, f"{verdict.claim.title}: {verdict.word}")
    return figure


def _share_scale(drawn: Sequence[tuple[Axes, Any]]) -> None:
    """Give panels of distributions the same horizontal scale: they are compared side by side."""
    distributions = [axes for axes, panel in drawn if isinstance(panel, Histograms)]
    widest = max((max(map(abs, axes.get_xlim())) for axes in distributions), default=0.0)
    for axes in distributions:
        axes.set_xlim(-widest, widest)
