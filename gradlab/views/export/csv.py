"""A run as CSV files, one a table."""

from pathlib import Path

import polars as pl

from gradlab import run_folder
from gradlab.tables import Tables
from gradlab.views.export.steps import tables


def write_csv(run: Tables, folder: Path) -> Path:
    """Write each table of a run into a file; the file of an empty table has a header only.

    Null is an empty field; NaN and infinities are `NaN`, `inf` and `-inf`. Numbers have all digits that are needed to
    read the same number back. Lists are JSON.
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
