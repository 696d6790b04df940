"""Which steps of a very long run are read: evenly spread ones, and those in which something is extreme.

A run of a million steps does not fit into memory, and its diagnosis does not need it. So few steps are chosen that
their rows fit; a short run is read as a whole.
"""

from collections.abc import Sequence

import polars as pl

from gradlab.parquet_pages import scan
from gradlab.run_folder.parts import FAULTS, Part
from gradlab.tables import SCHEMAS

THINNED = ("layers", "steps")
"""The tables of which only some steps are read; others have few rows."""
MOST_ROWS = 500_000
"""Rows of a table that are read, apart from those of extreme steps: about 150 MB of `layers`."""
ENDS = 200
"""Recorded steps at the start and at the end of which every one is read."""
BEFORE = 10
"""Recorded steps before the first number that is not finite of which every one is read."""
SELDOM = ("input_mean", "dead_fraction", "across_units_std", "gradients_left")
"""Columns that are filled in a few steps only, all of which are read."""


def stride_of(found: Sequence[Part]) -> int:
    """One recorded step of so many is read of a table with these parts."""
    rows = 0
    for part in found:
        try:
            rows += int(scan(part.file).select(pl.len()).collect().item())
        except FAULTS:
            continue
    return -(-rows // MOST_ROWS) or 1


def chosen_steps(table: str, found: Sequence[Part], stride: int) -> pl.Series:
    """The steps of a table that are read; a part that cannot be read has none.

    Args:
        table: the table.
        found: its parts.
        stride: one recorded step of so many is read.

    Returns:
        Every `stride`-th recorded step; all at the start and at the end, and before the first number that is not
        finite; all in which a column of `SELDOM` is filled; and of each part the steps in which a column is smallest
        or largest.
    """
    steps = pl.concat([pl.Series("step", [], pl.Int64), *(_steps(part) for part in found)]).unique().sort()
    extremes, bad = [], []
    for part in found:
        for column in SCHEMAS[table]:
            if SCHEMAS[table][column] == pl.Float64:
                extreme, first_bad = _extremes(part, column)
                extremes += extreme
                bad += first_bad
    chosen = [steps.gather_every(stride), steps.head(ENDS), steps.tail(ENDS), pl.Series("step", extremes, pl.Int64)]
    if bad:
        place = int(steps.search_sorted(min(bad)))
        chosen.append(steps.slice(max(0, place - BEFORE), BEFORE + 1))
    return pl.concat(chosen).unique().sort()


def _steps(part: Part) -> pl.Series:
    try:
        return scan(part.file).select(pl.col("step").unique()).collect()["step"].cast(pl.Int64)
    except FAULTS:
        return pl.Series("step", [], pl.Int64)


def _extremes(part: Part, column: str) -> tuple[list[int], list[int]]:
    """The steps of a part in which a column is smallest and largest, and the first in which it is not finite."""
    value, step = pl.col(column), pl.col("step").cast(pl.Int64)
    finite = value.is_finite()
    try:
        rows = scan(part.file).select("step", column).collect()
        found = rows.filter(finite).select(
            low=step.get(value.arg_min(), null_on_oob=True), high=step.get(value.arg_max(), null_on_oob=True)
        )
        bad = rows.filter(~finite).select(step.min()).to_series().drop_nulls().to_list()
        filled = rows.drop_nulls(column).select(step.unique()).to_series().to_list() if column in SELDOM else []
    except FAULTS:
        return [], []
    return [*filter(lambda step: step is not None, found.row(0)), *filled], bad
