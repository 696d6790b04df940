"""`gradlab.watch`: the recorder, the diagnosis and the run folder around anybody's training loop.

with gradlab.watch(model, optimizer) as recorder:
    for x, y in batches:
        loss_fn(model(x), y).backward()
        optimizer.step()                      # a step is recorded here
        optimizer.zero_grad()
recorder.rows(), recorder.diagnose(), recorder.figure("gradient_flow")
"""

import traceback
import uuid
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from math import isfinite
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn
from torch.optim import Optimizer

from gradlab.environment import environment
from gradlab.errors import RunFolderError, UserError
from gradlab.recording.recorder import Recorder
from gradlab.recording.step_record import StepRecord

if TYPE_CHECKING:  # a loop that is only watched needs neither polars nor matplotlib before somebody asks for rows
    import polars as pl
    from matplotlib.figure import Figure

    from gradlab.diagnosis.finding import Finding, Tables
    from gradlab.store import RunWriter

TOGETHER = 64
"""Records that are read and written together."""
HISTOGRAMS = (0, *(10**power for power in range(1, 10)))
"""Records in which histograms are taken, by number: they cost more than all the rest."""
FLUSH_SECONDS = 5.0
"""Between two writings at most."""
MEMORY_ROWS = 200_000
"""Rows that are kept in memory at most, about 40 MB; then every other recorded step is dropped."""


def watch(
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer],
    *,
    layers: str | Sequence[str] | None = None,
    every: int = 1,
    into: str | Path | None = None,
) -> "Watch":
    """Record the training of any model, for as long as the context lasts.

    Training is bit-identical with and without; nothing stays on the model afterwards.

    Args:
        model: the model. Its forward passes in training mode with gradients enabled are recorded, others are not.
        optimizer: what updates it. Of several, in the order in which they step, the last one ends a step.
        layers: which modules, by patterns of their qualified names as in a shell: `"encoder.*"`; all by default.
        every: steps between records; step 0 is recorded.
        into: a run folder to write to, for `gradlab show` and `gradlab compare`. Without it, rows stay in memory, and
            of a long training fewer and fewer: see `MEMORY_ROWS`.

    Raises:
        UserError: no module is named like `layers`, or `every` is not positive.
        RecordingError: the model is compiled; or, at its end, nothing could be seen of the first step.
        RunFolderError: `into` cannot be written, or holds a finished run.
    """
    return Watch(model, optimizer, layers=layers, every=every, into=into)


