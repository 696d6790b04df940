"""What `gradlab sweep` does: plan the points, run them on an engine, print the report, judge the claim."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from time import monotonic
from typing import Any

from rich.console import Console
from rich.text import Text

from gradlab import run_folder
from gradlab.claims.judging import Verdict, judge
from gradlab.claims.measuring import Observation
from gradlab.sweeps import ENGINES
from gradlab.sweeps.engine import Engine
from gradlab.sweeps.grid import Plan, Point, load_plan
from gradlab.sweeps.running import Report, look_up_all, run_sweep
from gradlab.sweeps.states import PointState
from gradlab.sweeps.sweep_file import written
from gradlab.views import terminal
from gradlab.views.claims.report import print_verdict
from gradlab.views.comparison.comparison import compare
from gradlab.views.comparison.runs import collect
from gradlab.views.comparison.table import print_comparison
from gradlab.views.sweep import PointLine, SweepProgress, print_plan, print_report, sweep_progress

MOST_ROWS = 40
"""A sweep ends with its comparison where that has no more rows; otherwise with the command that prints it."""


def show_plan(source: Path, overrides: Sequence[str], runs: Path) -> None:
    """Print the points of a sweep and their states; write nothing."""
    points = load_plan(source, overrides).points
    states = look_up_all(points, runs)
    row = point_lines(points)
    print_plan([row(point, states[point.config.id]) for point in points], terminal.console())


def make_engine(name: str, workers: int | None, **options: Any) -> Engine:
    """The engine of that name.

    Args:
        name: a key of `ENGINES`.
        workers: runs at once; None for as many as there is room for.
        options: of some engine; an engine passes over those that it does not know.

    Raises:
        UserError: Ray is not installed.
    """
    engine: Engine = resolve_name(ENGINES[name])(workers, **options)
    return engine


@dataclass(frozen=True)
class SweepResult:
    """The end of a sweep.

    Attributes:
        report: the states of its points.
        verdict: the verdict on its claim; None where it makes no claim, or where runs that the claim needs are missing.
        claims: whether it makes a claim.
    """

    report: Report
    verdict: Verdict | None
    claims: bool

    @property
    def passed(self) -> bool:
        """Whether the claim is confirmed; where there is no claim, whether every run is healthy."""
        return (self.verdict is not None and self.verdict.confirmed) if self.claims else self.report.healthy


def sweep(
    source: Path,
    overrides: Sequence[str],
    engine: Engine,
    *,
    runs: Path,
    plots: bool = False,
    retry_failed: bool = False,
) -> SweepResult:
    """Run a sweep with its progress on the terminal, print the report, and judge and draw its claim.

    Args:
        source: a sweep file or a config.
        overrides: `KEY=V1,V2 …`.
        engine: runs the points.
        runs: the folder of run folders.
        plots: whether to draw each point's pictures.
        retry_failed: run failed points again.

    Raises:
        ConfigError: the sweep file, or the config of a point, is wrong.
    """
    begun = monotonic()
    plan = load_plan(source, overrides)
    points = plan.points
    row = point_lines(points)
    with sweep_progress() as progress:
        report = run_sweep(
            points, engine, runs=runs, listener=ProgressListener(progress, row), plots=plots, retry_failed=retry_failed
        )
    rows = [row(point, report.states[point.config.id]) for point in points]
    console = terminal.console()
    print_report(rows, ran=len(report.ran), seconds=monotonic() - begun, console=console)
    if not report.interrupted:
        _compare(plan, report, runs, console)
    verdict = _judge(plan, report, run_folder.claim_picture(runs, source.stem), console)
    return SweepResult(report, verdict, claims=plan.claim is not None or bool(plan.not_judged))


def _compare(plan: Plan, report: Report, runs: Path, console: Console) -> None:
    """Print the finished runs of a sweep side by side; where they are many, or a claim is judged on them, how to."""
    states = {point.config.id: report.states[point.config.id] for point in plan.points}
    finished = {key: state.path for key, state in states.items() if state.status in run_folder.FINISHED}
    if not finished:
        return
    found = collect(list(finished.values()))
    comparison = compare(found)
    if plan.claim is None and len(comparison.rows) <= MOST_ROWS:
        console.print()
        print_comparison(comparison, found, console)
        return
    names = {point.config.name for point in plan.points}
    which = f"{shlex.quote(str(runs / names.pop()))}-*" if len(names) == 1 else shlex.quote(str(runs))
    console.print(Text(f"side by side: gradlab compare {which}"), soft_wrap=True)


def _judge(plan: Plan, report: Report, picture: Path, console: Console) -> Verdict | None:
    """Judge the claim of a sweep on its runs; print and draw the verdict."""
    states = [report.states[point.config.id] for point in plan.points]
    missing = [state for state in states if state.status not in run_folder.FINISHED]
    why_not = plan.not_judged or (plan.claim and missing and f"{len(missing)} of {len(states)} runs are not finished")
    if why_not:
        console.print(Text(f"the claim is not judged: {why_not}"), soft_wrap=True)
    if plan.claim is None or why_not:
        return None
    from gradlab.views.claims.picture import save_picture  # matplotlib takes half a second to import

    observations = [Observation.of(run_folder.read_tables(state.path)) for state in states]
    verdict = judge(plan.claim, observations)
    print_verdict(verdict, console)
    save_picture(verdict, observations, picture)
    console.print(Text(f"drew {picture}"), soft_wrap=True)
    return verdict


class ProgressListener:
    """Passes a sweep's events on to its progress view, as lines of text."""

    def __init__(self, progress: SweepProgress, row: Callable[[Point, PointState], PointLine]) -> None:
        self._progress = progress
        self._row = row

    def planned(self, count: int) -> None:
        """Pass it on."""
        self._progress.planned(count)

    def started(self, worker: int, point: Point) -> None:
        """Pass it on, with the settings of the point."""
        self._progress.started(worker, self._row(point, PointState("running", Path(point.config.folder))).label)

    def ended(self, worker: int, point: Point, state: PointState) -> None:
        """Pass it on, with the settings of the point and what became of it."""
        self._progress.ended(worker, self._row(point, state))


def point_lines(points: Sequence[Point]) -> Callable[[Point, PointState], PointLine]:
    """A function that makes the line of a point, with the settings in which the points differ."""
    values: dict[str, set[str]] = {}
    for point in points:
        for key, value in point.settings.items():
            values.setdefault(key, set()).add(written(value))
    everywhere = {key for key in values if all(key in point.settings for point in points)}
    varied = [key for key in values if len(values[key]) > 1 or key not in everywhere]

    def row(point: Point, state: PointState) -> PointLine:
        settings = {key: written(point.settings[key]) for key in varied if key in point.settings}
        return PointLine(settings, state.status, state.path, state.verdict, state.reason)

    return row
