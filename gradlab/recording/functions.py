"""Activation functions that a module calls itself: `F.relu(x)`, `torch.tanh(x)`, `x.relu_()`.

They are not modules, so no hook sees them. A `TorchFunctionMode` sees them while a module runs that may call them. The
mode costs a microsecond for every operator. A module in which no function was found in the first recorded steps is
therefore left alone from then on.

A function is recognized by the traits of its activation (`gradlab.choices.activations`). Its keyword arguments are
called like the options of the activation.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from gradlab.choices.activations import ACTIVATIONS, Activation, HardTanh
from gradlab.networks.activations import Intervals
from gradlab.recording.guard import Guard
from gradlab.recording.hooks import Hook
from gradlab.recording.modules import is_composite, may_call_functions, saturation
from gradlab.recording.torch_private import is_innermost_mode, operators

DISCOVERY = 3
"""Recorded steps after which modules without activation functions of their own are left alone."""

_UNKNOWN_SATURATION = ("hardswish", "logsigmoid", "prelu", "rrelu", "threshold")
"""Activation functions of which gradlab does not know where they are saturated."""
_CHOICES: Mapping[str, type[Activation] | None] = {
    **dict.fromkeys(_UNKNOWN_SATURATION),
    **{name: choice for choice in ACTIVATIONS.values() for name in choice.traits.torch_functions},
}
"""The activation of each function."""
NAMES: Mapping[Any, str] = {
    getattr(home, name + suffix): name
    for home in (torch, functional, Tensor, operators)
    for name in _CHOICES
    for suffix in ("", "_")
    if hasattr(home, name + suffix)
}
"""The functions under all their names, in place or not."""


def _saturation(name: str, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Intervals | None:
    """Where a function is saturated that was called with these positional arguments behind `x`, and these options."""
    choice = _CHOICES[name]
    if choice is None or (choice is HardTanh and (arguments or set(options) - {"input", "inplace"})):
        return None  # the limits of hardtanh are no options of the activation
    first = [option for option in choice.model_fields if option != "name"][:1]  # PyTorch takes it by position, too
    return saturation(choice, {**options, **dict(zip(first, arguments, strict=False))})


@dataclass
class _Running:
    """A module that is computing, or None for a module whose functions do not matter.

    `called` counts the calls of each function.
    """

    module: nn.Module | None
    called: dict[str, int] = field(default_factory=dict)


class Functions:
    """Sees the activation functions that the modules of a model call.

    Args:
        model: the model.
        wants: whether what a module does is recorded right now.
        guard: what becomes of errors.
        on_call: receives each call: the module, the name of the function, its input as it was before the call, the
            intervals in which the function is saturated, and the output.
    """

    def __init__(
        self,
        model: nn.Module,
        wants: Callable[[nn.Module], bool],
        on_call: Callable[[nn.Module, str, Tensor, Intervals | None, Any], None],
        guard: Guard,
    ) -> None:
        self._model = model
        self._guard = guard
        self._mode = _Mode(wants, guard.closed(on_call, "an activation function"))
        self.handles: list[RemovableHandle] = []
        self._ran: set[nn.Module] = set()
        self._without_functions: set[nn.Module] = set()
        self._steps_of_discovery = DISCOVERY

    def start(self) -> None:
        """Place the hooks, if any module may call a function."""
        callers = {module for module in self._model.modules() if may_call_functions(module)} - self._without_functions
        if self._steps_of_discovery > 0 and callers:
            self._place(callers, set(self._model.modules()))
        elif callers:
            self._place(callers, {*callers, *(part for caller in callers for part in _parts(caller))})

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()
        if self._mode.depth and not self._mode.paused:  # a forward pass was interrupted
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self._mode.depth = self._mode.paused = 0
        self._mode.running.clear()

    def renew(self) -> None:
        """The model has changed while there are hooks on it. Look around again, in what is new."""
        computing, paused = list(self._mode.running), self._mode.paused
        depth, self._mode.depth = self._mode.depth, 0
        self._steps_of_discovery = max(self._steps_of_discovery, 1)
        self.stop()
        self.start()
        self._mode.running, self._mode.depth, self._mode.paused = computing, depth, paused

    def step_ended(self) -> None:
        """A recorded step has ended. After some of them, modules that have called no function are left alone."""
        if self._steps_of_discovery > 0:
            self._steps_of_discovery -= 1
            if self._steps_of_discovery == 0:
                self._without_functions = self._ran - self._mode.callers
                self.stop()
                self.start()

    def _place(self, callers: set[nn.Module], guarded: set[nn.Module]) -> None:
        for module in guarded:
            owner = module if module in callers else None
            if isinstance(module, torch.jit.ScriptModule):
                continue
            where, guard = "activation functions", self._guard
            enter, leave = (Hook(function, owner, guard, where) for function in (self._enter, self._leave))
            self.handles.append(module.register_forward_pre_hook(enter))
            self.handles.append(module.register_forward_hook(leave, always_call=True))

    def _enter(self, owner: nn.Module | None, module: nn.Module, inputs: Any) -> None:
        mode = self._mode
        if owner is not None and not mode.depth and mode.wants(module):
            mode.__enter__()  # type: ignore[no-untyped-call]
            mode.depth = len(mode.running) + 1
        elif mode.depth and not mode.paused and not torch.is_grad_enabled() and is_innermost_mode(mode):
            # Nothing is recorded of what runs without gradients, and attention is computed in another way under a mode.
            mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            mode.paused = len(mode.running) + 1
        if owner is not None:
            self._ran.add(module)
        mode.running.append(_Running(owner))

    def _leave(self, owner: nn.Module | None, module: nn.Module, inputs: Any, output: Any) -> None:
        mode = self._mode
        if not mode.running:
            return
        if mode.paused == len(mode.running):
            mode.paused = 0
            mode.__enter__()  # type: ignore[no-untyped-call]
        if mode.depth == len(mode.running):
            mode.depth = 0
            mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        mode.running.pop()


class _Mode(TorchFunctionMode):
    """Looks at every operator of the modules that may call activation functions.

    Attributes:
        running: the modules that are computing, the innermost last.
        depth: how many modules were computing when the mode was entered; 0 while it is not.
        paused: how many were when it was left for the time of a module that runs without gradients; 0 while it is not.
        callers: the modules that have called an activation function.
    """

    def __init__(self, wants: Callable[[nn.Module], bool], on_call: Callable[..., None]) -> None:
        super().__init__()
        self.wants = wants
        self._on_call = on_call
        self.running: list[_Running] = []
        self.depth = 0
        self.paused = 0
        self.callers: set[nn.Module] = set()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        running = self.running[-1] if self.running else _Running(None)
        owner = running.module
        if owner is None or func not in NAMES:
            return func(*args, **kwargs)
        h = args[0] if args else kwargs.get("input")
        if not isinstance(h, Tensor) or not self.wants(owner):
            return func(*args, **kwargs)
        self.callers.add(owner)
        in_place = func.__name__.endswith("_") or any(option is True for option in (*args[1:], kwargs.get("inplace")))
        entered = h.detach().clone() if in_place else h.detach()
        intervals = _saturation(NAMES[func], args[1:], kwargs)
        x = func(*args, **kwargs)
        name = NAMES[func]
        number = running.called[name] = running.called.get(name, 0) + 1
        label = name if number == 1 else f"{name}_{number}"
        self._on_call(owner, label, entered, intervals, x)
        return x


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that a module calls directly; lists of modules are not called themselves."""
    for part in module.children():
        if isinstance(part, nn.ModuleList | nn.ModuleDict) and is_composite(part):
            yield from _parts(part)
        else:
            yield part
