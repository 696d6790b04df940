"""The vertical axis and the legend of a panel."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gradlab.claims.claim import Course, PanelOptions, Points, Quantity
from gradlab.measures.profiles import Floats
from gradlab.views.pictures.axes import few_ticks, log_axis, mark_handles
from gradlab.views.pictures.labels import column_label, is_logarithmic, is_share

MOST_INSIDE = 4
"""A legend with more entries stands beside its panel."""
OUTPUTS = {
    "weight": "pre-activations",
    "norm": "normalizations' outputs",
    "output": "logits",
    "block": "blocks' outputs",
}
"""For each kind of module that is no activation, what its outputs are called."""


def is_log(panel: PanelOptions, column: str) -> bool:
    """Whether the vertical axis is logarithmic."""
    return panel.scale == "log" if panel.scale else is_logarithmic(column)


def finish_axis(axes: Axes, panel: PanelOptions, column: str, drawn: Sequence[Floats], *, log: bool) -> None:
    """Name and scale the vertical axis.

    Args:
        axes: the panel.
        panel: what the claim asks for.
        column: what the axis shows.
        drawn: the values of every line.
        log: whether the axis is logarithmic.
    """
    quantity = panel.quantity if isinstance(panel, Course) and not panel.split else panel
    word = column_label(column)
    if isinstance(quantity, Quantity) and column.startswith("activation"):
        word = word.replace("activations", OUTPUTS.get(quantity.rows, "activations"))
    axes.set_ylabel(word)
    found = np.concatenate([np.ravel(values) for values in drawn]) if drawn else np.zeros(0)
    found = found[np.isfinite(found)]
    low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
    if log:
        log_axis(axes, found, decades=1)
        few_ticks(axes)
    elif is_share(column) and not getattr(panel, "partner", {}):
        if low >= 0:
            axes.set_ylim(*((-0.03, max(1.03, 1.03 * high)) if high > 0.3 else (-0.03 * high, None)))
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=None))
    elif low >= 0:
        axes.set_ylim(bottom=-0.03 * high if isinstance(panel, Points) else 0)  # a point at 0 is seen whole


def panel_legend(axes: Axes, drawn: Sequence[Floats] = (), extra: Sequence[Line2D] = (), *, log: bool = False) -> None:
    """A legend of the lines that have a label, and of the marks that `log_line` has drawn.

    It stands where it covers least, or beside the panel if it has more than `MOST_INSIDE` entries.

    Args:
        axes: the panel.
        drawn: the values of every line.
        extra: more entries.
        log: whether the axis is logarithmic.
    """
    handles = [*axes.get_legend_handles_labels()[0], *extra, *(mark_handles(*drawn) if log else ())]
    beside: Mapping[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "borderaxespad": 0.2}
    if handles:
        place = beside if len(handles) > MOST_INSIDE else {"loc": "best"}
        axes.legend(handles=handles, handlelength=1.4, fontsize=8, **place)


def drop_repeated_legends(panels: Iterable[Axes]) -> None:
    """Of panels with the same legend, only the first one keeps it; a legend beside the panels stays at the last one."""
    before: dict[tuple[str, ...], Axes] = {}
    for axes in panels:
        own = axes.get_legend()
        if own is None:
            continue
        entries = tuple(text.get_text() for text in own.get_texts())
        kept = before.setdefault(entries, axes)
        if kept is not axes:
            spare, before[entries] = (kept, axes) if len(entries) > MOST_INSIDE else (axes, kept)
            explained = spare.get_legend()
            if explained is not None:
                explained.remove()