class Watch:
    """A training that is watched; made by `watch`. Also afterwards, it answers like a run of `gradlab.load_run`.

    Args:
        model: see `watch`, like all that follow.
        optimizer: …
        layers: …
        every: …
        into: …
    """

    config = None
    """A watched model has no config."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        *,
        layers: str | Sequence[str] | None,
        every: int,
        into: str | Path | None,
    ) -> None:
        optimizers = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer)
        if not optimizers:
            raise UserError("watch needs an optimizer: its steps are the steps of the record")
        if every < 1:
            raise UserError(f"every={every}: steps between records are at least 1")
        self.path = Path(into) if into is not None else Path()
        self.name = self.path.name if into is not None else type(model).__name__
        self.status = "running"
        self._into = None if into is None else Path(into)
        self._model = model
        self._about = {
            "model": type(model).__name__,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "optimizer": ", ".join(type(each).__name__ for each in optimizers),
            "layers": layers if layers is None or isinstance(layers, str) else list(layers),
            "every": every,
        }
        self._recorder = Recorder(
            model,
            optimizers,
            emit=self._receive,
            records=lambda step: step % every == 0,
            histograms=lambda step: step % every == 0 and step // every in HISTOGRAMS,
            layers=layers,
        )
        self._records: list[StepRecord] = []
        self._rows = 0
        self._stride = 1
        self._received = 0
        self._times: dict[int, float] = {}
        self._writer: RunWriter | None = None
        self._stack = ExitStack()
        self._last = self._written = 0.0
        self._kept = 0
        self._begun = 0.0

    def __enter__(self) -> Self:
        """Begin to watch."""
        if self._into is not None:
            from gradlab import store

            label = store.Label(uuid.uuid4().hex[:12], self.name, {"watch": self._about})
            self._writer = self._stack.enter_context(store.claim_folder(self._into, label))
            if (self._writer.previous or {}).get("status") in store.FINISHED:
                self._stack.close()
                raise RunFolderError(f"{self._into} holds a finished run", fix="Name another folder, or remove it.")
            self._writer.start(environment(next((p.device for p in self._model.parameters()), torch.device("cpu"))))
        self._recorder.__enter__()
        self._last = self._begun = self._written = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove every hook; diagnose the run folder, and draw its pictures."""
        self._recorder.__exit__(kind, error, trace)
        diverged = any(record.loss is not None and not isfinite(record.loss) for record in self._records[-1:])
        self.status = "diverged" if diverged else "completed"
        if error is not None:
            self.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with self._stack:
            if self._writer is not None:
                self._conclude(self._writer, None if self.status != "failed" else "".join(traceback.format_exc()))

    # -------------------------------------------------------------------------------------------------- what is known

    def rows(self) -> "pl.DataFrame":
        """The table `layers`: a row a recorded step and module; see `gradlab.columns`."""
        return self.tables.layers

    def diagnose(self) -> "list[Finding]":
        """What is wrong with the training so far, worst first."""
        from gradlab.diagnosis import diagnose

        return diagnose(self.tables)

    def figure(self, name: str) -> "Figure":
        """Draw one of the pictures of `gradlab.views.plots.PLOTS`; `UserError` where there is none of that name."""
        from gradlab.views.plots import figure

        return figure(self, name)

    @property
    def tables(self) -> "Tables":
        """All tables of the training so far."""
        from gradlab.columns import layers_frame, rows_frame
        from gradlab.diagnosis.finding import Tables

        if self._into is not None:
            from gradlab import store

            if self._writer is not None and self.status == "running":
                self._write(self._writer)
                self._writer.flush()
            layers, steps, histograms = (
                store.read_table(self._into, name) for name in ("layers", "steps", "histograms")
            )
            return Tables(layers=layers, steps=steps, histograms=histograms, status=self.status)
        return Tables(
            layers=layers_frame([record.rows for record in self._records]),
            steps=rows_frame("steps", [self._step(record) for record in self._records]),
            histograms=rows_frame("histograms", [row for record in self._records for row in record.histograms]),
            status=self.status,
        )

    @property
    def layers(self) -> "pl.DataFrame":
        """The same as `rows()`."""
        return self.tables.layers

    @property
    def steps(self) -> "pl.DataFrame":
        """A row a recorded step; `loss` is what backward was called on."""
        return self.tables.steps

    @property
    def histograms(self) -> "pl.DataFrame":
        """Distributions, at steps that lie further and further apart."""
        return self.tables.histograms

    @property
    def evaluations(self) -> "pl.DataFrame":
        """Empty: nobody told gradlab how to evaluate."""
        return self.tables.evaluations

    @property
    def theory(self) -> "pl.DataFrame":
        """Empty: theory needs a config."""
        return self.tables.theory

    @property
    def findings(self) -> "list[Finding]":
        """The same as `diagnose()`."""
        return self.diagnose()

    @property
    def verdict(self) -> str:
        """Id of the worst finding's rule, or `healthy`."""
        from gradlab.diagnosis import verdict

        return verdict(self.diagnose())

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` would say of it."""
        return {"name": self.name, "status": self.status, "config": {"watch": self._about}}

    # ---------------------------------------------------------------------------------------------------- what comes in

    def _receive(self, record: StepRecord) -> None:
        now = perf_counter()
        self._times[record.step] = now - self._last
        self._last = now
        number, self._received = self._received, self._received + 1
        if self._writer is not None:
            self._records.append(record)
            if len(self._records) >= TOGETHER or now - self._written > FLUSH_SECONDS:
                self._write(self._writer)
            return
        if number % self._stride:
            return
        self._records.append(record)
        self._rows += len(self._recorder.modules)
        if self._rows > MEMORY_ROWS:
            self._records = self._records[::2]
            self._stride *= 2
            self._rows = len(self._records) * len(self._recorder.modules)
            kept_steps = {kept.step for kept in self._records}
            self._times = {step: seconds for step, seconds in self._times.items() if step in kept_steps}

    def _write(self, writer: "RunWriter") -> None:
        """Write the records that wait; the last one is kept."""
        self._written = perf_counter()
        try:
            for record in self._records[self._kept :]:
                writer.append("layers", record.rows)
                writer.append("steps", self._step(record))
                for row in record.histograms:
                    writer.append("histograms", row)
        except RunFolderError as error:  # a full disk must not end somebody's training
            warnings.warn(f"gradlab goes on in memory: {error.message}", RuntimeWarning, stacklevel=2)
            self._writer = self._into = None
        self._records = self._records[-1:]
        self._kept = len(self._records)

    def _step(self, record: StepRecord) -> dict[str, Any]:
        return {
            "step": record.step,
            "loss": record.loss,
            "learning_rate": record.learning_rate,
            "gradient_norm": record.gradient_norm,
            "gradient_scale": record.gradient_scale,
            "step_seconds": self._times.get(record.step),
            "record_seconds": record.record_seconds,
        }

    def _conclude(self, writer: "RunWriter", trace: str | None) -> None:
        from gradlab.results import conclude

        try:
            self._write(writer)
            writer.flush()
            totals = {
                "steps": self._recorder.step,
                "step_seconds": sum(self._times.values()),
                "record_seconds": float(self.tables.steps["record_seconds"].sum()),
                "seconds": perf_counter() - self._begun,
            }
            writer.write_summary({"status": self.status, **totals, **({"traceback": trace} if trace else {})})
            run = conclude(writer)
            if self.status != "failed":
                run.save_plots()
        except RunFolderError as error:
            warnings.warn(f"gradlab could not finish {writer.path}: {error.message}", RuntimeWarning, stacklevel=3)
