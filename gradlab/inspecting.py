"""`gradlab.inspect`: one forward and one backward pass of a model, measured and diagnosed, before it trains.

found = gradlab.inspect(model, (x, y), lambda model, batch: loss_fn(model(batch[0]), batch[1]))
found                                         # the table of its layers and what is wrong, in the terminal
found.findings, found.layers, found.figure("gradient_flow")
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from gradlab.diagnosis import Diagnosed
from gradlab.errors import UserError
from gradlab.recording.close_look import CloseLook
from gradlab.recording.recorder import Recorder
from gradlab.recording.restoring import restored
from gradlab.recording.step_graph import leaves
from gradlab.recording.step_record import StepRecord
from gradlab.recording.structure import is_lazy
from gradlab.snapshot import HasTables
from gradlab.statistics import LAYER_STATISTICS, StepRows
from gradlab.tables import INSPECTED, RowsSource, Tables
from gradlab.watch_records import rows_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Batch = TypeVar("Batch")


def inspect(model: nn.Module, batch: Batch, loss_of: Callable[[nn.Module, Batch], Tensor]) -> "Inspection":
    """Measure and diagnose one forward and one backward pass of a model, which stays as it was.

    It answers whether the signal and its gradient keep their size from layer to layer, whether every parameter gets a
    gradient, and whether the output fits the loss. Rules that need several steps do not apply.

    Afterwards parameters, buffers, gradients, attributes, modes and hooks of the model are as they were, and so are the
    random states of PyTorch, NumPy and Python; also where the model or `loss_of` raises. Meanwhile there is a second
    copy of parameters and buffers. The mode of the model is not changed: call `model.train()` before to see what
    training will see.

    Args:
        model: the model, of any kind.
        batch: what `loss_of` needs besides, in whatever form.
        loss_of: computes the loss, a tensor with one entry, of the model and the batch. It does not call `backward`.

    Returns:
        The snapshot of the pass, which shows itself in a terminal: tables, findings and figures, as a run has them.

    Raises:
        UserError: the loss is no tensor with one entry, or nothing that it was computed from requires a gradient; or
            the model has parameters that do not exist before its first forward pass.
    """
    if isinstance(model, DistributedDataParallel):  # one process does not wait for others
        model = model.module
    lazy = [name for name, parameter in model.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise UserError(
            f"the parameter {lazy[0]} does not exist before the first forward pass",
            fix="Pass a batch through the model first.",
        )
    records: list[StepRecord] = []
    seconds = perf_counter()
    with restored(model) as restorer:
        observer = _NoOptimizer([*model.parameters()] or [nn.Parameter(torch.zeros(1))])
        recorder = Recorder(
            model,
            [observer],
            emit=records.append,
            histograms=lambda step: True,
            look=CloseLook(units=True),
        )
        with recorder:
            loss = loss_of(model, batch)
            _require_loss(loss)
            restorer.keep_gradients(leaves(loss))
            loss.backward()
            observer.step()
        graph, unfinished = recorder.graph, recorder.unfinished
        rows = rows_of([(record, perf_counter() - seconds) for record in records])
        rows["modules"] = [{**row, "optimizer": None} for row in recorder.module_rows()]
    return Inspection(_tables(model, rows, {"graph": graph, "unfinished": unfinished, "steps": len(records)}))


def _require_loss(loss: object) -> None:
    """Raise a `UserError` for what cannot be differentiated."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise UserError(f"loss_of returned {what}", fix="It returns the loss of the batch, a tensor with one entry.")
    if loss.grad_fn is None:
        raise UserError(
            "nothing that the loss was computed from requires a gradient",
            fix="Look for detach(), torch.no_grad() and requires_grad=False between the parameters and the loss.",
        )


class _NoOptimizer(Optimizer):
    """Holds the parameters and changes none of them: its step ends the record of the pass."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.0})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Do nothing."""


def _tables(model: nn.Module, rows: dict[str, Sequence[Any]], about: Mapping[str, Any]) -> Tables:
    """The snapshot of one pass: what only an update has is null."""
    rows["layers"] = [_without_update(each) for each in rows["layers"]]
    rows["steps"] = [{**row, "learning_rate": None} for row in rows["steps"]]
    name = type(model).__name__
    described = {"model": name, "parameters": sum(parameter.numel() for parameter in model.parameters())}
    return Tables(
        Diagnosed(RowsSource(lambda table: rows.get(table, ()))),
        name=name,
        status=INSPECTED,
        summary={"name": name, "status": INSPECTED, "config": {"watch": described}, **about},
    )


def _without_update(rows: StepRows) -> StepRows:
    applies_MS = np.array(rows.applies_MS)
    applies_MS[:, LAYER_STATISTICS.index("update_ratio")] = False
    return replace(rows, applies_MS=applies_MS)


class Inspection(HasTables):
    """What `inspect` has found. It has the attributes of its snapshot (`gradlab.tables.Tables`), like a run.

    Args:
        tables: the snapshot.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def __repr__(self) -> str:
        from gradlab.views.summary import summary_text

        return summary_text(self.tables)

    def figure(self, name: str) -> "Figure":
        """Draw one of `gradlab.views.pictures.PICTURES`; `UserError` where there is none of that name."""
        from gradlab.views.pictures import figure

        return figure(self.tables, name)
