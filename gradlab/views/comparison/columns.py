"""The columns of a comparison: which there are, how their cells are written, and which of them fit a width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len

from gradlab.measures.intervals import Mean
from gradlab.measures.settings import known_settings
from gradlab.text import ABSENT, same_decimals, setting_text
from gradlab.views.comparison.comparison import ComparedConfiguration, Comparison, ten_to_the
from gradlab.views.progress import strip
from gradlab.views.summary import scale_of

PROFILE_COLUMNS = {"delta_start": "start", "delta_end": "end"}
"""Columns that draw the profile of δ, and the moment that they draw."""
STRIP_WIDTH = 10
"""Characters of a drawn profile."""


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
DROPPED_FIRST = ("step_ms", "saturated_fraction", "dead_fraction", "test_loss", "log10_update_ratio")
"""Columns that a narrow terminal leaves out, in this order."""
DROPPED_NEXT = ("delta_end", "test_accuracy", "n")
"""Columns that a terminal leaves out that is narrower still."""
NUMBER = "#"
"""The column of row numbers, in place of settings for which there is no room."""


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


def fitting_columns(comparison: Comparison, asked: list[str], width: int) -> tuple[list[Column], list[str]]:
    """The columns that fit a width, and the names of the columns that are left out.

    Intervals stand beside their means where there is room, else below them. Where that is still too wide, the columns
    `DROPPED_FIRST` are left out one by one; then the settings give way to a number for each row (`NUMBER`), to be told
    below the table; then the columns `DROPPED_NEXT` are left out. The verdict and the decades per layer always stay,
    and so do columns that the user asked for.

    Args:
        comparison: the rows.
        asked: names of the columns that the user asked for.
        width: characters that there is room for.
    """
    settings = [] if asked else list(comparison.differing)
    names = asked or [*settings, *DEFAULT_COLUMNS]
    scale = drawn_scale(comparison.rows)
    columns = {
        inline: [_column(name, comparison.rows, scale, inline=inline) for name in names] for inline in (True, False)
    }
    if asked or _width(columns[True]) <= width:
        return columns[_width(columns[True]) <= width], []
    left_out: list[str] = []
    for step in (*DROPPED_FIRST, NUMBER, *DROPPED_NEXT):
        if _width(columns[False]) <= width:
            break
        if step == NUMBER:
            numbers = [Column(NUMBER, [NUMBER], [[str(row + 1)] for row in range(len(comparison.rows))], right=True)]
            columns = {inline: numbers[: len(settings)] + _without(kept, settings) for inline, kept in columns.items()}
        else:
            left_out.append(step)
            columns = {inline: _without(kept, [step]) for inline, kept in columns.items()}
    return columns[_width(columns[True]) <= width], left_out


def _without(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    return [column for column in columns if column.name not in names]


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
    found = row.verdicts
    lines = [verdict if len(found) == 1 else f"{count} {verdict}" for verdict, count in found[:2]]
    lines += [f"and {len(found) - 2} more"] if len(found) > 2 else []
    return [", ".join(lines)] if inline else [part for line in lines for part in _halves(line)]


def _halves(verdict: str) -> list[str]:
    """A verdict in two lines, broken behind its first hyphen."""
    head, hyphen, tail = verdict.partition("-")
    return [head + hyphen, tail] if hyphen else [verdict]


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


def drawn_scale(rows: Sequence[ComparedConfiguration]) -> tuple[float, float]:
    """log10 RMS δ at the bottom and at the top of the drawn profiles, the same for all rows."""
    logs = [row.profile(moment, STRIP_WIDTH) for row in rows for moment in PROFILE_COLUMNS.values()]
    return scale_of(np.array(logs, dtype=np.float64))


def _drawn(row: ComparedConfiguration, moment: str, scale: tuple[float, float]) -> str:
    """A profile as a strip of blocks."""
    powers = [None if log is None else ten_to_the(log) for log in row.profile(moment, STRIP_WIDTH)]
    return strip(powers, STRIP_WIDTH, *scale)
