"""Run folder ─► snapshot: what is there, also of a run that is going on, cut off, damaged or somebody else's."""

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from gradlab.config import Config
from gradlab.config.files import load_config, recorded_config
from gradlab.errors import ConfigError, RunFolderError
from gradlab.locking import is_locked
from gradlab.parquet_pages import scan
from gradlab.reading import read_json, without_panics
from gradlab.run_folder.finding import no_run
from gradlab.run_folder.names import CONFIG, ENVIRONMENT, GROWING, LOCK, SUMMARY, WHOLE
from gradlab.run_folder.parts import FAULTS, Part, parts, read_parts
from gradlab.run_folder.summary import examine_summary, finding_of
from gradlab.run_folder.thinning import THINNED, chosen_steps, stride_of
from gradlab.tables import SCHEMAS, UNKNOWN, Finding, Source, Tables, other_schema


def read_summary(path: Path) -> dict[str, Any]:
    """The summary of a run, as far as it has the right form.

    Raises:
        RunFolderError: there is no run at `path`, or its summary is damaged.
    """
    return examined_summary(path)[0]


def examined_summary(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The summary of a run, as far as it has the right form; and a line for each thing that has not.

    Raises:
        RunFolderError: there is no run at `path`, or its summary is damaged.
    """
    try:
        return examine_summary(path)
    except FileNotFoundError:
        raise no_run(path) from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path / SUMMARY} cannot be read: {error}") from error


class FolderSource(Source):
    """The parts of a run folder as it stands now.

    Args:
        path: the run folder.
        summary: its summary.
        before: leave out the steps from this number on. Otherwise, of a run that goes on, a table that is read after
            its parts were merged may have rows that were written later than those of another table.
        problems: what could not be read of the summary.
        thinned: read only some steps of a very long run.
    """

    def __init__(
        self,
        path: Path,
        summary: Mapping[str, Any],
        before: int | None = None,
        problems: Sequence[str] = (),
        *,
        thinned: bool = False,
    ) -> None:
        self._path = path
        self._summary = summary
        self._before = before
        self._parts = {table: _parts(path, table) for table in SCHEMAS}
        with without_panics():
            self._strides = {table: stride_of(self._parts[table]) if thinned else 1 for table in THINNED}
        self._unreadable: dict[str, list[str]] = {SUMMARY: list(problems)}

    def table(self, name: str) -> pl.DataFrame:
        """A table as far as it had been written and can be read; empty, with its columns, where there is none."""
        frame, self._unreadable[name] = self._read(name)
        if self._before is None or "step" not in frame.columns:
            return frame
        last = self._before if name == "evaluations" else self._before - 1  # an evaluation counts the steps done
        return frame.filter(pl.col("step") <= last)

    def _read(self, name: str) -> tuple[pl.DataFrame, list[str]]:
        """Read a table, again where its parts are merged meanwhile; parts that came later are left out."""
        found = self._parts[name]
        for _ in range(10):
            try:
                return read_parts(name, found, self._chosen(name, found))
            except FileNotFoundError:
                last = max(part.last for part in self._parts[name])
                found = [part for part in _parts(self._path, name) if part.first <= last]
        return read_parts(name, [part for part in found if part.file.exists()])

    def _chosen(self, name: str, found: Sequence[Part]) -> pl.Series | None:
        """The steps of a table that are read; None where all of them are."""
        stride = self._strides.get(name, 1)
        if stride == 1:
            return None
        with without_panics():
            return chosen_steps(name, found, stride)

    def said(self) -> Mapping[str, int]:
        """What a summary says of it if only some steps are read: `thinned`, one recorded step of so many."""
        stride = self._strides["layers"]
        return {} if stride == 1 else {"thinned": stride}

    def problems(self) -> Sequence[str]:
        """What could not be written in time, as the summary says, and what of the folder cannot be read so far."""
        unreadable = (problem for problems in self._unreadable.values() for problem in problems)
        return [*self._summary.get("problems", ()), *unreadable]

    def config(self) -> Config | None:
        """The resolved config; None of a model that was only watched, or of a config that this version cannot read."""
        recorded = self._summary.get("config", {})
        if "watch" in recorded:
            return None
        try:
            return load_config(self._path / CONFIG)
        except ConfigError as error:
            if other_schema(self._summary) is None:
                self._unreadable[CONFIG] = [f"{CONFIG} cannot be read: {problem.message}" for problem in error.problems]
            return recorded_config(recorded)

    def findings(self, tables: Tables) -> Sequence[Finding]:
        """What was found when the run ended."""
        return list(map(finding_of, self._summary.get("findings", ())))

    def verdict(self, tables: Tables) -> str:
        """The verdict of then; `unknown` where the run has not ended."""
        return str(self._summary.get("verdict", UNKNOWN))

    def not_judged(self, tables: Tables) -> Mapping[str, str]:
        """The rules that could not judge the run when it ended, and why."""
        return dict(self._summary.get("not_judged", {}))


def read_tables(path: Path, *, thinned: bool = False) -> Tables:
    """The snapshot of a run, finished or not.

    Args:
        path: the run folder.
        thinned: read only some steps of a very long run; `run_folder.thinning` says which.

    Raises:
        RunFolderError: there is no run at `path`, or its summary is damaged.
    """
    summary, problems = examined_summary(path)
    about = {"name": summary.get("name", path.name), "status": summary.get("status", UNKNOWN)}
    source = FolderSource(path, summary, problems=problems, thinned=thinned)
    return Tables(source, path=path, summary={**summary, **source.said()}, **about)


def read_environment(path: Path) -> dict[str, Any]:
    """Versions, device and threads of a run; empty where the run died before it wrote them, or they cannot be read."""
    with suppress(OSError, ValueError):
        return read_json(path / ENVIRONMENT)
    return {}


def _parts(path: Path, table: str) -> list[Part]:
    """The files of a table, in the order in which they were written."""
    if table in GROWING:
        return parts(path / table)
    return [Part(0, 0, path / WHOLE[table])] if (path / WHOLE[table]).is_file() else []


class Progress(NamedTuple):
    """How far a run has come.

    Attributes:
        last: number of the last recorded step; None where there is none.
        modules: names in the last part of `layers`.
        step_seconds: what the recorded steps took.
        record_seconds: what recording them took.
    """

    last: int | None
    modules: Set[str]
    step_seconds: float
    record_seconds: float


def progress(path: Path) -> Progress:
    """How far a run has come, from as little of its parts as is needed; parts that cannot be read are passed over."""
    step = pl.col("step").max().cast(pl.Int64)
    layers, steps = (_parts(path, table) for table in ("layers", "steps"))
    lasts = [next(filter(_is_step, _answers(found, step)), None) for found in (layers, steps)]
    modules = next(_answers(layers, pl.col("module").unique().cast(pl.String).drop_nulls().implode()), None)
    seconds = [
        sum(_answers(steps, pl.col(column).cast(pl.Float64).sum())) for column in ("step_seconds", "record_seconds")
    ]
    return Progress(
        max((last for last in lasts if last is not None), default=None),
        frozenset(modules.to_list() if modules is not None else ()),
        *(value if isfinite(value) else 0.0 for value in seconds),
    )


def _is_step(number: int | None) -> bool:
    return number is not None and 0 <= number < 2**53


def _answers(found: Sequence[Part], question: pl.Expr) -> Iterator[Any]:
    """What each part answers to a question, the last part first."""
    for part in reversed(found):
        try:
            with without_panics():
                answer = scan(part.file).select(question).collect().item()
        except FAULTS:
            continue
        yield answer


def is_busy(path: Path) -> bool:
    """Whether another process is writing a run right now."""
    return is_locked(path / LOCK)


def failure(summary: Mapping[str, Any]) -> str:
    """What a failed run raised, in a line: the one after the last frame of its traceback. Empty for other runs."""
    lines = str(summary.get("traceback", "")).strip().splitlines()
    after = max((number for number, line in enumerate(lines) if line.startswith("  ")), default=-1) + 1
    return lines[min(after, len(lines) - 1)] if lines else ""


def started(path: Path) -> float:
    """When a run began, in seconds since 1970: its config is written then and never again. Now, where it has none."""
    file = path / CONFIG
    return file.stat().st_mtime if file.is_file() else time.time()
