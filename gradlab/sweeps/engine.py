"""What an engine is, and what it does for each point."""

import time
import traceback
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from gradlab.config import Config
from gradlab.errors import RunBusyError, RunInterrupted
from gradlab.sweeps.states import PointState, look_up, record_failure

WAIT_SECONDS = 0.5
"""Between two looks at a run that another process is writing."""


@dataclass(frozen=True)
class Task:
    """A point to run, as it travels to a worker.

    Attributes:
        config: what to run.
        runs: where run folders are.
        plots: whether to draw the pictures.
        wait: wait for another process that has the run, instead of leaving it to that one.
    """

    config: Config
    runs: Path
    plots: bool = False
    wait: bool = False


class Engine(Protocol):
    """Something that runs points in processes of its own, `workers` at a time, for as long as its context lasts.

    Leaving the context stops what is still running.
    """

    @property
    def workers(self) -> int:
        """Points that run at once."""

    def __enter__(self) -> "Engine": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def submit(self, task: Task) -> "Future[PointState]":
        """Run a point with `run_point`. The future has an exception only where a worker died."""

    def interrupt(self) -> None:
        """Ask the points that run to end their step and keep what they have; may be called again."""

    def explain(self, error: BaseException) -> str:
        """What a future's exception means, in a line."""


def run_point(task: Task, threads: int) -> PointState:
    """Run a point in a worker process, unless it is settled by then. What it raises becomes its state.

    Args:
        task: the point.
        threads: threads of a worker; small networks take one.
    """
    try:
        import torch  # once a worker: the sweep itself does without

        from gradlab import experiment

        while not (state := look_up(task.runs, task.config)).settled:
            try:
                if state.status == "running":
                    raise RunBusyError(f"another process is writing {state.path}")
                torch.set_num_threads(threads)
                experiment.run(task.config, runs=task.runs, plots=task.plots, fit_threads=True)
            except RunBusyError:  # perhaps it fails there: then that is its state, and it is not run again here
                if not task.wait:
                    return PointState("running", state.path)
                time.sleep(WAIT_SECONDS)
            except RunInterrupted:
                return look_up(task.runs, task.config)
    except Exception:
        return record_failure(task.runs, task.config, traceback.format_exc())
    return state
