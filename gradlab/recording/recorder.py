"""Hooks ─► rows: watches any network while somebody else trains it.

    with Recorder(model, [optimizer], records=every_tenth, emit=rows.append):
        … the training loop, unchanged …

One way: a forward hook takes the statistics of a module's output and leaves a hook on that tensor; the tensor's hook
takes those of δ; when backward has ended, the parameters' gradients are read, before anybody clips them; the
optimizer's hooks take the weights before and after the update, which ends the step and emits its rows.

Statistics stay on the device and are read once a recorded step. Nothing is written to the model, no random number is
drawn, and no tensor of the training is changed: training is bit-identical with and without.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.variable import Variable
from torch.optim import LBFGS, Optimizer
from torch.utils.hooks import RemovableHandle

from gradlab.errors import RecordingError
from gradlab.recording.backward import current_pass, is_repeated, roots, scale_of_caller
from gradlab.recording.calls import Call, Calls
from gradlab.recording.full_pass import FullPass
from gradlab.recording.functions import Functions
from gradlab.recording.hooks import DeltaHook, Hook, register_hook
from gradlab.recording.keeping import Keeper
from gradlab.recording.layout import Place, layout, refuse_compiled
from gradlab.recording.native import Intervals, histogram
from gradlab.recording.numbering import Numbering
from gradlab.recording.outputs import is_readable, main_tensor
from gradlab.recording.parameters import Parameters
from gradlab.recording.records import Reader, StepRecord
from gradlab.recording.state import new_state, output_hook
from gradlab.recording.weights import LARGE


class Recorder:
    """Records the steps of a training loop for as long as its context lasts.

    Args:
        model: the network. Its passes are recorded in training mode with gradients enabled, others are not.
        optimizers: whoever updates its weights; a step of the last one ends a step.
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
        self.places = layout(model, layers)
        self.state = new_state()
        self._model = model
        self._optimizers = tuple(optimizers)
        self._emit = emit
        self._records = records
        self._histograms = histograms
        self._handles: dict[int, RemovableHandle] = {}  # of places
        self._hooks: dict[int, Any] = {}
        self._others: list[RemovableHandle] = []
        self._optimizer_handles: list[RemovableHandle] = []
        self._silent: set[int] = set()  # places that only hand on what others return
        self._numbering = Numbering()
        self._modules = {place.module: index for index, place in enumerate(self.places)}
        self._functions = Functions(model, self) if layers is None else None
        self._parameters = Parameters(model, self.places, self._optimizers)
        self._owners = [self._parameters.owner_of(place.module) for place in self.places]
        self._reader = Reader(self.places, self._owners, self._numbering, self._parameters)
        self._cpu = Calls(torch.device("cpu"), self.state)
        self._calls: dict[torch.device, Calls] = {self._cpu.device: self._cpu}
        self._keeper = Keeper()
        self._function_places: dict[tuple[nn.Module, str], int] = {}
        # Modules that may do no more than hand on what a module in them returns; decided when they first do something.
        self._undecided = {i for i, place in enumerate(self.places) if place.kind in ("block", "other")}
        self._returned: dict[int, weakref.ref[Tensor]] = {}
        self._entered: dict[int, tuple[Tensor, Intervals | None, weakref.ref[Tensor] | None]] = {}
        self._look_at_units = FullPass(model, self.places)
        self._full_pass: Mapping[int, Mapping[str, float]] = {}
        self._phases = [0] * len(self._optimizers)
        self._inside: Optimizer | None = None
        self._recording = self._taking_histograms = False
        self._forget()

    @property
    def step(self) -> int:
        """Steps that have ended; the number of the one that is going on."""
        return self.state.step

    # ------------------------------------------------------------------------------------------------- the context

    def __enter__(self) -> Self:
        """Place the hooks."""
        for index, optimizer in enumerate(self._optimizers):
            self._optimizer_handles.append(optimizer.register_step_pre_hook(Hook(self._on_update, index)))
            self._optimizer_handles.append(optimizer.register_step_post_hook(Hook(self._on_updated, index)))
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove every hook."""
        self._remove_hooks()
        for handle in self._optimizer_handles:
            handle.remove()
        self._optimizer_handles.clear()
        self._hooks.clear()
        self._recording = False
        self._forget()

    def _place_hooks(self) -> None:
        """Place the hooks that a recorded step needs; between recorded steps there are none on the model."""
        for index, place in enumerate(self.places):
            if index in self._silent or ":" in place.name:
                continue
            if index not in self._hooks:
                self._hooks[index] = self._hook_of(index)
            self._handles[index] = place.module.register_forward_hook(self._hooks[index])
            if place.in_place and place.saturation is not None:
                self._others.append(place.module.register_forward_pre_hook(Hook(self._on_input, index)))
        if self._functions is not None:
            self._functions.start()
        self._others.append(self._model.register_forward_pre_hook(Hook(self._on_forward, None)))
        for parameter in self._parameters:
            if parameter.requires_grad and parameter.numel() >= LARGE:
                hook = self._parameters.gradient_hook(parameter, self.state, Hook(self._on_gradient, parameter))
                self._others.append(parameter.register_post_accumulate_grad_hook(hook))

    def _hook_of(self, index: int) -> Any:
        return output_hook(
            self.state,
            self._cpu,
            self.places[index],
            index,
            decided=index not in self._undecided,
            describe=partial(self._describe, index),
            on_output=self._on_output,
            on_delta=self._on_delta,
            on_any=self._on_any,
        )

    def _remove_hooks(self) -> None:
        for handle in (*self._handles.values(), *self._others):
            handle.remove()
        self._handles.clear()
        self._others.clear()
        if self._functions is not None:
            self._functions.stop()

    def look_at_units(self, x: Tensor) -> None:
        """Pass all samples through the network, before the coming step; its rows will say which units are dead.

        Args:
            x: the training split, (samples, features).
        """
        start = perf_counter()
        self._full_pass = self._look_at_units(x)
        self.state.seconds += perf_counter() - start

    def _begin(self) -> None:
        """A step begins."""
        self._recording = self._records(self.state.step)
        if self._recording != bool(self._handles):
            self._place_hooks() if self._recording else self._remove_hooks()
        if not self._recording:
            self._set_open()
            return
        self._taking_histograms = self._histograms(self.state.step)
        self._scale: Tensor | float = 1.0
        self._full_pass = {}
        self._phases = [0] * len(self._optimizers)
        self._forget()

    def _forget(self) -> None:
        """Nothing of this step has happened yet."""
        self.state.seconds = 0.0
        self._pause(False)
        for calls in self._calls.values():
            calls.clear()
        self._parameters.forget()
        self._returned.clear()
        self._entered.clear()
        self._pictures: list[tuple[int, str, Tensor | NDArray[np.float64]]] = []
        self._losses: list[Tensor | float] = []
        self._root: weakref.ref[Tensor] | None = None
        self.state.backward_pass = -1
        self._backward_seen = False
        self._witness: tuple[nn.Parameter, Sequence[int]] | None = None

    def _set_open(self) -> None:
        """Let native hooks record, or not."""
        usual = self._recording and not self._paused and not self._taking_histograms and len(self._optimizers) == 1
        self.state.open, self.state.undecided = usual, bool(self._undecided)

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        self._set_open()

    # ------------------------------------------------------------------------------------------------- going forward

    def wants(self, module: nn.Module) -> bool:
        """Whether what this module does is recorded right now."""
        return (
            self._recording and not self._paused and module.training and torch.is_grad_enabled() and not is_repeated()
        )

    def _on_forward(self, _: None, module: nn.Module, inputs: Any) -> None:
        """The whole model is about to compute."""
        if not self._recording or self._paused or current_pass() != -1:
            return
        if self._backward_seen and isinstance(self._inside, LBFGS):
            self._pause(True)  # only the first evaluation inside a step is recorded
        elif self._witness is not None:
            parameter, phases = self._witness
            if parameter.grad is None and list(phases) == self._phases:
                self._forget()  # a step was given up: a scaler met an infinity, or the loop did not like the loss

    def _on_input(self, index: int, module: nn.Module, inputs: Any) -> None:
        """An activation is about to overwrite its input: keep what its row needs of it."""
        if self.wants(module) and inputs and isinstance(inputs[0], Tensor):
            self._entered[index] = inputs[0].detach().clone(), self.places[index].saturation, None

    def _on_output(self, index: int, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not self._recording or self._paused or not module.training or not torch.is_grad_enabled():
            return
        start = perf_counter()
        x = output if type(output) is Tensor and output.is_floating_point() else main_tensor(output)
        if x is not None and is_readable(x) and not is_repeated():
            h, saturation = None, self.places[index].saturation
            if index in self._entered:
                h, saturation = self._what_entered(index, x)
            elif saturation is not None and inputs and isinstance(inputs[0], Tensor):
                h = inputs[0]
            if index not in self._undecided or self._is_its_own(index, x):
                self._take(index, x, h, saturation)
        self.state.seconds += perf_counter() - start

    def _what_entered(self, index: int, x: Tensor) -> tuple[Tensor | None, Intervals | None]:
        """The input that was kept for an activation, if it made this output of it."""
        h, saturation, made = self._entered.pop(index)
        return (h, saturation) if made is None or made() is x else (None, None)

    def _is_its_own(self, index: int, x: Tensor) -> bool:
        """Whether an output is the module's own, and not one that a module in it, or before it, has returned."""
        self._undecided.discard(index)
        self.state.undecided = bool(self._undecided)
        known = self._returned.get(id(x))
        if known is None or known() is not x:
            hook = self._hooks[index]
            if not isinstance(hook, Hook):
                hook.ready = True
            return True
        self._handles.pop(index).remove()
        self._silent.add(index)
        return False

    def function_called(self, module: nn.Module, name: str, h: Tensor, saturation: Intervals | None, x: Any) -> None:
        """A module has called an activation function on `h`, which it may have overwritten since, and got `x`."""
        if not (isinstance(x, Tensor) and x.is_floating_point() and is_readable(x)):
            return
        start = perf_counter()
        index = self._modules.get(module)
        if index is not None and self._numbering.is_activation_itself(self.places, index):
            self._entered[index] = h, saturation, weakref.ref(x)  # the module is the activation
        else:
            self._take(self._place_of_function(module, name, saturation), x, h, saturation)
        self.state.seconds += perf_counter() - start

    def _place_of_function(self, module: nn.Module, name: str, saturation: Intervals | None) -> int:
        """The place of a function in a module; it is made when the function is first called."""
        key = module, name
        if key not in self._function_places:
            caller = next((qualified for qualified, part in self._model.named_modules() if part is module), "")
            self._function_places[key] = len(self.places)
            self.places.append(Place(f"{caller}:{name}", "activation", module, (), saturation))
            self._owners.append(self._parameters.owner_of(module))
        return self._function_places[key]

    def _describe(self, index: int, size: int, input_size: int, dtype: torch.dtype) -> Call:
        """What is known of a call that a native hook has recorded; it does so while there is one optimizer."""
        self._numbering.saw(index)
        return Call(index, 0, size, input_size, dtype)

    def _on_any(self, x: Tensor) -> None:
        self._returned[id(x)] = weakref.ref(x)

    def _take(self, index: int, x: Tensor, h: Tensor | None, saturation: Intervals | None) -> None:
        """Record an output, and its gradient when it comes."""
        calls = self._calls.get(x.device)
        if calls is None:
            calls = self._calls[x.device] = Calls(x.device)
        self._numbering.saw(index)
        owner = self._owners[index]
        row = calls.add(index, 0 if owner is None else self._phases[owner], x, h, saturation)
        if self._undecided:
            self._on_any(x)
        if self._taking_histograms:
            self._draw(index, "activation", x)
        if x.requires_grad:
            register_hook(x, DeltaHook(self._on_delta, calls, row, self.state.step))

    def _draw(self, index: int, quantity: str, x: Tensor) -> None:
        """Take a histogram."""
        self._pictures.append((index, quantity, self._keeper.kept(histogram(x))))

    # ------------------------------------------------------------------------------------------------- going backward

    def _on_delta(self, calls: Calls, row: int, step: int, delta: Tensor) -> None:
        """The gradient of an output has come."""
        if not isinstance(delta, Tensor) or self._paused or step != self.state.step or row >= len(calls.calls):
            return  # a graph of an earlier step, differentiated late
        start = perf_counter()
        if current_pass() != self.state.backward_pass:
            self._on_backward_begin()
        calls.delta(row, delta)
        if self._taking_histograms:
            self._draw(calls.calls[row].place, "delta", delta)
        self.state.seconds += perf_counter() - start

    def _on_backward_begin(self) -> None:
        """The first gradient of a backward pass has come."""
        self.state.backward_pass = current_pass()
        self._backward_seen = True
        Variable._execution_engine.queue_callback(self._on_backward_end)
        found = roots()
        root = found[0] if len(found) == 1 else None
        if isinstance(root, Tensor) and root.numel() == 1 and (self._root is None or self._root() is not root):
            self._root = weakref.ref(root)  # a pass inside a pass has the same root
            self._losses.append(float(root.detach()) if root.is_cpu else root.detach().reshape(1))

    def _on_backward_end(self) -> None:
        """All gradients of a backward pass are there: read those that were not read as they came."""
        start = perf_counter()
        self.state.backward_pass = -1
        if self._recording and not self._paused:
            witness = self._parameters.read_gradients(small=True)
            self._witness = None if witness is None else (witness, tuple(self._phases))
        self.state.seconds += perf_counter() - start

    def _on_gradient(self, parameter: nn.Parameter, _: Tensor) -> None:
        """A large parameter's gradient is there."""
        if not self._recording or self._paused or parameter.grad is None:
            return
        start = perf_counter()
        self._parameters.read_gradient(parameter)
        self.state.seconds += perf_counter() - start

    # ------------------------------------------------------------------------------------------------- updating

    def _on_update(self, index: int, optimizer: Optimizer, *_: Any) -> None:
        """An optimizer begins: its gradients are ready, or its closure will make them."""
        self._inside = optimizer
        if not self._recording:
            return
        start = perf_counter()
        if self._backward_seen:
            self._scale = scale_of_caller()
            self._pause(isinstance(optimizer, LBFGS))  # what it evaluates again does not count
        else:
            self._parameters.read_gradients(small=False)  # of a backward pass that met no recorded module
        for weights, numbers in self._parameters.updated_by(index):
            weights.remember(numbers)
        if self._taking_histograms:
            self._draw_weights(index)
        self.state.seconds += perf_counter() - start

    def _draw_weights(self, optimizer: int) -> None:
        for index, place in enumerate(self.places):
            for weight in place.weights[:1]:
                if self._parameters.owner(weight) == optimizer:
                    self._draw(index, "weight", weight.detach())
                    if weight.grad is not None:
                        self._draw(index, "weight_gradient", weight.grad.detach().to_dense())

    def _on_updated(self, index: int, *_: Any) -> None:
        """An optimizer has ended; if it is the last one, so has the step."""
        self._inside = None
        last = index == len(self._optimizers) - 1
        if self._recording:
            start = perf_counter()
            for weights, numbers in self._parameters.updated_by(index):
                weights.changes(numbers)
                weights.keep(numbers)
            self._phases[index] += 1
            if last:
                self._end(start)
            else:
                self._pause(False)
                self.state.seconds += perf_counter() - start
        if last:
            self.state.step += 1
            self._begin()

    def _end(self, start: float) -> None:
        """A recorded step has ended: read it and hand it out."""
        self._parameters.keep_the_rest()
        if not any(calls.calls for calls in self._calls.values()):
            if not self._numbering.order:
                raise RecordingError(
                    "nothing could be seen of this step: no module of the watched model ran forward in training mode, "
                    "with gradients, and not compiled",
                    fix="Watch the model that the loop trains; after model.train(); without torch.compile.",
                )
            return  # this optimizer has stepped without the model, as it may
        if self._functions is not None:
            self._functions.step_ended()
        left = self._keeper.left(
            self.state.step,
            list(self._calls.values()),
            list(self._parameters.devices.values()),
            scale=self._scale,
            losses=self._losses,
            pictures=self._pictures,
            units=self._full_pass,
            phases=self._phases,
            learning_rate=float(self._optimizers[-1].param_groups[0]["lr"]),
            seconds=lambda: self.state.seconds + perf_counter() - start,
        )
        self._emit(StepRecord(left, self._reader))
