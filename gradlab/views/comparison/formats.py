"""A comparison for other programs, with all digits: Markdown, CSV, JSON.

A mean is in the column with the measure's name. Beside it stand `<measure>_interval`, half the width of its 95 %
interval, and `<measure>_n`, if some runs lack the number: a diverged run has no final loss.
"""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from gradlab.measures.headline import MEASURES
from gradlab.text import setting_text, strict_json
from gradlab.views.comparison.columns import MEASURE_COLUMNS, PROFILE_COLUMNS, fitting_columns
from gradlab.views.comparison.comparison import ComparedConfiguration, Comparison
from gradlab.views.comparison.runs import Runs
from gradlab.views.markdown import aligned_markdown_table

POSITIONS = 21
"""Points of a profile in JSON, from the first hidden layer to the last."""


def markdown(comparison: Comparison, columns: Sequence[str] = ()) -> str:
    """The table of the terminal, for a README, an issue or a notebook."""
    fitted, _ = fitting_columns(comparison, list(columns), 10_000)
    rows = [[column.cells[index][0] for column in fitted] for index in range(len(comparison.rows))]
    head, right = [column.name for column in fitted], [column.right for column in fitted]
    return "\n".join(aligned_markdown_table(head, rows, right)) + "\n"


def comma_separated(comparison: Comparison, columns: Sequence[str] = ()) -> str:
    """A line for each row; a value that a row does not have is an empty field."""
    names = list(columns) or [*comparison.differing, "n", *MEASURES, "verdict"]
    text = io.StringIO()
    partial = {name for name in MEASURES for row in comparison.rows if row.means[name].count < len(row.runs)}
    headers = [header for name in names for header in _headers(name, name in partial)]
    writer = csv.DictWriter(text, headers, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in comparison.rows:
        writer.writerow({header: value for name in names for header, value in _cells(row, name).items()})
    return text.getvalue()


def _headers(name: str, partial: bool) -> list[str]:
    if name not in MEASURE_COLUMNS:
        return [name]
    return [name, f"{name}_interval", *([f"{name}_n"] if partial else [])]


def _cells(row: ComparedConfiguration, name: str) -> dict[str, Any]:
    """The fields of a column in a row: one, or up to three where the column is a mean."""
    if name in MEASURE_COLUMNS:
        mean = row.means[name]
        return {name: mean.value, f"{name}_interval": mean.half_width, f"{name}_n": mean.count}
    if name in PROFILE_COLUMNS:
        return {name: json.dumps(strict_json(row.profile(PROFILE_COLUMNS[name], POSITIONS)))}
    value = row.values[name] if name in row.values else row.runs[0].settings.get(name)
    return {name: setting_text(value) if isinstance(value, bool | tuple) else value}


def frame(comparison: Comparison) -> pl.DataFrame:
    """A row for each row; settings of several types are text."""
    names = [*comparison.differing, "n", *MEASURES, "verdict"]
    rows = [{key: value for name in names for key, value in _cells(row, name).items()} for row in comparison.rows]
    for key in comparison.differing:
        if len({type(row[key]) for row in rows}) > 1:
            for row in rows:
                row[key] = None if row[key] is None else setting_text(row[key])
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def as_json(comparison: Comparison, runs: Runs) -> dict[str, Any]:
    """The whole comparison as strictly valid JSON, with what the table has no room for."""
    return {
        "shared": dict(comparison.shared),
        "folded": dict(comparison.folded),
        "rows": [_row(row) for row in comparison.rows],
        "not_compared": [
            {"path": str(run.path), "status": run.status, "settings": dict(run.settings), "reason": run.reason}
            for run in runs.unfinished
        ],
        "copies": [str(path) for path in runs.copies],
        "contradicting": [str(path) for path in runs.contradicting],
    }


def _row(row: ComparedConfiguration) -> dict[str, Any]:
    return {
        "settings": dict(row.settings),
        "n": len(row.runs),
        "verdict": row.verdict,
        "verdicts": dict(row.verdicts),
        "means": {
            name: {"mean": mean.value, "interval": mean.half_width, "n": mean.count} for name, mean in row.means.items()
        },
        **{f"log10_{name}": strict_json(row.profile(moment, POSITIONS)) for name, moment in PROFILE_COLUMNS.items()},
        "runs": [str(run.path) for run in row.runs],
    }
