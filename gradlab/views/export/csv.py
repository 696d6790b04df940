"""A run as CSV files, one a table."""

from pathlib import Path

import polars as pl

from gradlab import run_folder
from gradlab.tables import Tables
from gradlab.views.export.steps import tables


def write_csv(run: Tables, folder: Path) -> Path:
    """Write each table of a run; an empty one has its header.

    null is an empty field, other values that are not finite are `NaN`, `inf` and `-inf`; numbers are as long as they
    need to be to be read back the same, lists are JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables(run).items():
        with run_folder.replacing(folder / f"{name}.csv") as temporary:
            temporary.write_text(_flat(table).write_csv(), encoding="utf-8", newline="")
    return folder


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List)]
    return table.with_columns(
        pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(", ")).alias(name) for name in lists
    )
