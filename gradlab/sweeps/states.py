"""The state of a point, as its run folder has it; and how a state is written for a run that could not do it itself.

pending ─► running ─► completed | diverged      results, never run again
                   ├► interrupted               run again
                   └► failed                    kept, with the traceback, until a retry is asked for
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradlab import run_folder
from gradlab.config import Config
from gradlab.errors import RunBusyError, RunFolderError

SETTLED = (*run_folder.FINISHED, "failed")
"""States in which a sweep does not run a point again."""


@dataclass(frozen=True)
class PointState:
    """The state of a point.

    Attributes:
        status: one of the states above; `running` means in another process.
        path: the run folder, whether it exists or not.
        verdict: the worst finding, `healthy`, or empty where the run has no verdict.
        reason: why the run failed, in a line.
    """

    status: str
    path: Path
    verdict: str = ""
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether a sweep does not run the point again."""
        return self.status in SETTLED


def look_up(runs: Path, config: Config) -> PointState:
    """The state of a config's run. A run that says `running` but is written by no process was interrupted."""
    path = run_folder.run_path(runs, config)
    try:
        summary = run_folder.read_summary(path)
    except RunFolderError:
        return PointState("pending", path)
    status = summary.get("status", "interrupted")
    if status == "running" and not run_folder.is_busy(path):
        status = "interrupted"
    return PointState(status, path, summary.get("verdict", ""), run_folder.failure(summary))


def record_failure(runs: Path, config: Config, traceback: str) -> PointState:
    """Write that a run has failed, unless it is finished, or another process is writing it by now.

    Args:
        runs: the folder of run folders.
        config: the config of the run.
        traceback: what the run raised, or why its process died.
    """
    path = run_folder.run_path(runs, config)
    try:
        with run_folder.lock_run(runs, config) as writer:
            previous = writer.previous
            if previous is None:
                writer.start({})
            _replace(writer, previous or {}, "failed", {"traceback": traceback})
    except RunBusyError:
        return PointState("running", path)
    except RunFolderError:  # such as a full disk; the report of the sweep still names the failure
        pass
    return PointState("failed", path, reason=run_folder.failure({"traceback": traceback}))


def record_interruption(runs: Path, config: Config) -> PointState:
    """Write that a run was interrupted: it was killed before it could write so, or it failed and is to be run again."""
    with suppress(RunFolderError, RunBusyError):
        if run_folder.is_run(run_folder.run_path(runs, config)):
            with run_folder.lock_run(runs, config) as writer:
                _replace(writer, writer.previous or {}, "interrupted", {})
    return look_up(runs, config)


def _replace(writer: run_folder.RunWriter, previous: Mapping[str, Any], status: str, more: Mapping[str, Any]) -> None:
    if previous.get("status") not in run_folder.FINISHED:
        writer.write_summary({**previous, **more, "status": status})
