"""The engine of a cluster: points are tasks of Ray, which finds cores and GPUs for them on any of its nodes.

Every node must see the folder of runs under the same path. If a node or worker is lost, Ray starts its point again
elsewhere. The point begins afresh, because the lost process no longer locks the run folder.
"""

import contextlib
import logging
import os
import socket
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from gradlab.errors import UserError
from gradlab.sweeps.engine import Task, run_point
from gradlab.sweeps.states import PointState

ANSWER_SECONDS = 10.0
"""How long a cluster may take to answer."""
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a client of HTTP/2 says first, which Ray speaks: the preface, and a frame of no settings (RFC 9113, 3.4)."""
RETRIES = 3
"""How often a point is started again if its node or worker is lost."""


class RayEngine:
    """Runs points on a Ray cluster; without an address, on a cluster of this machine alone.

    Args:
        workers: points at once; by default as many as the cluster has room for.
        address: the address of a running cluster; `auto` finds a cluster on this machine.
        cpus_per_run: cores and threads of a point.
        gpus_per_run: GPUs of a point; several points share a GPU where this is a fraction.

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
                self._check_address()
                # "local" and not None: with None, Ray would join any cluster that runs on this machine.
                address = self._address or "local"
                # A cluster that runs already has its own options.
                more: dict[str, Any] = {} if self._address else {"include_dashboard": False}
                self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **more)
                has = self._ray.cluster_resources()
            except Exception as error:  # Ray raises what it likes, also a plain Exception
                self.__exit__(None, None, None)
                what = f"there is no Ray cluster at {self._address}" if self._address else "Ray cannot be started here"
                raise UserError(f"{what}: {_first_line(error)}") from error
        else:
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

    def __exit__(self, *error: object) -> None:
        for reference in self._unfinished():
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        if self._begun:
            self._ray.shutdown()

    def submit(self, task: Task) -> "Future[PointState]":
        """Run a point wherever there is room."""
        task = replace(task, runs=task.runs.absolute())  # a worker may have another working directory
        reference = self._run.remote(task, max(1, int(self._cpus)))
        future: Future[PointState] = reference.future()
        self._running[future] = reference
        return future

    def interrupt(self) -> None:
        """Have Ray raise KeyboardInterrupt in the workers, once in each: a second one would not let the step end."""
        for reference in self._unfinished():
            if reference not in self._asked:
                self._asked.add(reference)
                self._ray.cancel(reference, force=False)

    def explain(self, error: BaseException) -> str:
        """Why Ray gave up a point."""
        return f"Ray gave it up after {RETRIES} retries: {type(error).__name__}: {_first_line(error)}"

    def _check_address(self) -> None:
        """Raise OSError if no Ray listens at the address. Ray itself would try for minutes, then end the process."""
        host, colon, port = (self._address or "").rpartition(":")
        if colon and port.isdigit() and "/" not in host:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS) as connection:
                if os.environ.get("RAY_USE_TLS", "0") in ("0", ""):
                    _require_settings(connection)

    def _unfinished(self) -> list[Any]:
        self._running = {future: reference for future, reference in self._running.items() if not future.done()}
        return list(self._running.values())


def _require_settings(connection: socket.socket) -> None:
    """Raise OSError unless who listens answers in HTTP/2, which it begins with a frame of settings."""
    try:
        connection.sendall(GREETING)
        answer = b""
        while len(answer) < 9 and (more := connection.recv(9 - len(answer))):
            answer += more
    except TimeoutError:
        raise OSError(f"what listens there does not answer within {ANSWER_SECONDS:g} seconds") from None
    if len(answer) < 9 or answer[3] != 4:
        raise OSError("what listens there is no Ray")


def _first_line(error: BaseException) -> str:
    """What an error says, in a line; its kind where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
