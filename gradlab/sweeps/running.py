"""Run the points of a sweep: points ─► engine ─► states. Only the workers import torch."""

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

from gradlab import datasets, interrupts, run_folder, user_code
from gradlab.choices import Data
from gradlab.errors import RunBusyError
from gradlab.sweeps.engine import GRACE_SECONDS, Engine, Task
from gradlab.sweeps.grid import Point
from gradlab.sweeps.states import PointState, look_up, record_failure, record_interruption

POLL_SECONDS = 0.5
"""Seconds between two looks for Ctrl-C, while no run ends."""


class SweepListener(Protocol):
    """Is called while a sweep runs, to show its progress."""

    def planned(self, count: int) -> None:
        """Called first, with the number of points that will be run."""

    def started(self, worker: int, point: Point) -> None:
        """A worker, counted from 0, has begun a point."""

    def ended(self, worker: int, point: Point, state: PointState) -> None:
        """A worker has ended a point. A point whose state is `running` is run by another process; it ends once more."""


@dataclass(frozen=True)
class Report:
    """The points of a sweep at its end.

    Attributes:
        states: the state of every point, by id.
        ran: ids of the points that were run, or waited for, this time.
        interrupted: whether Ctrl-C ended the sweep.
    """

    states: Mapping[str, PointState]
    ran: frozenset[str]
    interrupted: bool

    @property
    def failed(self) -> bool:
        """Whether a point has failed, this time or before."""
        return any(state.status == "failed" for state in self.states.values())

    @property
    def healthy(self) -> bool:
        """Whether every point is healthy."""
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
    """Run every point that is not settled. Points that another process is running are waited for, last of all.

    Args:
        points: the points, in the order in which they are run.
        engine: runs them.
        runs: the folder of run folders.
        listener: is called at every beginning and end of a point.
        plots: whether to draw each point's pictures.
        retry_failed: run failed points again.

    Raises:
        DatasetError: data from outside the package cannot be loaded.
        UserError: code of the user cannot be loaded.
        RunFolderError: no run folder can be written in `runs`.
    """
    states = look_up_all(points, runs)
    if retry_failed:
        for point in points:
            if states[point.config.id].status == "failed":
                states[point.config.id] = record_interruption(runs, point.config)
    todo = [point for point in points if not states[point.config.id].settled]
    ran = frozenset(point.config.id for point in todo)
    _try_to_load(todo)
    listener.planned(len(todo))
    rest = todo
    with interrupts.first_one_remembered() as interrupted, engine:
        if todo:
            with suppress(RunBusyError), run_folder.lock_run(runs, todo[0].config):
                pass  # if the folder cannot be written, this is the only message, instead of one for each point
        for waiting in (False, True):
            tasks = [(point, Task(point.config, runs, plots, waiting)) for point in rest]
            states |= _run_tasks(engine, tasks, listener, interrupted)
            rest = [point for point in rest if states[point.config.id].status == "running"]
    if interrupted.is_set():
        for point in todo:
            state = look_up(runs, point.config)
            cut_off = state.status == "interrupted"  # the worker may have been killed before it could write this
            states[point.config.id] = record_interruption(runs, point.config) if cut_off else state
    return Report(states, ran, interrupted.is_set())


def _try_to_load(points: Sequence[Point]) -> None:
    """Load what is not in the package once, so that a missing file or network is one message for all points.

    That is code of the user, and data from outside.
    """
    for reference in dict.fromkeys(reference for point in points for reference in point.config.code):
        user_code.load(reference)
    tried: list[tuple[Data, str]] = []
    for config in (point.config for point in points):
        if config.data.facts.from_outside and (config.data, config.train.loss) not in tried:
            tried.append((config.data, config.train.loss))
            datasets.load_for(config)


def look_up_all(points: Sequence[Point], runs: Path) -> dict[str, PointState]:
    """The state of every point, by id."""
    ids = {path.name.rpartition("-")[2] for path in runs.iterdir()} if runs.is_dir() else set()
    return {
        point.config.id: look_up(runs, point.config)
        if point.config.id in ids
        else PointState("pending", runs / point.config.folder)
        for point in points
    }


def _run_tasks(
    engine: Engine, tasks: Sequence[tuple[Point, Task]], listener: SweepListener, interrupted: threading.Event
) -> dict[str, PointState]:
    """Keep every worker busy until all tasks have ended; after Ctrl-C, until `GRACE_SECONDS` have passed.

    The engine never has more tasks than workers, so that no task begins after Ctrl-C.
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
            engine.interrupt()  # repeated, because a worker between two points ignores it
    return states
