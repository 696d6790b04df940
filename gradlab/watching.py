"""`gradlab.watch`: the recorder, the diagnosis and the run folder around anybody's training loop.

with gradlab.watch(model, optimizer) as recorder:
    for x, y in batches:
        loss_fn(model(x), y).backward()
        optimizer.step()                      # a step is recorded here
        optimizer.zero_grad()
recorder.rows(), recorder.diagnose(), recorder.figure("gradient_flow")
"""

import os
import traceback
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.optim import Optimizer

from gradlab import interrupts
from gradlab.announcing import Announcer
from gradlab.environment import environment
from gradlab.errors import StopTraining, UserError
from gradlab.recording.close_look import CloseLook
from gradlab.recording.recorder import Recorder
from gradlab.recording.step_record import StepRecord
from gradlab.recording.structure import is_lazy
from gradlab.snapshot import HasTables
from gradlab.watch_records import RecordsInMemory, evaluation_row

if TYPE_CHECKING:  # a loop that is only watched needs neither polars nor matplotlib before somebody asks for rows
    import polars as pl
    from matplotlib.figure import Figure

    from gradlab.tables import Finding, Tables
    from gradlab.watch_ranks import Records

HISTOGRAMS = (0, *(10**power for power in range(1, 10)))
"""Records in which histograms are taken, by number: they cost more than all the rest."""


def watch(
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer],
    *,
    layers: str | Sequence[str] | None = None,
    every: int = 1,
    into: str | Path | None = None,
    on_finding: "Callable[[Finding], object] | None" = None,
    strict: bool = False,
) -> "Watch":
    """Record the training of any model, for as long as the context lasts.

    Training is bit-identical with and without, except where `torch.compile` is used: recorded steps run without it, and
    compiled code rounds differently (measured: after 300 steps, weights differ by 4e-7 of their norm). Nothing stays on
    the model afterwards, also when the context is never left. What cannot be recorded is null, and said once, as a
    `RuntimeWarning`.

    Args:
        model: the model. Its forward passes with gradients enabled are recorded; those without are evaluations.
        optimizer: what updates it. Of several, in the order in which they step, the last one ends a step.
        layers: which modules, by patterns of their qualified names as in a shell: `"encoder.*"`; all by default.
        every: steps between records; step 0 is recorded.
        into: a run folder to write to, for `gradlab show` and `gradlab compare`. If it holds a training of
            this model that was interrupted, failed or killed, the record goes on there, with the number after the last
            recorded step. Without it, rows stay in memory, and of a long training fewer and fewer: see
            `gradlab.watch_records`. The processes of one job (DDP, FSDP2) name the same folder, which rank 0 writes.
        on_finding: is called with each new finding, once, while training goes on and at its end. It may raise
            `gradlab.StopTraining`, which ends the `with` block cleanly. Without it, findings are looked for while
            training goes on only where the logger `gradlab` shows information, which gets a line for each of them.
        strict: whether an error of gradlab is raised, out of the training loop, instead of being a warning.

    Raises:
        UserError: no module is named like `layers`, or `every` is not positive.
        RunFolderError: `into` cannot be written, or holds a finished run or another model; raised on entering.
        RunBusyError: another process is writing `into`; raised on entering.
    """
    return Watch(model, optimizer, layers=layers, every=every, into=into, on_finding=on_finding, strict=strict)


