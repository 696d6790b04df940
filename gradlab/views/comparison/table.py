"""A comparison in the terminal.

    42 runs in 14 configurations; mean ± 95 % interval (t) over seeds
    model   width=100 activation=relu …                             what all of them share
    model. model.              test decades …             log δ,
     depth initializer   n accuracy   start … verdict     in → out
        20 glorot_normal 3    22.1%  -0.154 … vanishing-  ▁▂▃▄▄▅▆▇▇█
                             ±14.0%  ±0.009   gradient

Where the terminal is too narrow, intervals move below their means; where that does not help, the columns that matter
least are left out, and named below the table.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradlab.measures.intervals import Mean
from gradlab.measures.settings import known_settings
from gradlab.text import ABSENT, counted, one_line, same_decimals, setting_text, settings_text, tally
from gradlab.views.comparison.comparison import ComparedConfiguration, Comparison, ten_to_the
from gradlab.views.comparison.runs import UNREADABLE, Runs
from gradlab.views.progress import strip
from gradlab.views.summary import scale_of
from gradlab.views.terminal import paragraph, plain_table, print_parts

PROFILE_COLUMNS = {"delta_start": "start", "delta_end": "end"}
"""Columns that draw the profile of δ, and the moment that they draw."""
STRIP_WIDTH = 10
"""Characters of a drawn profile."""
MOST_LISTED = 20
"""Runs that cannot be compared: at most so many are listed, the others are counted."""


@dataclass(frozen=True)
class MeasureColumn:
    """How a column of means is written.

    Attributes:
        header: the header, in lines.
        unit: stands behind the number.
        scale: the number is multiplied with it.
        decimals: how many decimals; None for three significant digits.
        signed: whether positive numbers have a plus sign.
    """

    header: str
    unit: str = ""
    scale: float = 1
    decimals: int | None = None
    signed: bool = False


MEASURE_COLUMNS: Mapping[str, MeasureColumn] = {
    "test_accuracy": MeasureColumn("test\naccuracy", "%", 100, 1),
    "test_loss": MeasureColumn("test\nloss"),
    "train_accuracy": MeasureColumn("train\naccuracy", "%", 100, 1),
    "train_loss": MeasureColumn("train\nloss"),
    "decades_per_layer_start": MeasureColumn("decades\nstart", decimals=3, signed=True),
    "decades_per_layer_end": MeasureColumn("per layer\nend", decimals=3, signed=True),
    "dead_fraction": MeasureColumn("dead\nunits", "%", 100, 1),
    "zero_fraction": MeasureColumn("zero", "%", 100, 1),
    "saturated_fraction": MeasureColumn("satu-\nrated", "%", 100, 1),
    "log10_update_ratio": MeasureColumn("log\nΔW/W", decimals=2),
    "step_ms": MeasureColumn("ms per\nstep"),
    "steps": MeasureColumn("steps"),
    "seconds": MeasureColumn("seconds"),
}
"""The measures that can be columns, and how they are written."""
DEFAULT_COLUMNS = (
    "n",
    "test_accuracy",
    "test_loss",
    "decades_per_layer_start",
    "decades_per_layer_end",
    "dead_fraction",
    "saturated_fraction",
    "log10_update_ratio",
    "step_ms",
    "verdict",
    "delta_end",
)
"""The columns after the settings, unless `--columns` asks for others."""
DROPPED_FIRST = (
    "step_ms",
    "saturated_fraction",
    "dead_fraction",
    "test_loss",
    "log10_update_ratio",
    "decades_per_layer_end",
    "delta_end",
    "verdict",
    "decades_per_layer_start",
)
"""Columns that a narrow terminal leaves out, in this order."""


@dataclass(frozen=True)
class Column:
    """A column ready to be printed: the lines of its header, and the lines of each cell."""

    name: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    right: bool = False
    style: str = ""

    @property
    def width(self) -> int:
        """Characters of its longest line."""
        return max(cell_len(line) for lines in [self.header, *self.cells] for line in lines or ("",))


def column_names(comparison: Comparison) -> list[str]:
    """Every name that `--columns` takes."""
    settings = known_settings([dict.fromkeys([*comparison.differing, *comparison.shared])])
    return [*settings, "n", *MEASURE_COLUMNS, "verdict", *PROFILE_COLUMNS]


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
        yield from _shared(comparison.shared, width)
        fitting, left_out = fitting_columns(comparison, list(columns), width)
        yield _table(fitting)
        yield from _notes(comparison, fitting, left_out, width)
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


def _shared(shared: Mapping[str, object], width: int) -> Iterator[Text]:
    """The settings that all rows have in common, a paragraph for each section of the config."""
    sections: dict[str, list[str]] = {}
    for key, value in shared.items():
        section, _, rest = key.partition(".")
        is_section = rest or any(other.startswith(f"{key}.") for other in shared)
        sections.setdefault(section if is_section else "", []).append(f"{rest or key}={setting_text(value)}")
    indent = max((len(section) for section in sections), default=0) + 2
    for section, settings in sections.items():
        yield paragraph(" ".join(settings), width, "dim", first=section.ljust(indent), rest=" " * indent)


# ------------------------------------------------------------------------------------------------------------- columns


def fitting_columns(comparison: Comparison, asked: list[str], width: int) -> tuple[list[Column], list[str]]:
    """The columns that fit a width, and the names of the columns that are left out.

    Intervals stand beside their means where there is room, else below them. Where that is still too wide, the columns
    `DROPPED_FIRST` are left out one by one. Columns that the user asked for are all kept.

    Args:
        comparison: the rows.
        asked: names of the columns that the user asked for.
        width: characters that there is room for.
    """
    names = asked or [*comparison.differing, *DEFAULT_COLUMNS]
    scale = _scale(comparison.rows)
    dispensable = [] if asked else [name for name in DROPPED_FIRST if name in names]
    inline = [_column(name, comparison.rows, scale, inline=True) for name in names]
    if _width(inline) <= width:
        return inline, []
    stacked = [_column(name, comparison.rows, scale, inline=False) for name in names]
    left_out = []
    for name in dispensable:
        if _width(stacked) <= width:
            break
        left_out.append(name)
        stacked = [column for column in stacked if column.name != name]
    kept = {column.name for column in stacked}
    inline = [column for column in inline if column.name in kept]
    return (inline if _width(inline) <= width else stacked), left_out


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width + 1 for column in columns) - 1


def _column(name: str, rows: Sequence[ComparedConfiguration], scale: tuple[float, float], *, inline: bool) -> Column:
    if name in MEASURE_COLUMNS:
        measure = MEASURE_COLUMNS[name]
        cells = [_interval(row.means[name], measure, inline=inline, of=len(row.runs)) for row in rows]
        return Column(name, measure.header.splitlines(), cells, right=True)
    if name in PROFILE_COLUMNS:
        drawn = [[_drawn(row, PROFILE_COLUMNS[name], scale)] for row in rows]
        header = f"log δ\n{PROFILE_COLUMNS[name]}" if name != "delta_end" else "log δ,\nin → out"
        return Column(name, header.splitlines(), drawn, style="cyan")
    if name == "verdict":
        return Column(name, [name], [_verdict(row, inline=inline) for row in rows])
    if name == "n":
        return Column(name, [name], [[str(len(row.runs))] for row in rows], right=True)
    values = [row.values[name] if name in row.values else row.runs[0].settings.get(name) for row in rows]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    lines = [[ABSENT if value is None else setting_text(value)] for value in values]
    return Column(name, _broken(name), lines, right=numeric)


def _broken(name: str) -> list[str]:
    """A setting's name in lines, broken behind its dots: `model.`, `batch_norm`."""
    head, _, rest = name.partition(".")
    return [f"{head}.", *(_broken(rest) if "." in rest else [rest])] if rest else [name]


