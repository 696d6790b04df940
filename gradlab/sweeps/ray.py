"""The engine of a cluster: the same points as tasks of Ray, which finds them cores and GPUs on any of its nodes.

The folder of runs must be one that every node sees under the same path. Ray starts a point again, elsewhere, whose node
or worker is lost; it begins afresh, because the lost process no longer holds its folder.
"""

import contextlib
import logging
import socket
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any

from gradlab.errors import UserError
from gradlab.sweeps.engine import Task, run_point
from gradlab.sweeps.states import PointState

RETRIES = 3
"""Times that a point is started again whose node or worker is lost."""


class RayEngine:
    """Runs points on a Ray cluster; on one of this machine alone where no address is given.

    Args:
        workers: points at once; by default as many as the cluster has room for.
        address: of a running cluster; `auto` finds one that runs here.
        cpus_per_run: cores that a point takes, and threads that it may use.
        gpus_per_run: GPUs that a point takes; a fraction shares one.

    Raises:
        UserError: Ray is not installed.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        address: str | None = None,
        cpus_per_run: float = 1,
        gpus_per_run: float = 0,
    ) -> None:
        try:
            import ray
        except ImportError:
            raise UserError("--engine ray needs Ray", fix="pip install 'gradlab[ray]'") from None
        self._ray = ray
        self._wanted = workers
        self._address = address
        self._cpus, self._gpus = cpus_per_run, gpus_per_run
        self._running: dict[Future[PointState], Any] = {}
        self._asked: set[Any] = set()

    @property
    def workers(self) -> int:
        """Points at once."""
        return self._wanted or self._room

    def __enter__(self) -> "RayEngine":
        self._begun = not self._ray.is_initialized()
        if self._begun:
            try:
                self._knock()
                # Not None: Ray would join whatever cluster happens to run here.
                self._ray.init(
                    address=self._address or "local", log_to_driver=False, logging_level=logging.ERROR, **self._fresh()
                )
            except (OSError, ValueError) as error:
                raise UserError(f"there is no Ray cluster at {self._address}: {error}") from error
        has = self._ray.cluster_resources()
        self._room = int(has.get("CPU", 0) // self._cpus)
        if self._gpus:
            self._room = min(self._room, int(has.get("GPU", 0) / self._gpus))
        if not self._room:
            there = f"{has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs"
            self.__exit__(None, None, None)
            raise UserError(f"a run of {self._cpus:g} CPUs and {self._gpus:g} GPUs has no room in a cluster of {there}")
        self._run = self._ray.remote(
            num_cpus=self._cpus, num_gpus=self._gpus, max_retries=RETRIES, retry_exceptions=False
        )(run_point)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self._unfinished():
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        if self._begun:
            self._ray.shutdown()

    def submit(self, task: Task) -> "Future[PointState]":
        """Run a point wherever there is room."""
        task = replace(task, runs=task.runs.absolute())  # a worker's directory may be another
        reference = self._run.remote(task, max(1, int(self._cpus)))
        future: Future[PointState] = reference.future()
        self._running[future] = reference
        return future

    def interrupt(self) -> None:
        """Have Ray raise Ctrl-C in the workers: once each, for a second one would not even let a step end."""
        for reference in self._unfinished():
            if reference not in self._asked:
                self._asked.add(reference)
                self._ray.cancel(reference, force=False)

    def explain(self, error: BaseException) -> str:
        """Why Ray gave a point up."""
        kind = type(error).__name__
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        return f"Ray gave it up after {RETRIES} retries: {kind}: {said}"

    def _knock(self) -> None:
        """See whether anything listens at an address: Ray itself would try for minutes, and end the process."""
        host, colon, port = (self._address or "").rpartition(":")
        if colon and port.isdigit() and "/" not in host:
            socket.create_connection((host, int(port)), timeout=5).close()

    def _fresh(self) -> dict[str, Any]:
        """Options of a cluster that starts here; one that is there already has its own."""
        return {} if self._address else {"include_dashboard": False}

    def _unfinished(self) -> list[Any]:
        self._running = {future: reference for future, reference in self._running.items() if not future.done()}
        return list(self._running.values())
