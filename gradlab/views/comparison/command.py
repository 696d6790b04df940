"""What `gradlab compare` does: read runs, fold them into rows, print and draw the rows."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gradlab.views.comparison import formats
from gradlab.views.comparison.comparison import check_name, compare
from gradlab.views.comparison.runs import collect
from gradlab.views.comparison.table import column_names, print_comparison


def show_comparison(
    paths: Sequence[Path],
    *,
    sort: Sequence[str],
    where: str | None,
    columns: Sequence[str],
    group_by: Sequence[str],
    form: str,
    plot: Path | None,
) -> None:
    """Print the runs below some folders side by side, and draw them.

    Args:
        paths: folders that hold runs.
        sort: columns to sort by, `-name` for the largest first.
        where: a condition on the rows; see `expression`.
        columns: what to show of each row.
        group_by: settings whose values make the rows.
        form: `table`, `markdown`, `csv` or `json`.
        plot: the file to draw a picture into; None draws nothing.

    Raises:
        UserError: a name, an expression or a path is wrong, or there is nothing to compare.
    """
    runs = collect(paths)
    comparison = compare(runs, where=where, group_by=group_by, sort=sort)
    known = column_names(comparison)
    for name in columns if comparison.rows else ():
        check_name(name, known, "--columns", "columns")
    if plot is not None:  # before anything is printed, because the file's name may be wrong
        from gradlab.views.comparison.picture import save_picture  # matplotlib takes half a second to import

        left_out = save_picture(comparison, plot)
        print(f"drew {plot}{f'; {left_out}' if left_out else ''}", file=sys.stderr)
    match form:
        case "markdown":
            print(formats.markdown(comparison, columns), end="")
        case "csv":
            print(formats.comma_separated(comparison, columns), end="")
        case "json":
            print(json.dumps(formats.as_json(comparison, runs), indent=2, ensure_ascii=False, allow_nan=False))
        case _:
            print_comparison(comparison, runs, Console(), columns)
    if form in ("markdown", "csv") and runs.unfinished:
        print(f"not compared: {len(runs.unfinished)} runs that are not finished", file=sys.stderr)
