"""The run folder: the only file that knows file names.

    runs/<name>-<id>/
      config.yaml  environment.json  summary.json  theory.parquet
      layers/000000.parquet …        a directory of part files for each table that grows
      plots/
      export/                        the run in other programs' formats
      .gradlab                       the marker of a folder that gradlab has made (`marker.py`)
      .lock                          held by the process that writes the run

It writes into a new or empty folder, or into one with the marker, and replaces only what the marker lists. A folder of
another version (`gradlab.config.SCHEMA`) is read as far as it goes. Torch-free.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import filelock
import polars as pl
import yaml

from gradlab import marker
from gradlab.config import SCHEMA, Config
from gradlab.config.files import dump_config, load_config
from gradlab.errors import ConfigError, RunBusyError, RunFolderError
from gradlab.statistics import StepRows
from gradlab.tables import (
    SCHEMAS,
    UNKNOWN,
    Finding,
    Source,
    Tables,
    empty_table,
    layers_frame,
    other_schema,
    rows_frame,
    with_all_columns,
)
from gradlab.text import strict_json
from gradlab.writing import make_folder, write_file

GROWING = ("layers", "steps", "evaluations", "histograms")
"""Tables that are directories of parts."""
FINISHED = ("completed", "diverged")
"""States of a run that is not run again."""
FLUSH_SECONDS = 5.0
FLUSH_ROWS = 50_000

_CONFIG, _ENVIRONMENT, _SUMMARY, _THEORY, _PLOTS, _EXPORT, _LOCK = (
    "config.yaml",
    "environment.json",
    "summary.json",
    "theory.parquet",
    "plots",
    "export",
    ".lock",
)


# ------------------------------------------------------------------------------------------------------------ reading


def is_run(path: Path) -> bool:
    """Whether a directory holds a run."""
    return (path / _SUMMARY).is_file()


def find_runs(root: Path) -> Iterator[Path]:
    """Every run folder at or below a directory, in the order of their names."""
    for directory, folders, files in os.walk(root):
        folders.sort()
        if _SUMMARY in files:
            folders.clear()
            yield Path(directory)


def read_summary(path: Path) -> dict[str, Any]:
    """The summary of a run.

    Raises:
        RunFolderError: there is no run at `path`, or its summary is damaged.
    """
    try:
        summary = json.loads((path / _SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _no_run(path) from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path / _SUMMARY} cannot be read: {error}") from error
    if not isinstance(summary, dict):
        raise RunFolderError(f"{path / _SUMMARY} is not a run's summary")
    return summary


class FolderSource(Source):
    """The parts of a run folder as it stands now: parts of tables that are written later are not read.

    Args:
        path: the run folder.
        summary: its summary.
    """

    def __init__(self, path: Path, summary: Mapping[str, Any]) -> None:
        self._path = path
        self._summary = summary
        self._files = {table: _files(path, table) for table in SCHEMAS}

    def table(self, name: str) -> pl.DataFrame:
        """A table as far as it had been flushed; empty, with its columns, where there is none."""
        files = self._files[name]
        if not files:
            return empty_table(name)
        return with_all_columns(name, pl.read_parquet(files, glob=False))

    def config(self) -> Config | None:
        """The resolved config; None of a model that was only watched, or of a config that this version cannot read."""
        watched = "watch" in self._summary.get("config", ())
        try:
            return None if watched else load_config(self._path / _CONFIG)
        except ConfigError:
            if other_schema(self._summary) is None:
                raise
            return None

    def findings(self, tables: Tables) -> Sequence[Finding]:
        """What was found when the run ended."""
        return [Finding.from_json(finding) for finding in self._summary.get("findings", ())]

    def verdict(self, tables: Tables) -> str:
        """The verdict of then; `unknown` where the run has not ended."""
        return str(self._summary.get("verdict", UNKNOWN))

    def not_judged(self, tables: Tables) -> Mapping[str, str]:
        """The rules that could not judge the run when it ended, and why."""
        return dict(self._summary.get("not_judged", {}))


def read_tables(path: Path) -> Tables:
    """The snapshot of a run, finished or not.

    Raises:
        RunFolderError: there is no run at `path`, or its summary is damaged.
    """
    summary = read_summary(path)
    about = {"name": str(summary.get("name", path.name)), "status": str(summary["status"])}
    return Tables(FolderSource(path, summary), path=path, summary=summary, **about)


def read_environment(path: Path) -> dict[str, Any]:
    """Versions, device and threads of a run; empty where the run died before it wrote them."""
    file = path / _ENVIRONMENT
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _files(path: Path, table: str) -> list[Path]:
    """The files of a table, in the order in which they were written; those of somebody else are passed over."""
    if table not in GROWING:
        return [path / _THEORY] if (path / _THEORY).is_file() else []
    folder = path / table
    parts = sorted(folder.glob("*.parquet")) if not folder.is_symlink() else []
    return [part for part in parts if marker.PART.fullmatch(part.name) and part.is_file()]


def is_busy(path: Path) -> bool:
    """Whether another process is writing a run right now."""
    if not (path / _LOCK).is_file():
        return False
    try:
        with filelock.FileLock(path / _LOCK, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # a folder that we may read and not write; nobody can say
        return False


def failure(summary: Mapping[str, Any]) -> str:
    """What a failed run raised, in a line: the one after the last frame of its traceback. Empty for other runs."""
    lines = str(summary.get("traceback", "")).strip().splitlines()
    after = max((number for number, line in enumerate(lines) if line.startswith("  ")), default=-1) + 1
    return lines[min(after, len(lines) - 1)] if lines else ""


def plots_folder(path: Path) -> Path:
    """Where the pictures of a run belong."""
    return path / _PLOTS


def claim_picture(runs: Path, sweep: str) -> Path:
    """Where the picture of a sweep's claim is."""
    return runs / f"{sweep}.png"


