"""A run as CSV files, one a table."""

import json
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
    numbers = [name for name, kind in table.schema.items() if isinstance(kind, pl.List) and kind.inner != pl.String]
    texts = [name for name, kind in table.schema.items() if isinstance(kind, pl.List) and kind.inner == pl.String]
    return table.with_columns(
        *(pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(", ")).alias(name) for name in numbers),
        *(pl.Series(name, [_json(each) for each in table[name].to_list()], pl.String) for name in texts),
    )


def _json(texts: list[str] | None) -> str | None:
    return None if texts is None else json.dumps(texts)
