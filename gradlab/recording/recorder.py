"""Hooks ─► rows: records the training of any network while somebody else trains it.

    with Recorder(model, [optimizer], records=every_tenth, emit=rows.append):
        … the training loop, unchanged …

Data flows one way. A hook takes sums and adds a row to the step that is going on (`outputs.py`, `gradients.py`,
`parameters.py`). When the last optimizer has done its step, the numbers of the step are copied (`step_copy.py`) and
handed out as a record, which makes rows of them when somebody asks (`step_record.py`).

Sums stay on the device until then. Nothing is written to the model, no random number is drawn, and no tensor of the
training is changed: training is bit-identical with and without.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.utils.hooks import RemovableHandle

from gradlab.errors import RecordingError
from gradlab.recording.call_stack import scale_of_caller
from gradlab.recording.devices import CPU, Devices
from gradlab.recording.full_pass import FullPass
from gradlab.recording.hooks import Hook
from gradlab.recording.model_hooks import ModelHooks
from gradlab.recording.modules import RecordedModule, find_modules, refuse_compiled
from gradlab.recording.parameters import Parameters
from gradlab.recording.python_hooks import Current
from gradlab.recording.step import Step
from gradlab.recording.step_copy import StepCopier
from gradlab.recording.step_record import Reader, StepRecord
from gradlab.recording.torch_private import current_pass


class Recorder:
    """Records the steps of a training loop for as long as its context lasts.

    Args:
        model: the network. Its passes are recorded in training mode with gradients enabled, others are not.
        optimizers: what updates its weights; a step of the last one ends a step.
        emit: receives each recorded step, once it has ended.
        records: whether to record a step, by its 0-based number.
        histograms: whether to take histograms in a recorded step.
        layers: patterns of the names of the modules to record; by default all that compute something.

    Raises:
        UserError: no module has a name like that.
        RecordingError: the model is compiled, or nothing could be seen of a step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        emit: Callable[[StepRecord], None],
        records: Callable[[int], bool] = lambda step: True,
        histograms: Callable[[int], bool] = lambda step: False,
        layers: str | Sequence[str] | None = None,
    ) -> None:
        refuse_compiled(model)
        modules = find_modules(model, layers)
        self._optimizers = tuple(optimizers)
        self._emit = emit
        self._records = records
        self._takes_histograms = histograms
        self._devices = Devices()
        self._current: Current = self._devices[CPU].backend.hooks.Current()
        self._parameters = Parameters(model, modules, self._optimizers, self._devices)
        self._hooks = ModelHooks(
            model, modules, self._current, self._devices, self._parameters, self._on_forward, functions=layers is None
        )
        self._optimizer_handles: list[RemovableHandle] = []
        self._full_pass = FullPass(model, modules)
        self._copier = StepCopier()
        self._reader = Reader(self._hooks.numbering, self._parameters)
        self._current.step = self._unrecorded(0)

    @property
    def step(self) -> int:
        """Steps that have ended; the number of the one that is going on."""
        number: int = self._current.step.number
        return number

    @property
    def modules(self) -> Sequence[RecordedModule]:
        """What is recorded: modules, and the activation functions that they have called so far."""
        return self._hooks.numbering.modules

    # ------------------------------------------------------------------------------------------------- the context

    def __enter__(self) -> Self:
        """Place the hooks."""
        for index, optimizer in enumerate(self._optimizers):
            self._optimizer_handles.append(optimizer.register_step_pre_hook(Hook(self._on_update, index)))
            self._optimizer_handles.append(optimizer.register_step_post_hook(Hook(self._on_updated, index)))
        self._begin(self.step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove every hook."""
        self._hooks.remove()
        self._hooks.forget()
        for handle in self._optimizer_handles:
            handle.remove()
        self._optimizer_handles.clear()
        self._current.step = self._unrecorded(self.step)

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
        """A step begins. Between recorded steps there are no hooks on the model."""
        recorded = self._records(number)
        if recorded:
            self._hooks.place()
            self._current.step = self._recorded(number, [0] * len(self._optimizers), self._takes_histograms(number))
        else:
            self._hooks.remove()
            self._current.step = self._unrecorded(number)

    def _begin_again(self) -> None:
        """A step was given up and begins again: a scaler met an infinity, or the loop did not like the loss."""
        old = self._current.step
        step = self._recorded(old.number, old.phases, old.histograms is not None)
        step.full_pass, step.scale = old.full_pass, old.scale
        self._current.step = step

    def _recorded(self, number: int, phases: Sequence[int], histograms: bool) -> Step:
        self._parameters.begin_step()
        step = Step(number, self._devices[CPU], phases, recorded=True, histograms=histograms)
        step.fields.undecided = self._hooks.undecided
        return step

    def _unrecorded(self, number: int) -> Step:
        return Step(number, self._devices[CPU], ())

    def _on_forward(self, _: None, module: nn.Module, inputs: Any) -> None:
        """The whole model is about to compute."""
        step = self._current.step
        if not step.listening or current_pass() != -1:
            return
        backward = step.backward
        if backward.began and backward.in_closure:
            step.listen(False)  # only the first evaluation inside a step is recorded
        elif backward.witness is not None:
            parameter, phases = backward.witness
            if parameter.grad is None and list(phases) == step.phases:
                self._begin_again()

    # -------------------------------------------------------------------------------------------------- the update

    def _on_update(self, index: int, optimizer: Optimizer, *_: Any) -> None:
        """An optimizer begins: its gradients are ready, or its closure will make them."""
        step = self._current.step
        if not step.recorded:
            return
        start = perf_counter()
        step.backward.in_closure = isinstance(optimizer, LBFGS)
        if step.backward.began:
            step.scale = scale_of_caller()
            step.listen(not step.backward.in_closure)  # what it evaluates again does not count
        else:
            self._parameters.read_gradients(small=False)  # of a backward pass that met no recorded module
        for device, numbers in self._parameters.updated_by(index):
            device.before_update(numbers)
        if step.histograms is not None:
            self._take_histograms_of_weights(step, index)
        step.fields.seconds += perf_counter() - start

    def _take_histograms_of_weights(self, step: Step, optimizer: int) -> None:
        for index, module in enumerate(self.modules):
            for weight in module.weights[:1]:
                if self._parameters.owner(weight) == optimizer:
                    device = self._devices[weight.device]
                    step.take_histogram(device, index, "weight", weight.detach())
                    if weight.grad is not None:
                        step.take_histogram(device, index, "weight_gradient", weight.grad.detach().to_dense())

    def _on_updated(self, index: int, *_: Any) -> None:
        """An optimizer has ended; if it is the last one, so has the step."""
        step = self._current.step
        last = index == len(self._optimizers) - 1
        if step.recorded:
            start = perf_counter()
            step.backward.in_closure = False
            for device, numbers in self._parameters.updated_by(index):
                device.after_update(numbers)
                device.keep_sums(numbers)
            step.phases[index] += 1
            if last:
                self._end(step, start)
            else:
                step.listen(True)
                step.fields.seconds += perf_counter() - start
        if last:
            self._begin(step.number + 1)

    def _end(self, step: Step, start: float) -> None:
        """A recorded step has ended: copy its numbers and hand them out."""
        self._parameters.read_without_owner()
        if not any(calls.calls for calls in step.calls.values()):
            if not self._hooks.numbering.order:
                raise RecordingError(
                    "nothing could be seen of this step: no module of the watched model ran forward in training mode, "
                    "with gradients, and not compiled",
                    fix="Watch the model that the loop trains; after model.train(); without torch.compile.",
                )
            return  # this optimizer has stepped without the model, as it may
        self._hooks.step_ended()
        learning_rate = float(self._optimizers[-1].param_groups[0]["lr"])
        copy = self._copier.copy(step, self._parameters.devices, learning_rate)
        self._emit(StepRecord(copy, self._reader, step.fields.seconds + perf_counter() - start))
