"""What `gradlab compare` does: read runs, fold them into rows, print and draw the rows."""

import sys
from collections.abc import Sequence
from pathlib import Path

from gradlab.errors import UserError
from gradlab.printing import say
from gradlab.text import json_text
from gradlab.views import terminal
from gradlab.views.comparison import formats
from gradlab.views.comparison.columns import column_names
from gradlab.views.comparison.comparison import check_name, compare
from gradlab.views.comparison.runs import UNREADABLE, collect
from gradlab.views.comparison.table import not_compared, print_comparison
from gradlab.views.terminal import paragraph, print_parts


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
        UserError: a name, an expression or a path is wrong, or there is no run that can be read.
    """
    runs = collect(paths)
    if not runs.finished and all(run.status == UNREADABLE for run in runs.unfinished):
        raise UserError("\n".join(not_compared(runs)))
    comparison = compare(runs, where=where, group_by=group_by, sort=sort)
    known = column_names(comparison)
    for name in columns if comparison.rows else ():
        check_name(name, known, "--columns", "columns")
    if plot is not None:  # before anything is printed, because the file's name may be wrong
        from gradlab.views.comparison.picture import save_picture  # matplotlib takes half a second to import

        left_out = save_picture(comparison, plot)
        say(f"drew {plot}{f'; {left_out}' if left_out else ''}", sys.stderr)
    match form:
        case "markdown":
            say(formats.markdown(comparison, columns))
        case "csv":
            say(formats.comma_separated(comparison, columns))
        case "json":
            say(json_text(formats.as_json(comparison, runs)))
        case _:
            console = terminal.console()
            print_comparison(comparison, runs, console, columns)
            compared = [run for row in comparison.rows for run in row.runs]
            if len(compared) == 2:
                from gradlab.views.comparison.pair import pair_lines

                print_parts((paragraph(line, console.width, rest="  ") for line in pair_lines(*compared)), console)
    if form != "table":
        for line in not_compared(runs):
            say(line, sys.stderr)
