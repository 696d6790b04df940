"""Going forward: the hooks on modules, and the sums of what modules return.

A forward hook takes the sums of an output and leaves a hook on that tensor, which takes those of δ. A native hook does
both for dense tensors in main memory, and leaves everything unusual to the methods of `Outputs`.
"""

import weakref
from collections.abc import Iterator
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gradlab.networks.activations import Intervals
from gradlab.recording.call_stack import is_repeated
from gradlab.recording.calls import Call, Calls
from gradlab.recording.devices import CPU
from gradlab.recording.gradients import Gradients
from gradlab.recording.hooks import DeltaHook, Hook, OutputMethods
from gradlab.recording.main_tensor import is_number, is_readable, main_tensor
from gradlab.recording.modules import RecordedModule, has_own_parameters
from gradlab.recording.python_hooks import Current
from gradlab.recording.step import HistogramOf, KeptInput, Step
from gradlab.recording.torch_private import register_hook
from gradlab.recording.watched_model import WatchedModel


class Outputs:
    """Records what modules return.

    Args:
        current: holds the step that is going on.
        watched: the model.
        gradients: records the gradients of outputs.
    """

    def __init__(self, current: Current, watched: WatchedModel, gradients: Gradients) -> None:
        self._current = current
        self._watched = watched
        self._devices = watched.devices
        self._numbering = watched.numbering
        self._gradients = gradients
        self._hooks: dict[int, Any] = {}
        self._handles: dict[int, RemovableHandle] = {}
        self._input_handles: list[RemovableHandle] = []
        # Modules that may only return what a module in them has returned. It is known when they are called first.
        self._undecided: set[int] = set()
        self._looked_at = 0
        self._without_hooks: set[int] = set()
        self.renew()

    def renew(self) -> None:
        """The model has changed."""
        modules = self._numbering.modules
        for index in range(self._looked_at, len(modules)):
            module = modules[index]
            if module.kind in ("block", "other") and not module.is_function and not has_own_parameters(module.module):
                self._undecided.add(index)
        self._looked_at = len(modules)

    # --------------------------------------------------------------------------------------------------------- hooks

    def place_hooks(self) -> None:
        """Place the hooks on the modules that may have outputs of their own."""
        for index, module in enumerate(self._numbering.modules):
            if index in self._without_hooks or module.is_function:
                continue
            try:
                self._place(index, module)
            except Exception as error:
                self._without_hooks.add(index)
                self._watched.guard.failed(_where(module), error)

    def _place(self, index: int, module: RecordedModule) -> None:
        if isinstance(module.module, torch.jit.ScriptModule):
            raise TypeError("scripted modules call no hooks")
        if index not in self._hooks:
            self._hooks[index] = self._hook(index)
        self._handles[index] = module.module.register_forward_hook(self._hooks[index])
        if module.in_place and module.saturation is not None:
            hook = Hook(self._on_input, index, self._watched.guard, _where(module))
            self._input_handles.append(module.module.register_forward_pre_hook(hook))

    def handles(self) -> Iterator[RemovableHandle]:
        """The handles of the hooks that are in place."""
        return chain(self._handles.values(), self._input_handles)

    @property
    def blind(self) -> bool:
        """Whether there is no hook in place."""
        return not self._handles

    def remove_hooks(self) -> None:
        """Remove the hooks."""
        for handle in (*self._handles.values(), *self._input_handles):
            handle.remove()
        self._handles.clear()
        self._input_handles.clear()

    def forget_hooks(self) -> None:
        """Let go of the hooks, after they were removed."""
        self._hooks.clear()

    def _hook(self, index: int) -> Any:
        module, guard = self._numbering.modules[index], self._watched.guard
        methods = OutputMethods(
            partial(self._describe, index),
            Hook(self._on_output, index, guard, _where(module)),
            guard.closed(self._gradients.on_native_delta, "the gradient of an output"),
            self._on_any,
        )
        return self._devices[CPU].backend.output_hook(
            self._current, module, methods, has_own_outputs=index not in self._undecided
        )

    @property
    def undecided(self) -> bool:
        """Whether there are modules of which it is not known yet whether they have outputs of their own."""
        return bool(self._undecided)

    # ------------------------------------------------------------------------------------------------------- outputs

    def wants(self, module: nn.Module) -> bool:
        """Whether what this module does is recorded right now."""
        return self._current.step.listening and torch.is_grad_enabled() and not is_repeated()

    def _on_input(self, index: int, module: nn.Module, inputs: Any) -> None:
        """An activation is about to overwrite its input: keep a copy."""
        if self.wants(module) and inputs and isinstance(inputs[0], Tensor):
            kept = KeptInput(inputs[0].detach().clone(), self._numbering.modules[index].saturation)
            self._current.step.inputs[index] = kept

    def _on_output(self, index: int, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """A module has returned."""
        step = self._current.step
        if not step.listening or not torch.is_grad_enabled():
            return
        start = perf_counter()
        x = output if type(output) is Tensor and is_number(output) else main_tensor(output)
        if x is not None and is_readable(x) and not is_repeated():
            h, saturation = None, self._numbering.modules[index].saturation
            if index in step.inputs:
                kept = step.inputs.pop(index)
                if kept.output is None or kept.output() is x:
                    h, saturation = kept.h, kept.saturation
            elif saturation is not None and inputs and isinstance(inputs[0], Tensor) and is_readable(inputs[0]):
                h = inputs[0]
            if index not in self._undecided or self._is_own(step, index, x):
                self._take(step, index, x, h, saturation)
                if step.notes.graph is not None:
                    step.notes.graph.modules.note(index, output, x)
                if step.notes.sequences is not None:
                    step.notes.sequences.at_output(index, module, inputs, output)
                if step.look is not None:
                    step.look.at_output(index, self._numbering.modules[index].kind, module, inputs, x)
        step.fields.seconds += perf_counter() - start

    def _is_own(self, step: Step, index: int, x: Tensor) -> bool:
        """Whether an output is the module's own, and not one that a module in it, or before it, has returned."""
        self._undecided.discard(index)
        step.fields.undecided = self.undecided
        other = step.outputs.get(id(x))
        if other is None or other() is not x:
            if not isinstance(self._hooks[index], Hook):
                self._hooks[index].has_own_outputs = True
            return True
        self._handles.pop(index).remove()
        self._without_hooks.add(index)
        return False

    def on_function(self, caller: nn.Module, name: str, h: Tensor, saturation: Intervals | None, x: Any) -> None:
        """A module has called an activation function; see `Functions`."""
        if not (isinstance(x, Tensor) and is_number(x) and is_readable(x)):
            return
        start = perf_counter()
        step = self._current.step
        index = self._numbering.activation_itself(caller)
        if index is not None:
            step.inputs[index] = KeptInput(h, saturation, weakref.ref(x))
        else:
            index = self._numbering.of_function(caller, name, saturation)
            self._take(step, index, x, h, saturation)
            if step.notes.graph is not None:
                step.notes.graph.modules.note(index, x, x)
            if step.look is not None:
                step.look.at_output(index, "activation", caller, (), x)
        step.fields.seconds += perf_counter() - start

    def _describe(self, index: int, size: int, input_size: int, dtype: torch.dtype) -> Call:
        """What is known of a call that a native hook has recorded; it does so while there is one optimizer."""
        self._numbering.saw(index)
        return Call(index, 0, size, input_size, dtype)

    def _on_any(self, x: Tensor) -> None:
        self._current.step.outputs[id(x)] = weakref.ref(x)

    def _take(self, step: Step, index: int, x: Tensor, h: Tensor | None, saturation: Intervals | None) -> None:
        """Record an output, and its gradient when it comes."""
        device = self._devices[x.device]
        calls = step.calls.get(x.device)
        if calls is None:
            calls = step.calls[x.device] = Calls(device)
        self._numbering.saw(index)
        owner = self._numbering.owners[index]
        row = calls.add(index, 0 if owner is None else step.phases[owner], x, h, saturation)
        if self._undecided:
            self._on_any(x)
        step.take_histogram(device, HistogramOf(index, "activation", calls, row), x)
        if x.requires_grad:
            register_hook(x, DeltaHook(self._gradients.on_delta, calls, row))


def _where(module: RecordedModule) -> str:
    return f"the module {module.name!r} ({type(module.module).__name__})"
