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

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradlab.measures.intervals import Mean
from gradlab.measures.settings import known_settings
from gradlab.text import ABSENT, compact, written
from gradlab.views.comparison.fold import Comparison, Row
from gradlab.views.comparison.runs import Runs
from gradlab.views.progress import strip
from gradlab.views.summary import LEAST_DECADES

PROFILES = {"delta_start": "start", "delta_end": "end"}
"""Columns that are drawn instead of written, and the moment that they show."""
STRIP = 10
"""Characters of a drawn profile."""
LISTED = 20
"""Runs that cannot be compared and are listed; the rest is counted."""


@dataclass(frozen=True)
class Measure:
    """How a mean is shown.

    Attributes:
        header: what it is called, in lines.
        unit: behind the number.
        scale: what the number is multiplied with.
        decimals: how many; None for three digits that count.
        signed: whether a plus sign is shown.
    """

    header: str
    unit: str = ""
    scale: float = 1
    decimals: int | None = None
    signed: bool = False


SHOWN: Mapping[str, Measure] = {
    "test_accuracy": Measure("test\naccuracy", "%", 100, 1),
    "test_loss": Measure("test\nloss"),
    "train_accuracy": Measure("train\naccuracy", "%", 100, 1),
    "train_loss": Measure("train\nloss"),
    "decades_per_layer_start": Measure("decades\nstart", decimals=3, signed=True),
    "decades_per_layer_end": Measure("per layer\nend", decimals=3, signed=True),
    "dead_fraction": Measure("dead\nunits", "%", 100, 1),
    "zero_fraction": Measure("zero", "%", 100, 1),
    "saturated_fraction": Measure("satu-\nrated", "%", 100, 1),
    "log10_update_ratio": Measure("log\nΔW/W", decimals=2),
    "step_ms": Measure("ms per\nstep"),
    "steps": Measure("steps"),
    "seconds": Measure("seconds"),
}
"""Every measure that can be a column."""
RESULTS = (
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
"""Columns behind the settings, unless others are asked for."""
DISPENSABLE = (
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
"""What a narrow terminal does without, first to last."""


@dataclass(frozen=True)
class Column:
    """A column ready to be printed: lines of the header, and the lines of each cell."""

    name: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]
    right: bool = False
    style: str = ""

    @property
    def width(self) -> int:
        """Characters that it takes."""
        return max(cell_len(line) for lines in [self.header, *self.cells] for line in lines or ("",))


def column_names(comparison: Comparison) -> list[str]:
    """Every name that `--columns` takes."""
    settings = known_settings([dict.fromkeys([*comparison.differing, *comparison.shared])])
    return [*settings, "n", *SHOWN, "verdict", *PROFILES]


def print_comparison(comparison: Comparison, runs: Runs, console: Console, columns: Sequence[str] = ()) -> None:
    """Print a comparison, and what could not be compared.

    Args:
        comparison: the rows.
        runs: where they come from.
        console: where to; its width is kept to.
        columns: what to show of each row; by default the settings that differ, and `RESULTS`.
    """
    width = console.width
    for part in _parts(comparison, runs, columns, width):
        if isinstance(part, Table):  # columns that were asked for may need more than there is; they are not cut off
            console.width = max(width, console.measure(part, options=console.options.update(width=10_000)).maximum)
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text))
        console.width = width


def _parts(comparison: Comparison, runs: Runs, columns: Sequence[str], width: int) -> Iterator[Text | Table]:
    if comparison.rows:
        yield Text(textwrap.fill(_title(comparison), width), style="bold")
        yield from _shared(comparison.shared, width)
        fitting, left_out = fit(comparison, list(columns), width)
        yield _table(fitting)
        yield from _notes(comparison, fitting, left_out, width)
    else:
        yield Text("no run is finished yet", style="yellow")
    yield from _unfinished(comparison, runs, width)


