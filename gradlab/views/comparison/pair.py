"""Two runs beside each other: the settings in which they differ, and from which step and layer on their rows part."""

from collections.abc import Iterator

import polars as pl

from gradlab.errors import RunFolderError
from gradlab.measures.settings import REMARKS, same_value
from gradlab.run_folder import read_tables
from gradlab.tables import Tables
from gradlab.text import ABSENT, counted, one_line, setting_text
from gradlab.views.comparison.runs import FinishedRun

KEYS = ("step", "layer", "module", "kind")
"""What makes two rows of `layers` the same row."""
NAMED = 3
"""Statistics that are named where rows part; the others are counted."""


def pair_lines(one: FinishedRun, other: FinishedRun) -> Iterator[str]:
    """Lines about two runs: how their settings differ, and where their rows part."""
    both = {**one.settings, **other.settings}
    differing = [
        f"{key} ({_setting(one, key)}, {_setting(other, key)})"
        for key in both
        if key not in (*REMARKS, "name") and not same_value(one.settings.get(key), other.settings.get(key))
    ]
    yield f"the runs differ in {', '.join(differing)}" if differing else "the runs have the same settings"
    try:
        tables = [read_tables(run.path, thinned=True) for run in (one, other)]
        yield parting(*tables)
    except RunFolderError as error:
        yield one_line(f"their rows cannot be compared: {error.message}")


def _setting(run: FinishedRun, key: str) -> str:
    return setting_text(run.settings[key]) if key in run.settings else ABSENT


def parting(one: Tables, other: Tables) -> str:
    """From which step, and in which layers, the rows of two runs are not the same any more, in a sentence."""
    names = [name for name in one.layers.columns if name in other.layers.columns and name not in KEYS]
    both = one.layers.join(other.layers, on=KEYS, how="inner", suffix="_of_other", maintain_order="left")
    if not both.height:
        return "they have no row in common"
    parts = both.select(*KEYS, *(pl.col(name).ne_missing(pl.col(f"{name}_of_other")) for name in names))
    parts = parts.filter(pl.any_horizontal(names))
    missing = one.layers.height + other.layers.height - 2 * both.height
    alone = f"; {counted(missing, 'row')} only one of them has" if missing else ""
    if not parts.height:
        return f"their {counted(both.height, 'row')} are the same{alone}"
    step = min(parts["step"])
    first = parts.filter(pl.col("step") == step)
    modules = list(dict.fromkeys(first.sort("layer")["module"]))
    where = f"`{one_line(modules[0])}`" + (f" and {counted(len(modules) - 1, 'more module')}" if modules[1:] else "")
    found = [name for name in names if first[name].any()]
    what = ", ".join(found[:NAMED]) + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")
    return f"their rows part at step {step}, in {where}: {what}{alone}"