def _verdict(row: ComparedConfiguration, *, inline: bool) -> list[str]:
    """The verdict of a row; where its runs differ, the verdicts and how many runs have each."""
    if len(row.verdicts) == 1:
        head, hyphen, tail = row.verdict.partition("-")
        lines = [row.verdict] if inline or not hyphen else [head + hyphen, tail]
    else:
        lines = [f"{count} {verdict}" for verdict, count in row.verdicts]
        lines = [*lines[:2], *([f"and {len(lines) - 2} more"] if len(lines) > 2 else [])]
    return [", ".join(lines)] if inline else lines


def _interval(mean: Mean, measure: MeasureColumn, *, inline: bool, of: int) -> list[str]:
    """A mean and its interval, in one line or in two. A star says that some runs of the row lack the number.

    `inline`: the interval stands beside the mean, not below it. `of` is the number of runs in the row.
    """
    star = "*" if mean.count < of else ""
    if mean.value is None:
        return [ABSENT]
    value = mean.value * measure.scale
    half = None if mean.half_width is None else mean.half_width * measure.scale
    first, *rest = same_decimals([value] if half is None else [value, half], measure.decimals)
    if measure.signed and float(first) > 0:
        first = f"+{first}"
    if not rest:
        return [f"{first}{measure.unit}{star}"]
    if inline:
        return [f"{first} ±{rest[0]}{measure.unit}{star}"]
    return [f"{first}{measure.unit}{star}", f"±{rest[0]}{measure.unit}"]


def _scale(rows: Sequence[ComparedConfiguration]) -> tuple[float, float]:
    """log10 RMS δ at the bottom and at the top of the drawn profiles, the same for all rows."""
    logs = [row.profile(moment, STRIP_WIDTH) for row in rows for moment in PROFILE_COLUMNS.values()]
    return scale_of(np.array(logs, dtype=np.float64))


def _drawn(row: ComparedConfiguration, moment: str, scale: tuple[float, float]) -> str:
    """A profile as a strip of blocks."""
    powers = [None if log is None else ten_to_the(log) for log in row.profile(moment, STRIP_WIDTH)]
    return strip(powers, STRIP_WIDTH, *scale)


# --------------------------------------------------------------------------------------------------------- the rest


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


def _notes(comparison: Comparison, columns: Sequence[Column], left_out: Sequence[str], width: int) -> Iterator[Text]:
    notes = []
    if any(column.name in PROFILE_COLUMNS for column in columns):
        low, high = _scale(comparison.rows)
        notes.append(f"log δ: from ▁ {ten_to_the(low):.0e} to █ {ten_to_the(high):.0e}, · exactly 0, ! not finite")
    cells = [line for column in columns if column.name in MEASURE_COLUMNS for lines in column.cells for line in lines]
    if any(line.endswith("*") for line in cells):
        notes.append("* not all n runs have it; a diverged one has no loss in the end")
    if left_out:
        notes.append(f"no room for: {', '.join(left_out)} (a wider terminal, --columns, or --format)")
    for note in notes:
        yield paragraph(note, width, "dim")


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
