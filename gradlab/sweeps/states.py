"""What has become of a point, as its run folder says; and the words for those that could not write it themselves.

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
"""States in which a sweep leaves a run alone."""
STATES = ("completed", "diverged", "failed", "interrupted", "running", "pending")
"""Every state, in the order of a report."""


@dataclass(frozen=True)
class PointState:
    """What has become of a point.

    Attributes:
        status: one of `STATES`; `running` is in another process.
        path: its run folder, there or not.
        verdict: its worst finding, `healthy`, or empty where it has none.
        reason: why it failed, in a line.
    """

    status: str
    path: Path
    verdict: str = ""
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether a sweep leaves it alone."""
        return self.status in SETTLED


def look_up(runs: Path, config: Config) -> PointState:
    """The state of a config's run. One that is being written by nobody was interrupted, whatever it says itself."""
    path = run_folder.run_path(runs, config)
    try:
        summary = run_folder.read_summary(path)
    except RunFolderError:
        return PointState("pending", path)
    status = str(summary.get("status"))
    if status == "running" and not run_folder.is_busy(path):
        status = "interrupted"
    return PointState(status, path, str(summary.get("verdict", "")), run_folder.failure(summary))


def record_failure(runs: Path, config: Config, traceback: str) -> PointState:
    """Keep a run as failed, whose process died or raised; unless it is finished, or another process has it by now."""
    path = run_folder.run_path(runs, config)
    try:
        with run_folder.lock_run(runs, config) as writer:
            previous = writer.previous
            if previous is None:
                writer.start({})
            _replace(writer, previous or {}, "failed", {"traceback": traceback})
    except RunBusyError:
        return PointState("running", path)
    except RunFolderError:  # a full disk, say: there is still the report at the end of the sweep
        pass
    return PointState("failed", path, reason=run_folder.failure({"traceback": traceback}))


def record_interruption(runs: Path, config: Config) -> PointState:
    """Keep a run as interrupted that was stopped before it could say so, or a failed one that is to be run again."""
    with suppress(RunFolderError, RunBusyError):
        if run_folder.is_run(run_folder.run_path(runs, config)):
            with run_folder.lock_run(runs, config) as writer:
                _replace(writer, writer.previous or {}, "interrupted", {})
    return look_up(runs, config)


def _replace(writer: run_folder.RunWriter, previous: Mapping[str, Any], status: str, more: Mapping[str, Any]) -> None:
    if previous.get("status") not in run_folder.FINISHED:
        writer.write_summary({**previous, **more, "status": status})
