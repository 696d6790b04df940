"""A run as CSV files, one a table."""

from pathlib import Path

import polars as pl

from gradlab import store
from gradlab.views.export.points import tables
from gradlab.views.reading import Run


def write_csv(run: Run, folder: Path) -> Path:
    """Write each table of a run; an empty one has its header.

    null is an empty field, other values that are not finite are `NaN`, `inf` and `-inf`; numbers are as long as they
    need to be to be read back the same, lists are JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables(run).items():
        with store.replacing(folder / f"{name}.csv") as temporary:
            temporary.write_text(_flat(table).write_csv(), encoding="utf-8", newline="")
    return folder


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List)]
    return table.with_columns(
        pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(", ")).alias(name) for name in lists
    )
