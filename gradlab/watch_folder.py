"""The run folder of a watched training: taken when the watch begins, or gone on with, written to, and ended.

Nothing here ends a training. What cannot be written is kept, said once, and written when that is possible again.
"""

import hashlib
import uuid
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import nn

from gradlab import interrupts, run_folder
from gradlab.errors import RunBusyError, RunFolderError
from gradlab.recording.recorder import Recorder
from gradlab.recording.step_record import StepRecord
from gradlab.recording.structure import is_lazy
from gradlab.recording.torch_private import bare_name
from gradlab.recording.torch_private_sharding import is_flattened
from gradlab.results import conclude
from gradlab.run_folder.writing import FLUSH_ROWS, FLUSH_SECONDS
from gradlab.tables import Source, other_schema
from gradlab.text import first_of, printable
from gradlab.watch_records import RecordsInMemory, Timed, rows_of

_OTHER = "Name another folder, or remove it."
_FAULTS = (RunFolderError, RunBusyError)


class WatchFolder:
    """A run folder that this process has taken: a new one, or one whose training was interrupted, failed or killed.

    Args:
        path: the folder.
        about: what is watched.
        model: the model.
        environment: where it is trained.

    Attributes:
        writer: writes it.
        first: number of the first step.
        said: what `summary.json` says besides how the training stands: in `resumed` the steps at which a process went
            on with it, in `problems` what could not be written in time.
        earlier: how far earlier processes came.
        seconds: what they took.

    Raises:
        RunFolderError: the folder holds a finished run, or that of another model, or it cannot be written.
        RunBusyError: another process is writing it.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], model: nn.Module, environment: Mapping[str, Any]) -> None:
        with ExitStack() as stack:
            label = run_folder.Label(uuid.uuid4().hex[:12], path.name, {"watch": about})
            self.writer = stack.enter_context(run_folder.lock_folder(path, label))
            self.earlier = run_folder.progress(path)
            self.first = 0 if self.earlier.last is None else self.earlier.last + 1
            self.said: dict[str, Any] = {"layout": _layout(model), "resumed": [], "problems": []}
            self.seconds = 0.0
            if run_folder.is_run(path) or self.earlier.last is not None:
                self._go_on(model, environment)
            else:
                self.writer.start(environment, self.said)
            self._locked = stack.pop_all()

    def _go_on(self, model: nn.Module, environment: Mapping[str, Any]) -> None:
        before = self._summary()
        self._require_unfinished(before)
        self._require_same_model(before, model)
        label = self.writer.label
        self.writer.label = run_folder.Label(str(before.get("id", label.id)), label.name, label.config)
        for name, type_ in (("resumed", int), ("problems", str)):
            listed = before.get(name)
            self.said[name] = [item for item in listed if isinstance(item, type_)] if isinstance(listed, list) else []
        self.said["resumed"].append(self.first)
        seconds = before.get("seconds")
        self.seconds = float(seconds) if isinstance(seconds, int | float) else self.earlier.step_seconds
        self.writer.go_on(environment, self.said)

    def _summary(self) -> Mapping[str, Any]:
        """The summary; nothing where it cannot be read: its damage must not keep a training from going on."""
        try:
            return self.writer.previous or {}
        except RunFolderError as error:
            warnings.warn(printable(f"gradlab goes on with {self.writer.path}, although {error.message}"), stacklevel=6)
            return {}

    def _require_unfinished(self, before: Mapping[str, Any]) -> None:
        path, config = self.writer.path, before.get("config")
        if before.get("status") in run_folder.FINISHED:
            raise RunFolderError(f"{path} holds a finished run ({before['status']})", fix=_OTHER)
        if isinstance(config, Mapping) and "watch" not in config:
            raise RunFolderError(f"{path} holds a run of a config, and no watched training", fix=_OTHER)
        if other_schema(before) is not None:
            raise RunFolderError(f"{path} holds a run of another version", fix=_OTHER)

    def _require_same_model(self, before: Mapping[str, Any], model: nn.Module) -> None:
        have = {_bare(name) for name, _ in model.named_modules()}
        missing = sorted(name for name in self.earlier.modules if _bare(name.partition(":")[0]) not in have)
        if missing:
            what = f"it has rows of {first_of(missing)}, which this model does not have"
        elif None not in (before.get("layout"), self.said["layout"]) and before["layout"] != self.said["layout"]:
            what = "its parameters have other names or shapes than those of this model"
        else:
            return
        raise RunFolderError(f"{self.writer.path} holds the training of another model: {what}", fix=_OTHER)

    def say(self) -> None:
        """Write how the training stands, if that is possible."""
        with suppress(*_FAULTS):
            self.writer.write_summary({"status": "running", **self.said})

    def end(self, summary: Mapping[str, Any], *, plots: bool) -> None:
        """Write how the training ended, diagnose it, draw its pictures, and give the folder back.

        Raises:
            RunFolderError: that cannot be written.
        """
        with self._locked:
            self.writer.write_summary({**self.said, **summary})
            run = conclude(self.writer)
            if plots:
                run.save_plots()

    def give_back(self) -> None:
        """Give the folder back as it is."""
        self._locked.close()


def _bare(name: str) -> str:
    """The name of a module without what wrappers put in front of it."""
    return bare_name(name).removeprefix("module.")


def _layout(model: nn.Module) -> str | None:
    """What tells models apart: names and shapes of the parameters, as 12 hex digits; None where some are unknown."""
    parameters = dict(model.named_parameters())
    if any(is_lazy(parameter) or is_flattened(parameter) for parameter in parameters.values()):
        return None
    told = sorted((_bare(name), *parameter.shape) for name, parameter in parameters.items())
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


class RecordsInFolder:
    """Keeps records for up to five seconds and writes them into a run folder.

    At most the records of so many seconds are lost when the process is killed: whether the next record can still wait
    for the one after it is told from how long the last one took. As long as the folder cannot be written, all records
    stay in memory, and of a long time fewer and fewer (`RecordsInMemory`).

    Args:
        folder: where to write.
        recorder: tells the rows of the table `modules`, and what the graphs of some steps say.
        strict: raise what cannot be written, instead of warning.

    Attributes:
        last: the last record.
        step_seconds: what the steps took that were written.
        record_seconds: what recording them took.
    """

    def __init__(self, folder: WatchFolder, recorder: Recorder, *, strict: bool) -> None:
        self.folder = folder
        self._recorder = recorder
        self._written: Sequence[Mapping[str, Any]] = ()
        self._strict = strict
        self._waiting = RecordsInMemory()
        self._oldest = 0.0
        self._trouble: tuple[int, str] | None = None
        self._ended = False
        self.last: StepRecord | None = None
        self.step_seconds = folder.earlier.step_seconds
        self.record_seconds = folder.earlier.record_seconds

    @property
    def first(self) -> int:
        """The number of the first step."""
        return self.folder.first

    def add(self, record: StepRecord, seconds: float, rows: int, since: float | None = None) -> None:
        """Keep a record, which was there at the time `since`; write those that wait when it is time."""
        self.last = record
        if self._waiting.last is None:
            self._oldest = perf_counter() if since is None else since
        self._waiting.add(record, seconds, rows)
        self.write_if_due(seconds)

    def write_if_due(self, seconds: float) -> None:
        """Write the records that wait, if they are many, or too old to wait for so many seconds more."""
        full = self._waiting.rows >= FLUSH_ROWS and self._trouble is None
        old = self._waiting.last is not None and perf_counter() + seconds - self._oldest >= FLUSH_SECONDS
        if full or old:
            self.write()

    def log(self, row: Mapping[str, Any]) -> None:
        """Keep a row of the table `evaluations` until the next records are written."""
        self._waiting.log(row)

    def write(self) -> bool:
        """Write the records that wait; where that fails they go on waiting. Says whether it worked."""
        with interrupts.held_back():
            records = self._readable()
            try:
                self.folder.writer.write_rows({**rows_of(records), "evaluations": self._waiting.logged})
            except _FAULTS as error:
                failure = error
            else:
                self.step_seconds += sum(seconds for _, seconds in records)
                self.record_seconds += sum(record.record_seconds for record, _ in records)
                if self._trouble is not None:
                    self._recovered(*self._trouble)
                self._waiting = RecordsInMemory()
                self._write_modules()
                return True
            self._oldest = perf_counter()
            if self._trouble is None:
                self._failed(records, failure)
            return False

    def _write_modules(self) -> None:
        """Write the graph of the modules where it has changed; what fails is tried again with the next records."""
        rows = self._recorder.module_rows()
        if rows != self._written:
            with suppress(*_FAULTS):
                self.folder.writer.write_modules(rows)
                self._written = rows
                self.folder.said["graph"] = self._recorder.graph
                self.folder.say()

    def _readable(self) -> Sequence[Timed]:
        """The records that wait, without those that cannot be read from their device."""
        readable = []
        for record, seconds in self._waiting.records:
            try:
                assert record.rows
            except Exception as error:
                self._waiting.remove(record)
                self._tell(f"gradlab could not record step {record.step}: {type(error).__name__}: {error}")
            else:
                readable.append((record, seconds))
        return readable

    def _failed(self, records: Sequence[Timed], error: RunFolderError | RunBusyError) -> None:
        first = records[0][0].step if records else 0
        self._trouble = first, error.message
        self.folder.said["problems"].append(f"nothing could be written from step {first} on: {error.message}")
        self.folder.say()
        self._tell(
            f"{error.message}. gradlab keeps what it records in memory, the training goes on, and what is kept will be "
            "written when that is possible again."
        )

    def _recovered(self, first: int, why: str) -> None:
        assert self.last is not None
        kept = "" if self._waiting.stride == 1 else f"; of their records, one of {self._waiting.stride} was kept"
        self.folder.said["problems"][-1] = f"steps {first} to {self.last.step} were written late{kept}: {why}"
        self._trouble = None
        self.folder.say()

    def _tell(self, message: str) -> None:
        if self._strict:
            raise RunFolderError(message)
        warnings.warn(printable(message), RuntimeWarning, stacklevel=4)

    def source(self) -> Source:
        """All records: those in the folder, and those that wait."""
        if not self._ended:
            self.write()
        writer = self.folder.writer
        before = None if self.last is None else self.last.step + 1
        written = run_folder.FolderSource(writer.path, writer.summary(self.folder.said), before)
        return _Both(written, self._waiting.source()) if self._waiting.records or self._waiting.logged else written

    def end(self, summary: Mapping[str, Any], begun: float, *, plots: bool) -> None:
        """Write what waits, and end the run folder."""
        with interrupts.held_back():
            self.write()
            self._ended = True
            totals = {
                "step_seconds": self.step_seconds,
                "record_seconds": self.record_seconds,
                "seconds": self.folder.seconds + perf_counter() - begun,
            }
            try:
                self.folder.end({**summary, **totals}, plots=plots)
            except Exception as error:  # whatever it is, the training has ended well
                reason = error.message if isinstance(error, RunFolderError) else f"{type(error).__name__}: {error}"
                self._tell(f"gradlab could not finish {self.folder.writer.path}: {reason}")

    def in_memory(self) -> RecordsInMemory:
        """The records that wait, for a process to which the folder does not belong."""
        return self._waiting


class _Both(Source):
    """The rows of one source, and after them those of another."""

    def __init__(self, first: Source, second: Source) -> None:
        self._first = first
        self._second = second

    def table(self, name: str) -> Any:
        return self._first.table(name).vstack(self._second.table(name))

    def problems(self) -> Sequence[str]:
        return self._first.problems()