def _title(comparison: Comparison) -> str:
    runs = sum(len(row.runs) for row in comparison.rows)
    what = "groups" if comparison.groups else "configurations"
    text = f"{_count(runs, 'run')} in {_count(len(comparison.rows), what.removesuffix('s'))}"
    if runs > len(comparison.rows):
        folded = [f"{key} ({count})" for key, count in comparison.folded.items()]
        over = ", ".join(folded) if comparison.groups else "seeds"
        text += f"; mean ± 95 % interval (t) over {over}"
    return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shared(shared: Mapping[str, object], width: int) -> Iterator[Text]:
    """What all rows have in common, a paragraph a section of the config."""
    sections: dict[str, list[str]] = {}
    for key, value in shared.items():
        section, _, rest = key.partition(".")
        is_section = rest or any(other.startswith(f"{key}.") for other in shared)
        sections.setdefault(section if is_section else "", []).append(f"{rest or key}={written(value)}")
    indent = max((len(section) for section in sections), default=0) + 2
    for section, settings in sections.items():
        text = textwrap.fill(
            " ".join(settings),
            width,
            initial_indent=section.ljust(indent),
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        yield Text(text, style="dim")


# ------------------------------------------------------------------------------------------------------------- columns


def fit(comparison: Comparison, asked: list[str], width: int) -> tuple[list[Column], list[str]]:
    """The columns that fit a width, and the names of those that do not.

    Columns that were asked for all stay: who names them knows how wide the terminal is.
    """
    names = asked or [*comparison.differing, *RESULTS]
    scale = _scale(comparison.rows)
    dispensable = [] if asked else [name for name in DISPENSABLE if name in names]
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


def _column(name: str, rows: Sequence[Row], scale: tuple[float, float], *, inline: bool) -> Column:
    if name in SHOWN:
        measure = SHOWN[name]
        cells = [_interval(row.means[name], measure, inline=inline, of=len(row.runs)) for row in rows]
        return Column(name, measure.header.splitlines(), cells, right=True)
    if name in PROFILES:
        drawn = [[_drawn(row, PROFILES[name], scale)] for row in rows]
        header = f"log δ\n{PROFILES[name]}" if name != "delta_end" else "log δ,\nin → out"
        return Column(name, header.splitlines(), drawn, style="cyan")
    if name == "verdict":
        return Column(name, [name], [_verdict(row, inline=inline) for row in rows])
    if name == "n":
        return Column(name, [name], [[str(len(row.runs))] for row in rows], right=True)
    values = [row.values[name] if name in row.values else row.runs[0].settings.get(name) for row in rows]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    lines = [[ABSENT if value is None else written(value)] for value in values]
    return Column(name, _broken(name), lines, right=numeric)


def _broken(name: str) -> list[str]:
    """A setting's name in lines: `model.`, `batch_norm`."""
    head, _, rest = name.partition(".")
    return [f"{head}.", *(_broken(rest) if "." in rest else [rest])] if rest else [name]


def _verdict(row: Row, *, inline: bool) -> list[str]:
    """The verdicts of a row's runs, with how many have each where they differ."""
    if len(row.verdicts) == 1:
        head, hyphen, tail = row.verdict.partition("-")
        lines = [row.verdict] if inline or not hyphen else [head + hyphen, tail]
    else:
        lines = [f"{count} {verdict}" for verdict, count in row.verdicts]
        lines = [*lines[:2], *([f"and {len(lines) - 2} more"] if len(lines) > 2 else [])]
    return [", ".join(lines)] if inline else lines


def _interval(mean: Mean, measure: Measure, *, inline: bool, of: int) -> list[str]:
    """Mean and interval, in one line or in two. A star says that some runs of the row do not have the number."""
    star = "*" if mean.count < of else ""
    if mean.value is None:
        return [ABSENT]
    value = mean.value * measure.scale
    half = None if mean.half_width is None else mean.half_width * measure.scale
    show = _digits(max(abs(value), half or 0) if measure.decimals is None else 1, measure)
    first = show(value)
    if not float(first):
        first = first.removeprefix("-")
    elif measure.signed and value > 0:
        first = f"+{first}"
    if half is None:
        return [f"{first}{measure.unit}{star}"]
    if inline:
        return [f"{first} ±{show(half)}{measure.unit}{star}"]
    return [f"{first}{measure.unit}{star}", f"±{show(half)}{measure.unit}"]


def _digits(size: float, measure: Measure) -> Callable[[float], str]:
    """How to write a mean and its interval: with the same number of decimals."""
    if size >= 9999.5 or 0 < size < 1e-3:
        return compact
    decimals = measure.decimals
    if decimals is None:  # three digits that count
        decimals = min(max(2 - math.floor(math.log10(size)), 0), 3) if size else 0
    return lambda number: f"{number:.{decimals}f}"


def _scale(rows: Sequence[Row]) -> tuple[float, float]:
    """log10 RMS δ at the bottom and at the top of every drawn profile."""
    logs = [
        value
        for row in rows
        for moment in PROFILES.values()
        for value in row.profile(moment, STRIP)
        if value is not None and math.isfinite(value)
    ]
    high = max(logs, default=0.0)
    return min(min(logs, default=0.0), high - LEAST_DECADES), high


def _drawn(row: Row, moment: str, scale: tuple[float, float]) -> str:
    """A profile as a strip of blocks, on the scale of all rows."""
    powers = [None if log is None else _power(log) for log in row.profile(moment, STRIP)]
    return strip(powers, STRIP, *scale)


def _power(log: float) -> float:
    """10^log, which must not become 0 where δ is not."""
    return log if math.isnan(log) else 0.0 if log == -math.inf else 10 ** max(min(log, 300.0), -323.0)


# --------------------------------------------------------------------------------------------------------- the rest


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", expand=False)
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
    """The first line as it is, an interval below it fainter."""
    text = Text(lines[0], style="green" if column.name == "verdict" and lines[0] == "healthy" else "")
    for line in lines[1:]:
        text.append(f"\n{line}", style="" if column.name == "verdict" else "dim")
    return text


def _notes(comparison: Comparison, columns: Sequence[Column], left_out: Sequence[str], width: int) -> Iterator[Text]:
    notes = []
    if any(column.name in PROFILES for column in columns):
        low, high = _scale(comparison.rows)
        notes.append(f"log δ: from ▁ {_power(low):.0e} to █ {_power(high):.0e}, · exactly 0, ! not finite")
    cells = [line for column in columns if column.name in SHOWN for lines in column.cells for line in lines]
    if any(line.endswith("*") for line in cells):
        notes.append("* not all n runs have it; a diverged one has no loss in the end")
    if left_out:
        notes.append(f"no room for: {', '.join(left_out)} (a wider terminal, --columns, or --format)")
    for note in notes:
        yield Text(textwrap.fill(note, width, break_on_hyphens=False), style="dim")


def _unfinished(comparison: Comparison, runs: Runs, width: int) -> Iterator[Text]:
    """Runs that are not in the table, never silently."""
    if runs.copies:
        noun = "folders hold runs that others hold" if len(runs.copies) > 1 else "folder holds a run that another holds"
        yield Text(f"{len(runs.copies)} {noun} too: {runs.copies[0]}{' …' if len(runs.copies) > 1 else ''}")
    if runs.other_schemas:
        yield Text(textwrap.fill(runs.other_schemas, width), style="yellow")
    if not runs.unfinished:
        return
    counts = Counter(run.status for run in runs.unfinished)
    tally = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    yield Text(f"not compared: {tally}", style="yellow")
    for run in sorted(runs.unfinished, key=lambda run: run.status)[:LISTED]:
        differing = [key for key in (*comparison.differing, *comparison.folded) if key in run.settings]
        label = " ".join(f"{key}={written(run.settings[key])}" for key in differing)
        line = "  ".join(filter(None, (f"{run.status:<11}", str(run.path), label, run.reason)))
        yield Text(f"  {line}", style="dim")
    if len(runs.unfinished) > LISTED:
        yield Text(f"  and {len(runs.unfinished) - LISTED} more", style="dim")
