"""Hooks ─► rows: records the training of any network while somebody else trains it.

    with Recorder(model, [optimizer], records=every_tenth, emit=rows.append):
        … the training loop, unchanged …

Data flows one way. A hook takes sums and adds a row to the step that is going on (`outputs.py`, `gradients.py`,
`parameters.py`). When the last optimizer has done its step, the numbers of the step are copied (`step_copy.py`) and
handed out as a record, which makes rows of them when somebody asks (`step_record.py`).

Sums stay on the device until then. Nothing is written to the model, no random number is drawn, and no tensor of the
training is changed: training is bit-identical with and without. An error in a hook is a warning (`guard.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from gradlab.recording import step_graph
from gradlab.recording.call_stack import scale_of_caller
from gradlab.recording.close_look import RECORDS, CloseLook
from gradlab.recording.devices import CPU
from gradlab.recording.eager import COMPILER
from gradlab.recording.full_pass import FullPass
from gradlab.recording.guard import Guard
from gradlab.recording.model_hooks import ModelHooks
from gradlab.recording.modules import RecordedModule
from gradlab.recording.notes import LOOKS, LeftGradients, share_evaluating, witnesses
from gradlab.recording.python_hooks import Current
from gradlab.recording.step import Step
from gradlab.recording.step_copy import StepCopier
from gradlab.recording.step_record import Reader, StepRecord
from gradlab.recording.through_time import Sequences
from gradlab.recording.torch_private import current_pass
from gradlab.recording.watched_model import WatchedModel
from gradlab.recording.watched_optimizers import WatchedOptimizers


class Recorder:
    """Records the steps of a training loop for as long as its context lasts.

    Args:
        model: the network. Its passes with gradients enabled are recorded, others are evaluations.
        optimizers: what updates its weights; a step of the last one ends a step.
        emit: receives each recorded step, once it has ended.
        records: whether to record a step, by its 0-based number.
        histograms: whether to take histograms in a recorded step.
        look: looks at tensors in some records; by default nobody does.
        layers: patterns of the names of the modules to record; by default all that compute something.
        strict: whether errors of the recorder are raised. Otherwise they are warnings.

    Raises:
        UserError: no module has a name like that.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        emit: Callable[[StepRecord], None],
        records: Callable[[int], bool] = lambda step: True,
        histograms: Callable[[int], bool] = lambda step: False,
        look: CloseLook | None = None,
        layers: str | Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        self._emit = emit
        self._records = records
        self._takes_histograms = histograms
        self._look = look
        self._guard = Guard(strict=strict)
        self._optimizers = WatchedOptimizers(optimizers, self._on_update, self._on_updated, self._guard)
        self._model = WatchedModel(model, optimizers, layers, self._guard)
        self._current: Current = self._model.devices[CPU].backend.hooks.Current()
        self._hooks = ModelHooks(self._model, self._current, self._on_forward, self._on_backward)
        self._full_pass = FullPass(model, self.modules)
        self._output = _Output(self._model)
        self._checked: Step | None = None
        self._current.step = self._new_step(0)

    @property
    def step(self) -> int:
        """Steps that have ended; the number of the one that is going on."""
        number: int = self._current.step.number
        return number

    @property
    def modules(self) -> Sequence[RecordedModule]:
        """What is recorded: modules, and the activation functions that they have called so far."""
        return self._model.numbering.modules

    @property
    def guard(self) -> Guard:
        """What becomes of errors."""
        return self._guard

    def go_on_at(self, number: int) -> None:
        """Count steps from a number on, before the context is entered: an earlier process has done those before."""
        self._current.step = self._new_step(number)

    # ------------------------------------------------------------------------------------------------- the context

    def __enter__(self) -> Self:
        """Place the hooks."""
        try:
            self._optimizers.place_hooks()
            self._begin(self.step)
        except Exception as error:
            self.remove()
            self._guard.failed("this training", error)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove every hook."""
        self.remove()
        if self._output.steps and not self._output.records and error is None:
            self._guard.warn(
                "gradlab has seen nothing of this training: no module of the watched model ran forward with gradients "
                "and led to a step. Watch the model that the loop trains."
            )

    def remove(self) -> None:
        """Remove every hook."""
        COMPILER.turn_on(self)
        self._hooks.remove()
        self._hooks.forget()
        self._optimizers.remove_hooks()
        if self._current.step.recorded:
            self._output.unfinished = self._current.step.unfinished()
        self._current.step = self._new_step(self.step)

    @property
    def unfinished(self) -> Mapping[str, float]:
        """Backward passes since the last recorded step that led to no update; `skipped`: with NaN or infinity."""
        return self._current.step.unfinished() if self._current.step.recorded else self._output.unfinished

    @property
    def graph(self) -> Mapping[str, Any] | None:
        """What the graphs of some steps say, as JSON; see `StepGraph.found`.

        Besides, as `unbounded`, the names of the activations that are flat on one side only.
        """
        try:
            found = self._model.graph.found()
            return None if found is None else {**found, "unbounded": self._model.numbering.unbounded()}
        except Exception as error:
            self._guard.failed("the graph of the step", error)
            return None

    @property
    def walks(self) -> int:
        """Steps whose graph was walked: `module_rows` says more when there is one more."""
        return self._model.graph.walks

    def module_rows(self) -> Sequence[Mapping[str, Any]]:
        """The rows of the table `modules`, as far as the steps so far tell; see `ModuleGraph`."""
        try:
            return self._model.graph.modules.rows()
        except Exception as error:
            self._guard.failed("the graph of the modules", error)
            return ()

    def look_at_units(self, x: Tensor) -> None:
        """Pass all samples through the network, before the coming step; its rows will say which units are dead.

        Args:
            x: the training split, (samples, features).
        """
        start = perf_counter()
        step = self._current.step
        step.full_pass = self._full_pass(x)
        step.fields.seconds += perf_counter() - start

    # ---------------------------------------------------------------------------------------------------- the step

    def _begin(self, number: int) -> None:
        """A step begins. Between recorded steps there are no hooks on the model, and it may be compiled."""
        step = self._current.step = self._new_step(number)
        if not self._records(number):
            self._hooks.remove()
            COMPILER.turn_on(self)
            return
        COMPILER.turn_off(self)
        self._hooks.place()
        self._model.parameters.begin_step()
        step.fields.undecided = self._hooks.undecided
        look = self._look if self._output.records in RECORDS else None
        if look is not None:
            look.begin(self._output.records)
        if self._output.records in step_graph.LOOKS:
            step.notes.graph = self._model.graph
            step.notes.graph.modules.begin()
            step.notes.sequences = Sequences(self._guard)
        step.record([0] * self._optimizers.number, histograms=self._takes_histograms(number), look=look)
        if self._output.records in LOOKS:
            step.notes.left = LeftGradients(witnesses(self._optimizers.parameters()))

    def _begin_again(self) -> None:
        """A step was given up and begins again: a scaler met an infinity, or the loop did not like the loss."""
        old = self._current.step
        old.give_up()
        step = self._new_step(old.number)
        step.notes = old.notes
        if step.notes.graph is not None:
            step.notes.graph.modules.begin()
            step.notes.sequences = Sequences(self._guard)
        step.fields.undecided = self._hooks.undecided
        step.record(old.phases, histograms=old.histograms is not None, look=old.look)
        step.full_pass, step.passes.scale = old.full_pass, old.passes.scale
        if step.histograms is not None:
            step.histograms.update({of: taken for of, taken in old.histograms.items() if of.calls is None})
        self._checked = step
        self._current.step = step

    def _new_step(self, number: int) -> Step:
        return Step(number, self._model.devices[CPU], self._model.parameters)

    def _look_for_changes(self, step: Step, *, again: bool = False) -> None:
        """Look, once in a step, whether somebody has changed the model."""
        if self._model.data_parallel.shards.are_gathered():
            return  # modules have other parameters while they compute
        if self._checked is step and not (again and self._model.structure.is_lazy):
            return
        self._checked = step
        if self._model.structure.has_changed():
            self._model.renew()
            self._hooks.renew()
            step.parameters = self._model.parameters
            step.parameters.begin_step()
            step.fields.undecided = self._hooks.undecided

    def _on_forward(self) -> None:
        """The whole model is about to compute, with gradients."""
        step = self._current.step
        if not step.listening or current_pass() != -1:
            return
        self._look_for_changes(step)
        if self._output.records in step_graph.LOOKS:
            self._model.say_if_compiled()
        self._model.data_parallel.note_wrapper()
        if step.passes.began and step.passes.in_closure:
            step.listen(False)  # only the first evaluation inside a step of LBFGS is recorded
            return
        if step.has_given_up():
            self._begin_again()
            step = self._current.step
        step.passes.begin_forward(step.calls)

    def _on_backward(self) -> None:
        """A pass of autograd has begun."""
        self._look_for_changes(self._current.step, again=True)

    # -------------------------------------------------------------------------------------------------- the update

    def _on_update(self, index: int, optimizer: Optimizer, *, has_closure: bool) -> None:
        """An optimizer begins: its gradients are ready, or its closure will make them."""
        step = self._current.step
        if not step.recorded:
            return
        start = perf_counter()
        self._look_for_changes(step, again=True)
        if has_closure and step.has_given_up():
            self._begin_again()
            step = self._current.step
        passes = step.passes
        passes.in_closure = isinstance(optimizer, LBFGS)
        if passes.began:
            passes.scale = scale_of_caller()
            step.listen(not passes.in_closure)  # what it evaluates again does not count
        if passes.began or not has_closure:
            unscaled = getattr(optimizer, "grad_scale", None) is None
            step.parameters.read_changed_gradients(index, passes.scale if unscaled else 1.0)
        for device, numbers in step.parameters.updated_by(index):
            device.before_update(numbers)
        if step.histograms is not None:
            self._model.take_histograms(step, index)
        step.fields.seconds += perf_counter() - start

    def _on_updated(self, index: int, *, last: bool) -> None:
        """An optimizer has ended; if it is the last one, so has the step."""
        step = self._current.step
        try:
            if step.recorded:
                self._end_update(step, index, last=last)
        finally:
            if last:
                self._begin(step.number + 1)

    def _end_update(self, step: Step, index: int, *, last: bool) -> None:
        start = perf_counter()
        step.passes.in_closure = False
        for device, numbers in step.parameters.updated_by(index):
            device.after_update(numbers)
            device.keep_sums(numbers)
        step.phases[index] += 1
        if last:
            self._end(step, start)
        else:
            step.listen(True)
            step.fields.seconds += perf_counter() - start

    def _end(self, step: Step, start: float) -> None:
        """A recorded step has ended: copy its numbers and hand them out."""
        output = self._output
        output.steps += 1
        step.parameters.read_without_owner()
        step.passes.end()
        ran = step.passes.forward or any(calls.calls for calls in step.calls.values())
        if not ran and not self._hooks.blind:
            return  # this optimizer has stepped without the model, as it may
        self._hooks.step_ended()
        step.notes.evaluating = share_evaluating(self._model.with_modes)
        copy = output.copier.copy(step, self._optimizers.learning_rate, self._model.numbering.names)
        output.records += 1
        self._emit(StepRecord(copy, output.reader, step.fields.seconds + perf_counter() - start))


class _Output:
    """What makes records; how many recorded steps and records there were, and what the last step was when it ended."""

    def __init__(self, watched: WatchedModel) -> None:
        self.copier = StepCopier()
        self.reader = Reader(watched.numbering, watched.graph.modules.recurrent)
        self.steps = self.records = 0
        self.unfinished: Mapping[str, float] = {"passes": 0, "skipped": 0}
