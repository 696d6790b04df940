"""A sweep under way: points ─► engine ─► states. Torch-free; the workers import it."""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic
from typing import Protocol

from gradlab import datasets, interrupts, run_folder
from gradlab.errors import RunBusyError
from gradlab.sweeps.engine import Engine, Task
from gradlab.sweeps.grid import Point
from gradlab.sweeps.states import PointState, look_up, record_failure, record_interruption

GRACE_SECONDS = 10.0
"""After Ctrl-C, for the workers to end their step and write what they have."""
POLL_SECONDS = 0.5
"""Between two looks for Ctrl-C, while no run ends."""


class SweepListener(Protocol):
    """Sees a sweep go on."""

    def planned(self, count: int) -> None:
        """So many points are to be run."""

    def started(self, worker: int, point: Point) -> None:
        """A worker, counted from 0, has begun a point."""

    def ended(self, worker: int, point: Point, state: PointState) -> None:
        """It has ended it; an state that is `running` is another process's, and comes again."""


@dataclass(frozen=True)
class Report:
    """What a sweep came to.

    Attributes:
        states: of every point, by id.
        ran: ids of the points that were run, or waited for, this time.
        interrupted: whether Ctrl-C ended it.
    """

    states: Mapping[str, PointState]
    ran: frozenset[str]
    interrupted: bool

    @property
    def failed(self) -> bool:
        """Whether a point has failed, now or before."""
        return any(state.status == "failed" for state in self.states.values())

    @property
    def healthy(self) -> bool:
        """Whether every point is."""
        return all(state.verdict == "healthy" for state in self.states.values())


def run_sweep(
    points: Sequence[Point],
    engine: Engine,
    *,
    runs: Path,
    listener: SweepListener,
    plots: bool = False,
    retry_failed: bool = False,
) -> Report:
    """Run every point that is not settled. Points that another sweep is running are waited for, last of all.

    Args:
        points: what to run, in this order.
        engine: what runs them.
        runs: where run folders are.
        listener: told of every beginning and end.
        plots: whether to draw each point's pictures.
        retry_failed: run failed points again.

    Raises:
        DatasetError: data that come from outside the package cannot be loaded.
        RunFolderError: run folders cannot be written in `runs`.
    """
    states = look_up_all(points, runs)
    if retry_failed:
        for point in points:
            if states[point.config.id].status == "failed":
                states[point.config.id] = record_interruption(runs, point.config)
    todo = [point for point in points if not states[point.config.id].settled]
    ran = frozenset(point.config.id for point in todo)
    _look_for_data(todo)
    listener.planned(len(todo))
    rest = todo
    with interrupts.first_one_remembered() as interrupted, engine:
        if todo:
            with suppress(RunBusyError), run_folder.lock_run(runs, todo[0].config):
                pass  # a folder that cannot be written is one message, not one for each point
        for waiting in (False, True):
            tasks = [(point, Task(point.config, runs, plots, waiting)) for point in rest]
            states |= _drive(engine, tasks, listener, interrupted)
            rest = [point for point in rest if states[point.config.id].status == "running"]
    if interrupted.is_set():
        for point in todo:
            state = look_up(runs, point.config)
            cut_off = state.status == "interrupted"  # perhaps killed before it could say so
            states[point.config.id] = record_interruption(runs, point.config) if cut_off else state
    return Report(states, ran, interrupted.is_set())


def _look_for_data(points: Sequence[Point]) -> None:
    """Load what may not be there, once each: a missing file or network is one message, not one for each point."""
    looked_for = []
    for point in points:
        if point.config.data.facts.from_outside and point.config.data not in looked_for:
            looked_for.append(point.config.data)
            datasets.load(point.config.data, point.config.seed)


def look_up_all(points: Sequence[Point], runs: Path) -> dict[str, PointState]:
    """The state of every point, by id."""
    return {point.config.id: look_up(runs, point.config) for point in points}


def _drive(
    engine: Engine, tasks: Sequence[tuple[Point, Task]], listener: SweepListener, interrupted: threading.Event
) -> dict[str, PointState]:
    """Keep every worker busy until all tasks have ended, or until Ctrl-C and `GRACE_SECONDS` for the workers.

    No task waits inside the engine, so that none begins after Ctrl-C.
    """
    queue = deque(tasks)
    free = list(range(engine.workers))
    running: dict[Future[PointState], tuple[int, Point, Task]] = {}
    states: dict[str, PointState] = {}
    deadline = inf
    while (running or (queue and deadline == inf)) and monotonic() < deadline:
        while queue and free and not interrupted.is_set():
            point, task = queue.popleft()
            worker = free.pop(free.index(min(free)))
            running[engine.submit(task)] = (worker, point, task)
            listener.started(worker, point)
        for future in wait(running, POLL_SECONDS, FIRST_COMPLETED).done:
            worker, point, task = running.pop(future)
            error = future.exception()
            if error is None:
                state = future.result()
            elif interrupted.is_set():
                state = record_interruption(task.runs, task.config)
            else:
                state = record_failure(task.runs, task.config, engine.explain(error))
            free.append(worker)
            states[point.config.id] = state
            listener.ended(worker, point, state)
        if interrupted.is_set():
            deadline = min(deadline, monotonic() + GRACE_SECONDS)
            engine.interrupt()  # again and again: a worker that is between points does not hear it
    return states
