"""A sweep under way: points ─► engine ─► outcomes. Torch-free; the workers import it."""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol

from gradlab.sweeps.engine import Engine, Task
from gradlab.sweeps.grid import Point
from gradlab.sweeps.states import Outcome, look_up, record_failure, record_interruption

GRACE_SECONDS = 10.0
"""After Ctrl-C, for the workers to end their step and write what they have."""
AGAIN_SECONDS = 0.5
"""Between two such requests: a worker that was between points has missed the one before."""


class Watcher(Protocol):
    """Sees a sweep go on."""

    def planned(self, count: int) -> None:
        """So many points are to be run."""

    def started(self, worker: int, point: Point) -> None:
        """A worker, counted from 0, has begun a point."""

    def ended(self, worker: int, point: Point, outcome: Outcome) -> None:
        """It has ended it; an outcome that is `running` is another process's, and comes again."""


@dataclass(frozen=True)
class Report:
    """What a sweep came to.

    Attributes:
        outcomes: of every point, by id.
        ran: ids of the points that were run, or waited for, this time.
        interrupted: whether Ctrl-C ended it.
    """

    outcomes: Mapping[str, Outcome]
    ran: frozenset[str]
    interrupted: bool

    @property
    def failed(self) -> bool:
        """Whether a point has failed, now or before."""
        return any(outcome.status == "failed" for outcome in self.outcomes.values())

    @property
    def healthy(self) -> bool:
        """Whether every point is."""
        return all(outcome.verdict == "healthy" for outcome in self.outcomes.values())


def run_sweep(
    points: Sequence[Point],
    engine: Engine,
    *,
    runs: Path,
    watcher: Watcher,
    plots: bool = False,
    retry_failed: bool = False,
) -> Report:
    """Run every point that is not settled. Points that another sweep is running are waited for, last of all.

    Args:
        points: what to run, in this order.
        engine: what runs them.
        runs: where run folders are.
        watcher: told of every beginning and end.
        plots: whether to draw each point's pictures.
        retry_failed: run failed points again.
    """
    outcomes = look_up_all(points, runs)
    if retry_failed:
        for point in points:
            if outcomes[point.config.id].status == "failed":
                outcomes[point.config.id] = record_interruption(runs, point.config)
    todo = [point for point in points if not outcomes[point.config.id].settled]
    ran = frozenset(point.config.id for point in todo)
    watcher.planned(len(todo))
    rest = todo
    try:
        with engine:
            for waiting in (False, True):
                tasks = [(point, Task(point.config, runs, plots, waiting)) for point in rest]
                outcomes |= _drive(engine, tasks, watcher)
                rest = [point for point in rest if outcomes[point.config.id].status == "running"]
    except KeyboardInterrupt:
        for point in todo:
            state = look_up(runs, point.config)
            outcomes[point.config.id] = (
                record_interruption(runs, point.config) if state.status == "interrupted" else state
            )
        return Report(outcomes, ran, interrupted=True)
    return Report(outcomes, ran, interrupted=False)


def look_up_all(points: Sequence[Point], runs: Path) -> dict[str, Outcome]:
    """The state of every point, by id."""
    return {point.config.id: look_up(runs, point.config) for point in points}


def _drive(engine: Engine, tasks: Sequence[tuple[Point, Task]], watcher: Watcher) -> dict[str, Outcome]:
    """Keep every worker busy until all tasks have ended.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after the workers have ended theirs or `GRACE_SECONDS`; a second one, at once.
    """
    queue = deque(tasks)
    free = list(range(engine.workers))
    running: dict[Future[Outcome], tuple[int, Point, Task]] = {}
    outcomes: dict[str, Outcome] = {}

    def collect(timeout: float | None = None) -> None:
        for future in wait(running, timeout, FIRST_COMPLETED).done:
            worker, point, task = running.pop(future)
            error = future.exception()
            outcome = record_failure(task.runs, task.config, engine.explain(error)) if error else future.result()
            free.append(worker)
            outcomes[point.config.id] = outcome
            watcher.ended(worker, point, outcome)

    try:
        while queue or running:
            while queue and free:  # no task waits inside the engine, so that none begins after Ctrl-C
                point, task = queue.popleft()
                free.sort()
                running[engine.submit(task)] = (free[0], point, task)
                watcher.started(free.pop(0), point)
            collect()
    except KeyboardInterrupt:
        deadline = monotonic() + GRACE_SECONDS
        while running and monotonic() < deadline:
            engine.interrupt()
            collect(AGAIN_SECONDS)
        raise
    return outcomes
