"""The interface of an engine, which runs the points of a sweep; and what a worker does for one point."""

import time
import traceback
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gradlab import interrupts
from gradlab.config import Config
from gradlab.errors import RunBusyError, RunInterrupted
from gradlab.sweeps.states import PointState, look_up, record_failure

GRACE_SECONDS = 10.0
"""Seconds that the workers have after Ctrl-C to finish their step and write what they recorded."""
WAIT_SECONDS = 0.5
"""Seconds between two looks at a run that another process is writing."""


@dataclass(frozen=True)
class Task:
    """A point to run, as it is sent to a worker.

    Attributes:
        config: what to run.
        runs: the folder of run folders.
        plots: whether to draw the pictures.
        wait: whether to wait for another process that writes the run, instead of leaving the run to that process.
    """

    config: Config
    runs: Path
    plots: bool = False
    wait: bool = False


class Engine(AbstractContextManager["Engine"], Protocol):
    """Runs points in processes of its own, `workers` at a time, for as long as its context lasts.

    Leaving the context stops the points that still run.
    """

    @property
    def workers(self) -> int:
        """Points that run at once."""

    def submit(self, task: Task) -> "Future[PointState]":
        """Run a point with `run_point`. The future has an exception only if the worker died."""

    def interrupt(self) -> None:
        """Ask the running points to finish their step and keep what they recorded. It may be called repeatedly."""

    def explain(self, error: BaseException) -> str:
        """The meaning of a future's exception, in a line."""


def run_point(task: Task, threads: int) -> PointState:
    """Run a point in a worker process, unless it is settled by then. If the run raises, the state is `failed`.

    Args:
        task: the point.
        threads: threads of the worker; small networks use one.
    """
    try:
        import torch  # once a worker: the sweep itself does without

        from gradlab import experiment

        while not (state := look_up(task.runs, task.config)).settled:
            try:
                if state.status == "running":
                    raise RunBusyError(f"another process is writing {state.path}")
                torch.set_num_threads(threads)
                with interrupts.all_like_ctrl_c():  # a system that stops tells every process
                    experiment.run(task.config, runs=task.runs, plots=task.plots, fit_threads=True)
            except RunBusyError:  # if it fails there, it is not run again here
                if not task.wait:
                    return PointState("running", state.path)
                time.sleep(WAIT_SECONDS)
            except RunInterrupted:
                return look_up(task.runs, task.config)
    except Exception:
        return record_failure(task.runs, task.config, traceback.format_exc())
    return state
