"""A comparison in the terminal.

    42 runs in 14 configurations; mean ± 95 % interval (t) over seeds
    model. model.              test decades …             log δ,
     depth initializer   n accuracy   start … verdict     in → out
        20 glorot_normal 3    22.1%  -0.154 … vanishing-  ▁▂▃▄▄▅▆▇▇█
                             ±14.0%  ±0.009   gradient
    all have model.activation=relu                          where that is not the default

Where the terminal is too narrow, intervals move below their means; where that does not help, the columns that matter
least are left out, and named below the table, and settings move there.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradlab.measures.settings import non_defaults
from gradlab.text import counted, one_line, settings_text, tally
from gradlab.views.comparison.columns import (
    MEASURE_COLUMNS,
    NUMBER,
    PROFILE_COLUMNS,
    Column,
    drawn_scale,
    fitting_columns,
)
from gradlab.views.comparison.comparison import Comparison, ten_to_the
from gradlab.views.comparison.runs import UNREADABLE, Runs
from gradlab.views.terminal import paragraph, plain_table, print_parts

MOST_LISTED = 20
"""Runs that cannot be compared: at most so many are listed, the others are counted."""


def print_comparison(comparison: Comparison, runs: Runs, console: Console, columns: Sequence[str] = ()) -> None:
    """Print a comparison, and list the runs that could not be compared.

    Args:
        comparison: the rows.
        runs: the runs that were read, finished or not.
        console: where to print; the table keeps to its width.
        columns: what to show of each row; by default the settings that differ, and `DEFAULT_COLUMNS`.
    """
    width = console.width
    for part in _parts(comparison, runs, columns, width):
        if isinstance(part, Table):  # columns that the user asked for are never cut off
            console.width = max(width, console.measure(part, options=console.options.update(width=10_000)).maximum)
        print_parts([part], console)
        console.width = width


def _parts(comparison: Comparison, runs: Runs, columns: Sequence[str], width: int) -> Iterator[Text | Table]:
    if comparison.rows:
        yield paragraph(comparison_title(comparison), width, "bold")
        fitting, left_out = fitting_columns(comparison, list(columns), width)
        yield _table(fitting)
        if fitting[0].name == NUMBER:
            yield from _numbered(comparison, width)
        yield from _notes(comparison, fitting, left_out, width)
        if shared := non_defaults({key: value for key, value in comparison.shared.items() if key != "name"}):
            yield paragraph(f"all have {settings_text(shared)}", width, "dim", rest="  ")
    else:
        yield Text("no run is finished yet", style="yellow")
    yield from _unfinished(comparison, runs, width)


def comparison_title(comparison: Comparison) -> str:
    """How many runs in how many rows, and over what the means are."""
    runs = sum(len(row.runs) for row in comparison.rows)
    what = "group" if comparison.groups else "configuration"
    text = f"{counted(runs, 'run')} in {counted(len(comparison.rows), what)}"
    if runs > len(comparison.rows):
        folded = [f"{key} ({count})" for key, count in comparison.folded.items()]
        over = ", ".join(folded) if comparison.groups else "seeds"
        text += f"; mean ± 95 % interval (t) over {over}"
    return text


def _numbered(comparison: Comparison, width: int) -> Iterator[Text]:
    """The settings of each row, by its number."""
    indent = len(str(len(comparison.rows))) + 1
    for number, row in enumerate(comparison.rows, 1):
        text = settings_text({key: row.settings.get(key) for key in comparison.differing})
        yield paragraph(text, width, first=f"{number} ".rjust(indent), rest=" " * indent)


def _table(columns: Sequence[Column]) -> Table:
    table = plain_table()
    for column in columns:
        table.add_column(
            "\n".join(column.header),
            justify="right" if column.right else "left",
            no_wrap=True,
            style=column.style,
            vertical="top",
        )
    for index in range(len(columns[0].cells) if columns else 0):
        table.add_row(*(_cell(column, column.cells[index]) for column in columns))
    return table


def _cell(column: Column, lines: Sequence[str]) -> Text:
    """A cell; an interval in its second line is printed fainter."""
    text = Text(lines[0], style="green" if column.name == "verdict" and lines[0] == "healthy" else "")
    for line in lines[1:]:
        text.append(f"\n{line}", style="" if column.name == "verdict" else "dim")
    return text


LEGEND = {
    "decades_per_layer_start": "decades per layer: how log10 RMS δ changes toward the input (-0.63 is ÷ 4.3)",
    "saturated_fraction": "saturated: slope almost 0",
    "log10_update_ratio": "log ΔW/W: log10 of a step's update ÷ weights",
}
"""What the headers of columns are short for."""


def _notes(comparison: Comparison, columns: Sequence[Column], left_out: Sequence[str], width: int) -> Iterator[Text]:
    shown = [column.name for column in columns]
    legend = [text for name, text in LEGEND.items() if name in shown]
    if any(name in PROFILE_COLUMNS for name in shown):
        low, high = drawn_scale(comparison.rows)
        scale = f"from ▁ {ten_to_the(low):.0e} to █ {ten_to_the(high):.0e}"
        legend.append(f"log δ: the gradient signal {scale}, · exactly 0, ! not finite")
    cells = [line for column in columns if column.name in MEASURE_COLUMNS for lines in column.cells for line in lines]
    if any(line.endswith("*") for line in cells):
        legend.append("* not all n runs have it; a diverged one has no loss in the end")
    if legend:
        yield paragraph("; ".join(legend), width, "dim", rest="  ")
    if left_out:
        note = f"no room for: {', '.join(left_out)} (a wider terminal, --columns, or --format)"
        yield paragraph(note, width, "dim", rest="  ")


def _unfinished(comparison: Comparison, runs: Runs, width: int) -> Iterator[Text]:
    """What is said of runs that are not in the table."""
    if runs.copies:
        noun = "folders hold runs that others hold" if len(runs.copies) > 1 else "folder holds a run that another holds"
        yield Text(f"{len(runs.copies)} {noun} too: {runs.copies[0]}{' …' if len(runs.copies) > 1 else ''}")
    if runs.other_schemas:
        yield paragraph(runs.other_schemas, width, "yellow")
    for line in not_compared(runs, [*comparison.differing, *comparison.folded]):
        yield Text(line, style="dim" if line.startswith(" ") else "yellow")


def not_compared(runs: Runs, differing: Sequence[str] = ()) -> Iterator[str]:
    """Lines about the runs that cannot be compared: how many there are of each status, and the first of them.

    Args:
        runs: the runs.
        differing: settings that tell runs apart.
    """
    if runs.contradicting:
        noun = "folder says" if len(runs.contradicting) == 1 else "folders say"
        more = " …" if len(runs.contradicting) > 1 else ""
        yield f"{len(runs.contradicting)} {noun} something else of a run that is shown: {runs.contradicting[0]}{more}"
    if not runs.unfinished:
        return
    counts = Counter(sorted(run.status for run in runs.unfinished))
    yield f"not compared: {one_line(tally(counts))}"
    unreadable_first = sorted(runs.unfinished, key=lambda run: (run.status != UNREADABLE, run.status))
    for run in unreadable_first[:MOST_LISTED]:
        label = settings_text({key: run.settings[key] for key in differing if key in run.settings})
        line = "  ".join(filter(None, (f"{run.status:<11}", str(run.path), label, run.reason)))
        yield f"  {one_line(line)}"
    if len(runs.unfinished) > MOST_LISTED:
        yield f"  and {len(runs.unfinished) - MOST_LISTED} more"