def export_folder(path: Path) -> Path:
    """Where a run in other programs' formats belongs."""
    return path / _EXPORT


def started(path: Path) -> float:
    """When a run began, in seconds since 1970: its config is written then and never again. Now, where it has none."""
    file = path / _CONFIG
    return file.stat().st_mtime if file.is_file() else time.time()


def _no_run(path: Path) -> RunFolderError:
    if not path.exists():
        near = sorted(str(run) for run in find_runs(path.parent))[:5] if path.parent.is_dir() else []
        fix = f"Runs there are: {', '.join(near)}" if near else "gradlab run writes run folders below runs/."
        return RunFolderError(f"there is no run at {path}", fix=fix)
    return RunFolderError(f"{path} is not a run folder: it has no {_SUMMARY}")


# ------------------------------------------------------------------------------------------------------------ writing


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
        if not marker.is_ours(path) and any(file.name != _LOCK for file in path.iterdir()):
            what = "holds a run of another version" if is_run(path) else "is not empty, and no run"
            raise RunFolderError(
                f"{path} {what}", fix="gradlab replaces only its own files. Name a new folder, or an empty one."
            )
        lock = filelock.FileLock(path / _LOCK)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunBusyError(
            f"another process is writing {path}", fix="Wait for it, or change the config: every config has its own run."
        ) from None
    except OSError as error:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise cannot_write(path, error) from error
    try:
        yield RunWriter(path, label)
    finally:
        lock.release()


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
    """Writes one run folder; made by `lock_folder`, which holds its lock.

    Rows are kept in memory and flushed as a new part of each table, at the latest `FLUSH_SECONDS` after the first of
    them came or when there are `FLUSH_ROWS`.
    """

    def __init__(self, path: Path, label: Label) -> None:
        self.path = path
        self.label = label
        self._rows: dict[str, list[Any]] = {table: [] for table in GROWING}
        self._parts = dict.fromkeys(GROWING, 0)
        self._waiting = 0
        self._oldest = 0.0

    @property
    def previous(self) -> dict[str, Any] | None:
        """The summary of an earlier attempt at this config, if there was one."""
        return read_summary(self.path) if is_run(self.path) else None

    def start(self, environment: Mapping[str, Any]) -> None:
        """Clear what an earlier attempt left and write what is known before the first step."""
        with self._disk():
            marker.clear(self.path, GROWING)
            files = [_CONFIG, _ENVIRONMENT, _SUMMARY, _THEORY]
            marker.start(self.path, self.label.id, files)
            text = self.label.text or yaml.safe_dump(dict(self.label.config), sort_keys=False)
            write_file(self.path / _CONFIG, text)
            write_file(self.path / _ENVIRONMENT, _json(environment))
        self.write_summary({"status": "running"})

    def append(self, table: str, row: Mapping[str, Any] | StepRows) -> None:
        """Add a row (`layers`: the rows of one step) to a table; flushes when it is time."""
        if not self._waiting:
            self._oldest = time.monotonic()
        self._rows[table].append(row)
        self._waiting += len(row.layer) if isinstance(row, StepRows) else 1
        if self._waiting >= FLUSH_ROWS or time.monotonic() - self._oldest >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits in memory as a new part of each table."""
        with self._disk():
            for table, rows in self._rows.items():
                if rows:
                    frame = layers_frame(rows) if table == "layers" else rows_frame(table, rows)
                    make_folder(self.path / table)
                    write_file(self.path / table / f"{self._parts[table]:06d}.parquet", _parquet(frame))
                    self._parts[table] += 1
                    rows.clear()
        self._waiting = 0

    def write_theory(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the prediction, one mapping a hidden layer."""
        with self._disk():
            write_file(self.path / _THEORY, _parquet(rows_frame("theory", rows)))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace the summary; what the run is is added here. Numbers that are not finite become null."""
        with self._disk():
            write_file(self.path / _SUMMARY, _json(self.summary(summary)))

    def summary(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """What `summary.json` says: `about` the run, between what it is."""
        return {"schema": SCHEMA, "id": self.label.id, "name": self.label.name, **about, "config": self.label.config}

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise cannot_write(self.path, error) from error


def cannot_write(path: Path, error: OSError, option: str = "--runs") -> RunFolderError:
    """What to tell the user of a failed write; `option` names the directory."""
    return RunFolderError(
        f"cannot write {error.filename or path}: {error.strerror or error}",
        fix=f"Free some space or choose another directory with {option}.",
    )


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(strict_json(data), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)  # in memory first: on a full disk polars raises errors that do not say so
    return buffer.getvalue()