class Watch(HasTables):
    """A training that is watched; made by `watch`. Also afterwards, it answers like a run of `gradlab.load_run`.

    It has the attributes of its snapshot (`gradlab.tables.Tables`): `name`, `path`, `config` (None), `status`,
    `summary`, `verdict`, `findings`, and the tables `layers`, `steps`, `histograms` and `modules`; `evaluations` has
    what was handed over to `log`, and `theory` is empty, because it needs a config.

    Args:
        model: see `watch`, like all that follow.
        optimizer: …
        layers: …
        every: …
        into: …
        on_finding: …
        strict: …

    Attributes:
        status: `running`, then how the training ended: `completed`, `diverged`, `interrupted` or `failed`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        *,
        layers: str | Sequence[str] | None,
        every: int,
        into: str | Path | None,
        on_finding: "Callable[[Finding], object] | None" = None,
        strict: bool = False,
    ) -> None:
        optimizers = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
        if not optimizers:
            raise UserError("watch needs an optimizer: its steps are the steps of the record")
        if every < 1:
            raise UserError(f"every={every}: steps between records are at least 1")
        self.status = "running"
        self._into = None if into is None else Path(into)
        self._model = model
        self._about = {
            "model": type(model).__name__,
            "parameters": sum(each.numel() for each in model.parameters() if not is_lazy(each)),
            "optimizer": ", ".join(type(each).__name__ for each in optimizers),
            "layers": layers if layers is None or isinstance(layers, str) else list(layers),
            "every": every,
        }
        self._strict = strict
        self._open = opened = _Open()
        self._recorder = opened.recorder = Recorder(
            model,
            optimizers,
            emit=partial(_receive, weakref.ref(self)),  # hooks on the model do not keep the watch
            records=lambda step: step % every == 0 or step == opened.first,
            histograms=lambda step: step % every == 0 and step // every in HISTOGRAMS,
            look=CloseLook(units=True),
            layers=layers,
            strict=strict,
        )
        self._snapshot: tuple[Any, Tables] | None = None
        self._last = 0.0
        self._announcer = Announcer(on_finding)

    def __enter__(self) -> Self:
        """Begin to watch."""
        if self._into is not None:
            self._take(self._into)
        self._abandoned = weakref.finalize(self, self._open.close, "interrupted")
        try:
            self._recorder.__enter__()
        except BaseException:
            self._abandoned()
            raise
        self._open.begun = self._last = perf_counter()
        return self

    def _take(self, path: Path) -> None:
        """Take the run folder, and go on with the training in it, if there is one.

        Raises:
            RunFolderError: it holds a finished run or another model, or it cannot be written.
        """
        from gradlab.watch_folder import RecordsInFolder, WatchFolder
        from gradlab.watch_ranks import RecordsHandedOver, records_of

        def take() -> RecordsInFolder:
            device = next((parameter.device for parameter in self._model.parameters()), torch.device("cpu"))
            folder = WatchFolder(path, self._about, self._model, environment(device))
            return RecordsInFolder(folder, self._recorder, strict=self._strict)

        records = records_of(path, take, self._recorder.guard)
        if records is None or isinstance(records, RecordsHandedOver):
            self._into = None  # another process writes it
        if records is not None:
            self._open.take(records)
            self._recorder.go_on_at(records.first)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Remove every hook; diagnose the run folder, and draw its pictures. `StopTraining` ends here."""
        stopped = isinstance(error, StopTraining)
        self._abandoned.detach()
        self._recorder.__exit__(kind, error, trace)
        self.status = _status(None if stopped else error, self._open.records.last)
        told = "".join(traceback.format_exception(error)) if self.status == "failed" else None
        self._open.close(self.status, told, plots=self.status != "failed")
        if self._announcer.wanted and not stopped:
            with suppress(StopTraining):  # the training is over
                self._announcer.announce(self.diagnose)
        return stopped

    # -------------------------------------------------------------------------------------------------- what is known

    @property
    def tables(self) -> "Tables":
        """The training so far as a snapshot, made once for each state of the data."""
        from gradlab.diagnosis import Diagnosed
        from gradlab.tables import Tables, rows_frame

        state = (self._recorder.step, self.status, self._open.records)
        if self._snapshot is None or self._snapshot[0] != state:
            name = type(self._model).__name__ if self._into is None else self._into.name
            snapshot = Tables(
                Diagnosed(self._open.records.source()),
                name=name,
                path=self._into or Path(),
                status=self.status,
                modules=rows_frame("modules", self._recorder.module_rows()),
                summary={
                    "name": name,
                    "status": self.status,
                    "config": {"watch": self._about},
                    "steps": self._recorder.step,
                    "unfinished": self._recorder.unfinished,
                    "graph": self._recorder.graph,
                },
            )
            self._snapshot = state, snapshot
        return self._snapshot[1]

    def rows(self) -> "pl.DataFrame":
        """The table `layers`: a row a recorded step and module; see `gradlab.tables`."""
        return self.tables.layers

    def diagnose(self) -> "list[Finding]":
        """What is wrong with the training so far, in the order of causes."""
        return self.findings

    def figure(self, name: str) -> "Figure":
        """Draw one of `gradlab.views.pictures.PICTURES`; `UserError` where there is none of that name."""
        from gradlab.views.pictures import figure

        return figure(self.tables, name)

    # ---------------------------------------------------------------------------------------------------- what comes in

    def log(self, *, accuracy: object = None, loss: object = None, split: str = "test") -> None:
        """Hand over what an evaluation after the steps so far has measured: a row of the table `evaluations`.

        Args:
            accuracy: the share that is right, from 0 to 1, as a number or a tensor with one entry.
            loss: the mean loss.
            split: of which data: `test` (also for validation data) or `train`.
        """
        try:
            row = evaluation_row(self._recorder.step, split, loss, accuracy)
        except Exception as error:
            return self._recorder.guard.failed("what was handed to log", error)
        self._open.records.log(row)
        self._snapshot = None
        return None

    def receive(self, record: StepRecord) -> None:
        """Keep a record."""
        now = perf_counter()
        seconds, self._last = now - self._last, now
        self._open.records.add(record, seconds, len(self._recorder.modules))
        self._snapshot = None
        if self._announcer.is_due(finite=record.may_be_finite):
            self._announcer.announce(self.diagnose)


