"""Rows ─► run folder: who may write it, and how."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gradlab import marker
from gradlab.config import SCHEMA, Config
from gradlab.config.files import dump_config
from gradlab.errors import RunBusyError, RunFolderError
from gradlab.limits import denied
from gradlab.locking import FileLock
from gradlab.run_folder.finding import is_run
from gradlab.run_folder.names import CONFIG, ENVIRONMENT, GROWING, LOCK, MODULES, SUMMARY, THEORY
from gradlab.run_folder.parts import PartWriter, parquet, write_together
from gradlab.run_folder.reading import read_summary
from gradlab.statistics import StepRows
from gradlab.tables import layers_frame, rows_frame
from gradlab.text import strict_json
from gradlab.writing import write_file

FLUSH_SECONDS = 5.0
FLUSH_ROWS = 50_000


@contextmanager
def lock_run(runs: Path, config: Config) -> Iterator["RunWriter"]:
    """Lock a config's run folder for this process alone; nothing in it is changed until `RunWriter.start`.

    Raises:
        RunBusyError: another process is writing this run.
        RunFolderError: the folder cannot be written.
    """
    label = Label(config.id, config.name, config.model_dump(mode="json"), dump_config(config))
    with lock_folder(run_path(runs, config), label) as writer:
        yield writer


@contextmanager
def lock_folder(path: Path, label: "Label") -> Iterator["RunWriter"]:
    """Lock a folder for this process alone; nothing in it is changed until `RunWriter.start`.

    Raises:
        RunBusyError: another process is writing this run.
        RunFolderError: the folder cannot be written, or it is somebody's own.
    """
    made = [parent for parent in (path, *path.parents) if not parent.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not marker.is_ours(path) and any(file.name != LOCK for file in path.iterdir()):
            what = "holds a run of another version" if is_run(path) else "is not empty, and no run"
            raise RunFolderError(
                f"{path} {what}", fix="gradlab replaces only its own files. Name a new folder, or an empty one."
            )
        writer = RunWriter(path, label)
    except OSError as error:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise cannot_write(path, error) from error
    try:
        yield writer
    finally:
        writer.release()


def run_path(runs: Path, config: Config) -> Path:
    """The folder of a config: the one that already holds its id, else `<name>-<id>`."""
    own = runs / config.folder
    if not is_run(own) and runs.is_dir():
        return next((path for path in sorted(runs.glob(f"*-{config.id}")) if is_run(path)), own)
    return own


@dataclass(frozen=True)
class Label:
    """What a run says it is.

    Attributes:
        id: of the run.
        name: of the run.
        config: the resolved config, as JSON; of a watched model, `{"watch": {…}}`.
        text: the same as YAML; by default made from it.
    """

    id: str
    name: str
    config: Mapping[str, Any]
    text: str = ""


class RunWriter:
    """Writes one run folder, whose lock it holds; made by `lock_folder`.

    Rows that are appended are kept in memory and written as a new part of each table, at the latest `FLUSH_SECONDS`
    after the first of them came or when there are `FLUSH_ROWS`.

    Raises:
        RunBusyError: another process holds the lock.
        OSError: the lock cannot be made.
    """

    def __init__(self, path: Path, label: Label) -> None:
        self.path = path
        self.label = label
        self._lock = _lock(path)
        self._parts: dict[str, PartWriter] = {}
        self._rows: dict[str, list[Any]] = {table: [] for table in GROWING}
        self._waiting = 0
        self._oldest = 0.0

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    @property
    def previous(self) -> dict[str, Any] | None:
        """The summary of an earlier attempt at this config, if there was one."""
        return read_summary(self.path) if is_run(self.path) else None

    def start(self, environment: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
        """Clear what an earlier attempt left and write what is known before the first step."""
        with self._disk():
            marker.clear(self.path, GROWING)
            files = [CONFIG, ENVIRONMENT, SUMMARY, THEORY, MODULES]
            marker.start(self.path, self.label.id, files)
            text = self.label.text or yaml.safe_dump(dict(self.label.config), sort_keys=False)
            write_file(self.path / CONFIG, text)
        self.go_on(environment, about)

    def go_on(self, environment: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
        """Say that the run is running, and where; rows are added to those that are there."""
        with self._disk():
            write_file(self.path / ENVIRONMENT, _json(environment))
        self.write_summary({"status": "running", **(about or {})})

    def append(self, table: str, row: Mapping[str, Any] | StepRows) -> None:
        """Add a row (`layers`: the rows of one step) to a table; flushes when it is time."""
        if not self._waiting:
            self._oldest = time.monotonic()
        self._rows[table].append(row)
        self._waiting += len(row.layer) if isinstance(row, StepRows) else 1
        if self._waiting >= FLUSH_ROWS or time.monotonic() - self._oldest >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait in memory."""
        self.write_rows(self._rows)
        for rows in self._rows.values():
            rows.clear()
        self._waiting = 0

    def write_rows(self, rows: Mapping[str, Sequence[Any]]) -> None:
        """Write rows as a new part of each table: all of them or, where that fails, none.

        Args:
            rows: of some tables, by name; of `layers`, the rows of a step are one `StepRows`.

        Raises:
            RunFolderError: they cannot be written.
        """
        with self._disk():
            if not self._lock.guards(self.path / LOCK):  # somebody has removed it, or moved the folder
                self._lock = _lock(self.path)
            write_together(
                {
                    self._parts_of(table): layers_frame(new) if table == "layers" else rows_frame(table, new)
                    for table, new in rows.items()
                    if new
                }
            )

    def _parts_of(self, table: str) -> PartWriter:
        if table not in self._parts:
            self._parts[table] = PartWriter(self.path / table)
        return self._parts[table]

    def write_theory(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the prediction, one mapping a hidden layer."""
        with self._disk():
            write_file(self.path / THEORY, parquet(rows_frame("theory", rows)))

    def write_modules(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the graph of a step, one mapping a module, in the place of what was known before."""
        with self._disk():
            write_file(self.path / MODULES, parquet(rows_frame("modules", rows)))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace the summary; what the run is is added here. Numbers that are not finite become null."""
        with self._disk():
            write_file(self.path / SUMMARY, _json(self.summary(summary)))

    def summary(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """What `summary.json` says: `about` the run, between what it is."""
        return {"schema": SCHEMA, "id": self.label.id, "name": self.label.name, **about, "config": self.label.config}

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self.path, error) from error


def _lock(path: Path) -> FileLock:
    try:
        return FileLock(path / LOCK)
    except BlockingIOError:
        raise RunBusyError(
            f"another process is writing {path}", fix="Wait for it, or change the config: every config has its own run."
        ) from None


def cannot_write(path: Path, error: OSError, option: str = "--runs") -> RunFolderError:
    """What to tell the user of a failed write; `option` names the directory."""
    if reason := denied(error):
        return RunFolderError(f"cannot write {path}: {reason}")
    return RunFolderError(
        f"cannot write {error.filename or path}: {error.strerror or error}",
        fix=f"Free some space or choose another directory with {option}.",
    )


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(strict_json(data), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
