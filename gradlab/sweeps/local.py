"""The engine of one machine: worker processes that live as long as the sweep.

The pool is pebble's. If a worker dies, pebble names the task that died with it, and starts another worker. The pools of
the standard library and of joblib give up all their tasks.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from pebble import ProcessExpired, ProcessPool

from gradlab import interrupts
from gradlab.sweeps.engine import GRACE_SECONDS, Task, run_point
from gradlab.sweeps.states import PointState


class LocalEngine:
    """Runs points in worker processes. Each worker imports torch once; workers × threads = cores.

    Args:
        workers: processes; by default one for each core.
        options: of other engines.
    """

    def __init__(self, workers: int | None = None, **options: Any) -> None:
        self.workers = workers or cores()
        self.threads = max(1, cores() // self.workers)

    def __enter__(self) -> "LocalEngine":
        self._others = set(multiprocessing.active_children())
        self._pool = self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.stop()
        self._pool.join()

    def submit(self, task: Task) -> "Future[PointState]":
        """Run a point in a worker."""
        with _sigint_blocked():
            if not self._pool.active:  # pebble gives up when a worker dies that has no task
                self._pool.stop()
                self._pool.join()
                self._pool = self._start()
            return self._pool.schedule(run_point, (task, self.threads))

    def interrupt(self) -> None:
        """Pass Ctrl-C on to the workers. A worker between two points ignores it."""
        for worker in set(multiprocessing.active_children()) - self._others:
            with suppress(OSError):
                os.kill(worker.pid or 0, signal.SIGINT)

    def explain(self, error: BaseException) -> str:
        """How a worker died."""
        code = error.exitcode if isinstance(error, ProcessExpired) else None
        if not isinstance(code, int):
            return f"its worker process died: {error}"
        if code == -signal.SIGKILL:
            return "its worker process was killed (SIGKILL), as by a system that is out of memory"
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        return f"its worker process died: {how}"

    def _start(self) -> ProcessPool:
        spawn = multiprocessing.get_context("spawn")  # a forked process can use neither CUDA nor threads
        return ProcessPool(self.workers, initializer=_begin, context=spawn)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin() -> None:
    """The first function of a worker: let Ctrl-C through again, and see to it that no worker outlives the sweep.

    Pebble has the worker ignore Ctrl-C between points, and end at once on SIGTERM, which is Ctrl-C for a run.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    interrupts.end_with_parent(GRACE_SECONDS)


def _start_tracker() -> None:
    """Start the process in which multiprocessing keeps its books, so that it outlives a terminal that closes."""
    if not hasattr(signal, "SIGHUP"):
        return
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN) if in_main else None
    resource_tracker.ensure_running()
    if in_main:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block Ctrl-C in the processes and threads that start here; each of them would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _start_tracker()  # before the signal is blocked, because its start unblocks it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