def _receive(watch: "weakref.ref[Watch]", record: StepRecord) -> None:
    """Hand a record to a watch, if somebody still has it."""
    receiver = watch()
    if receiver is not None:
        receiver.receive(record)


class _Open:
    """What has to be closed when a watch ends, also where nobody leaves its context.

    A forked child has the hooks of its parent, until it removes them, and nothing of the parent's run folder.

    Attributes:
        recorder: the recorder.
        records: where the records are kept.
        folder: the same, where that is a run folder.
        first: number of the first step, which is always recorded.
        begun: when the watch began.
    """

    def __init__(self) -> None:
        self.records: RecordsInMemory | Records = RecordsInMemory()
        self.folder: Records | None = None
        self.recorder: Recorder | None = None
        self.first = 0
        self.begun = 0.0
        self._stop_listening: Callable[[], None] = lambda: None

    def take(self, records: "Records") -> None:
        """Write into a run folder, also before a signal ends the process."""
        self.records = self.folder = records
        self.first = records.first
        self._stop_listening = interrupts.before_the_end(self._before_the_end)
        _writing.add(self)

    def leave_to_parent(self) -> None:
        """This is a forked child: the folder belongs to its parent."""
        if self.folder is not None:
            self.records, self.folder = self.folder.in_memory(), None

    def close(self, status: str, trace: str | None = None, *, plots: bool = True) -> None:
        """Remove every hook, write what waits, and give the run folder back."""
        assert self.recorder is not None
        self.recorder.remove()
        folder, self.folder = self.folder, None
        if folder is not None:
            about = {
                "status": status,
                "steps": self.recorder.step,
                "unfinished": self.recorder.unfinished,
                "graph": self.recorder.graph,
            }
            folder.end({**about, **({"traceback": trace} if trace else {})}, self.begun, plots=plots)
        self._stop_listening()

    def _before_the_end(self) -> None:
        self.close("interrupted", plots=False)


_writing: "weakref.WeakSet[_Open]" = weakref.WeakSet()


def _leave_to_parent() -> None:
    for each in list(_writing):
        each.leave_to_parent()
    _writing.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _status(error: BaseException | None, last: StepRecord | None) -> str:
    """How a training ended. A program that ends itself without complaint, or as a signal would, interrupts it."""
    if error is None:
        diverged = last is not None and last.loss is not None and not isfinite(last.loss)
        return "diverged" if diverged else "completed"
    if isinstance(error, SystemExit):
        return "interrupted" if not error.code or (isinstance(error.code, int) and error.code > 128) else "failed"
    return "interrupted" if isinstance(error, KeyboardInterrupt | GeneratorExit) else "failed"
