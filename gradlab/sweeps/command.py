"""What `gradlab sweep` does: points, an engine, and the views of both."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from gradlab.sweeps.engine import Engine
from gradlab.sweeps.grid import Point, load_points
from gradlab.sweeps.local import LocalEngine
from gradlab.sweeps.running import Report, look_up_all, run_sweep
from gradlab.sweeps.states import Outcome
from gradlab.sweeps.sweep_file import written
from gradlab.views.sweep import Row, SweepProgress, print_plan, print_report


def show_plan(source: Path, overrides: Sequence[str], runs: Path) -> None:
    """Print the points of a sweep and what is already done; write nothing."""
    points = load_points(source, overrides)
    states = look_up_all(points, runs)
    row = _rows(points)
    print_plan([row(point, states[point.config.id]) for point in points], Console())


def make_engine(name: str, workers: int | None, **ray_options: Any) -> Engine:
    """The engine of that name.

    Args:
        name: `local` or `ray`.
        workers: runs at once; None for as many as there is room for.
        ray_options: those of `RayEngine`; the local engine has none.

    Raises:
        UserError: it is not installed.
    """
    if name == "ray":
        from gradlab.sweeps.ray import RayEngine

        return RayEngine(workers, **ray_options)
    return LocalEngine(workers)


def sweep(
    source: Path,
    overrides: Sequence[str],
    engine: Engine,
    *,
    runs: Path,
    plots: bool = False,
    retry_failed: bool = False,
) -> Report:
    """Run a sweep, show it going on, and print what it came to.

    Args:
        source: a sweep file or a config.
        overrides: `KEY=V1,V2 …`.
        engine: what runs it.
        runs: where run folders are.
        plots: whether to draw each point's pictures.
        retry_failed: run failed points again.

    Raises:
        ConfigError: the sweep is wrong, or one of its points.
    """
    begun = monotonic()
    points = load_points(source, overrides)
    row = _rows(points)
    with SweepProgress() as progress:
        report = run_sweep(
            points, engine, runs=runs, watcher=_Watcher(progress, row), plots=plots, retry_failed=retry_failed
        )
    rows = [row(point, report.outcomes[point.config.id]) for point in points]
    print_report(rows, ran=len(report.ran), seconds=monotonic() - begun, console=Console())
    return report


class _Watcher:
    """Points and outcomes, as the progress view wants them."""

    def __init__(self, progress: SweepProgress, row: Callable[[Point, Outcome], Row]) -> None:
        self._progress = progress
        self._row = row

    def planned(self, count: int) -> None:
        self._progress.planned(count)

    def started(self, worker: int, point: Point) -> None:
        self._progress.started(worker, self._row(point, Outcome("running", Path(point.config.folder))).label)

    def ended(self, worker: int, point: Point, outcome: Outcome) -> None:
        self._progress.ended(worker, self._row(point, outcome))


def _rows(points: Sequence[Point]) -> Callable[[Point, Outcome], Row]:
    """What makes rows of points: a point is known by the settings in which it may differ from others."""
    values: dict[str, set[str]] = {}
    for point in points:
        for key, value in point.settings.items():
            values.setdefault(key, set()).add(written(value))
    everywhere = {key for key in values if all(key in point.settings for point in points)}
    varied = [key for key in values if len(values[key]) > 1 or key not in everywhere]

    def row(point: Point, outcome: Outcome) -> Row:
        settings = {key: written(point.settings[key]) for key in varied if key in point.settings}
        return Row(settings, outcome.status, outcome.path, outcome.verdict, outcome.reason)

    return row
