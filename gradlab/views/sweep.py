"""A sweep in the terminal: the plan, the progress, and the report at the end.

    ━━━━━━━━━━━━━━━━━━━━╸━━━━━━━━━  14/24  1 diverged, 1 failed  0:00:41 left
    1  model.depth=20 model.activation=tanh seed=1   0:00:03
    2  model.depth=20 model.activation=relu seed=1   0:00:01

Where the output is no terminal, the progress is a plain line for every run that has ended.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import rich.live
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradlab.printing import say
from gradlab.text import clock, tally
from gradlab.views import terminal
from gradlab.views.progress import can_be_drawn_over, progress_bar
from gradlab.views.terminal import plain_table

COLOURS = {"completed": "green", "diverged": "yellow", "failed": "bold red", "interrupted": "yellow"}
SHOWN_POINTS = 1000
"""The plan lists at most so many points, and counts the others."""
SHOWN_FAILURES = 20
"""The report lists at most so many failed runs, and counts the others."""


@dataclass(frozen=True)
class PointLine:
    """A point of a sweep as a view shows it.

    Attributes:
        settings: the settings in which the points differ, as text.
        status: a state that `gradlab.sweeps.states` names.
        path: the run folder.
        verdict: id of the worst finding; empty where there is none yet.
        reason: why the run failed.
    """

    settings: Mapping[str, str]
    status: str
    path: Path
    verdict: str = ""
    reason: str = ""

    @property
    def label(self) -> str:
        """`model.depth=5 seed=0`, or the run folder's name where nothing is set."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items()) or self.path.name


def print_plan(rows: Sequence[PointLine], console: Console) -> None:
    """Print the points of a sweep and their states."""
    axes = list(dict.fromkeys(key for row in rows for key in row.settings))
    table = plain_table()
    for axis in axes:
        table.add_column(axis.replace(".", ".\n"), vertical="bottom", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    table.add_column("run", style="dim", overflow="fold")
    for row in rows[:SHOWN_POINTS]:
        cells = [row.settings.get(axis, "") for axis in axes]
        status = Text(row.status, COLOURS.get(row.status, ""))
        table.add_row(*map(Text, cells), status, Text(row.verdict), Text(row.path.name))
    console.print(table)
    if len(rows) > SHOWN_POINTS:
        _line(console, f"and {len(rows) - SHOWN_POINTS} more")
    console.print(Text(f"{len(rows)} points: {_by_number(row.status for row in rows)}"))


def print_report(rows: Sequence[PointLine], *, ran: int, seconds: float, console: Console) -> None:
    """Print the report of a sweep that has ended.

    Args:
        rows: every point.
        ran: how many points were run this time.
        seconds: how long that took.
        console: where to.
    """
    before = f" · {len(rows) - ran} settled before" if ran < len(rows) else ""
    took = f" · {ran} in {clock(seconds)}" if ran else ""
    _line(console, f"{len(rows)} points: {_by_number(row.status for row in rows)}{before}{took}")
    verdicts = [row.verdict for row in rows if row.verdict]
    if verdicts:
        _line(console, f"verdicts: {_by_number(verdicts)}")
    failed = [row for row in rows if row.status == "failed"]
    for row in failed[:SHOWN_FAILURES]:
        _line(console, f"failed  {row.label}", "bold red")
        _line(console, f"        {row.reason}")
        _line(console, f"        {row.path}", "dim")
    if len(failed) > SHOWN_FAILURES:
        _line(console, f"and {len(failed) - SHOWN_FAILURES} more")
    if failed:
        _line(console, "Their summary.json has the traceback; --retry-failed runs them again.")


def _by_number(words: Iterable[str]) -> str:
    """A tally with the most frequent word first."""
    return tally(dict(Counter(words).most_common()))


class SweepProgress:
    """The progress of a sweep; made by `sweep_progress`.

    Args:
        console: where it is drawn. Where that is no terminal, a line is printed for every run that has ended.
    """

    def __init__(self, console: Console) -> None:
        self._prints_lines = not can_be_drawn_over(console)
        self._total = 0
        self._states: Counter[str] = Counter()
        self._busy: dict[int, tuple[str, float]] = {}
        self._bar = progress_bar(console, "{task.description}")
        self._task = self._bar.add_task("", total=None)

    def planned(self, total: int) -> None:
        """Called first, with the number of points that will be run."""
        self._total = total
        self._bar.update(self._task, total=total)

    def started(self, worker: int, label: str) -> None:
        """A worker, counted from 0, has begun a point."""
        self._busy[worker] = (label, monotonic())

    def ended(self, worker: int, row: PointLine) -> None:
        """A worker has ended its point. A point that another sweep runs is not counted: it ends once more, later."""
        _, begun = self._busy.pop(worker)
        if row.status == "running":
            return
        self._states[row.status] += 1
        others = {state: count for state, count in self._states.items() if state != "completed"}
        self._bar.update(self._task, advance=1, description=tally(others))
        if self._prints_lines:
            done = f"{self._states.total():{len(str(self._total))}}/{self._total}"
            about = " · ".join(filter(None, (row.verdict, row.reason)))
            say(f"{done}  {row.status}  {row.label}  {monotonic() - begun:.1f} s  {about}".rstrip())

    def draw(self) -> RenderableType:
        """The bar, and a line for every worker."""
        workers = Table.grid(padding=(0, 2, 0, 0))
        workers.add_column(justify="right", style="dim")
        workers.add_column(no_wrap=True, overflow="ellipsis")
        workers.add_column(style="dim", no_wrap=True)
        for worker, (label, begun) in sorted(self._busy.items()):
            workers.add_row(str(worker + 1), Text(label), clock(monotonic() - begun))
        return Group(self._bar, workers)


@contextmanager
def sweep_progress(console: Console | None = None) -> Iterator[SweepProgress]:
    """Show the progress of a sweep for as long as the context lasts.

    Args:
        console: where to draw; by default stderr, so that stdout holds results only.
    """
    console = console or terminal.console(errors=True)
    progress = SweepProgress(console)
    if not can_be_drawn_over(console):
        yield progress
        return
    with rich.live.Live(get_renderable=progress.draw, console=console, transient=True, redirect_stdout=False):
        yield progress


def _line(console: Console, text: str, style: str = "") -> None:
    # The console does not break the line: users paste paths and settings.
    console.print(Text(text, style=style), soft_wrap=True)
