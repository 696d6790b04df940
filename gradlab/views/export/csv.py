"""A run as CSV files, one a table."""

from pathlib import Path

import polars as pl

from gradlab.tables import Tables
from gradlab.views.export.steps import tables
from gradlab.writing import write_file


def write_csv(run: Tables, folder: Path) -> Path:
    """Write each table of a run into a file; the file of an empty table has a header only.

    Null is an empty field; NaN and infinities are `NaN`, `inf` and `-inf`. Numbers have all digits that are needed to
    read the same number back. Lists are JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables(run).items():
        write_file(folder / f"{name}.csv", _flat(table).write_csv())
    return folder


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List)]
    return table.with_columns(
        pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(", ")).alias(name) for name in lists
    )
