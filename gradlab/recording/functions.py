"""Activation functions that a module calls itself: `F.relu(x)`, `torch.tanh(x)`, `x.relu_()`.

They are no modules, so that no hook sees them. While a module runs that may call them, a `TorchFunctionMode` does. It
costs a microsecond for every operator, so a module in which none was found in the first recorded steps is left alone
from then on.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from gradlab import choices
from gradlab.networks.activations import Intervals
from gradlab.recording.hooks import Hook
from gradlab.recording.layout import is_composite, may_call_functions, saturation

DISCOVERY = 3
"""Recorded steps after which modules without activation functions of their own are left alone."""

_CHOICES: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "relu": lambda _: choices.ReLU(),
    "relu6": lambda _: choices.ReLU6(),
    "sigmoid": lambda _: choices.Sigmoid(),
    "tanh": lambda _: choices.Tanh(),
    "hardsigmoid": lambda _: choices.HardSigmoid(),
    "hardtanh": lambda o: choices.HardTanh() if set(o) <= {"inplace"} else None,
    "softsign": lambda _: choices.Softsign(),
    "softplus": lambda o: choices.Softplus(beta=float(o.get("beta", 1))),
    "leaky_relu": lambda o: choices.LeakyReLU(negative_slope=float(o.get("negative_slope", 0.01))),
    "elu": lambda o: choices.ELU(alpha=float(o.get("alpha", 1))),
    "celu": lambda o: choices.CELU(alpha=float(o.get("alpha", 1))),
    "selu": lambda _: choices.SELU(),
    "gelu": lambda o: choices.GELU(approximate=o.get("approximate", "none")),
    "silu": lambda _: choices.SiLU(),
    "mish": lambda _: choices.Mish(),
    "hardswish": lambda _: None,
    "logsigmoid": lambda _: None,
    "prelu": lambda _: None,
    "rrelu": lambda _: None,
    "threshold": lambda _: None,
}
"""Every activation function, and what its options make of it; None where saturation is not known."""
_FIRST_OPTION = {"leaky_relu": "negative_slope", "elu": "alpha", "celu": "alpha", "softplus": "beta", "hardtanh": "min"}
NAMES: Mapping[Any, str] = {
    getattr(home, name + suffix): name
    for home in (torch, functional, Tensor, torch._C._nn)
    for name in _CHOICES
    for suffix in ("", "_")
    if hasattr(home, name + suffix)
}
"""The functions under all their names, in place or not."""


class Watcher(Protocol):
    """Who is told of the functions."""

    def wants(self, module: nn.Module) -> bool:
        """Whether what this module does is recorded right now."""

    def function_called(self, module: nn.Module, name: str, h: Tensor, saturation: Intervals | None, x: Any) -> None:
        """A module has called an activation function on `h`, which it may have overwritten since, and got `x`."""


@dataclass
class _Running:
    """A module that is computing; None for one whose functions do not matter, and how often it has called which."""

    module: nn.Module | None
    called: dict[str, int] = field(default_factory=dict)


class Functions:
    """Sees the activation functions that the modules of a model call.

    Args:
        model: the model.
        watcher: who is told.
    """

    def __init__(self, model: nn.Module, watcher: Watcher) -> None:
        self._model = model
        self._watcher = watcher
        self._stack: list[_Running] = []
        self._mode = _Mode(self._stack, watcher, self)
        self._handles: list[RemovableHandle] = []
        self._called: set[nn.Module] = set()
        self._quiet: set[nn.Module] = set()
        self._left = DISCOVERY
        self.found: set[nn.Module] = set()

    def start(self) -> None:
        """Place the hooks, if any module may call a function."""
        callers = {module for module in self._model.modules() if may_call_functions(module)} - self._quiet
        if self._left > 0 and callers:
            self._place(callers, set(self._model.modules()))
        elif callers:
            self._place(callers, {*callers, *(part for caller in callers for part in _parts(caller))})

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def step_ended(self) -> None:
        """A recorded step is over: after some, what never called a function is left alone."""
        if self._left > 0:
            self._left -= 1
            if self._left == 0:
                self._quiet = self._called - self.found
                self.stop()
                self.start()

    def _place(self, callers: set[nn.Module], guarded: set[nn.Module]) -> None:
        for module in guarded:
            owner = module if module in callers else None
            self._handles.append(module.register_forward_pre_hook(Hook(self._enter, owner)))
            self._handles.append(module.register_forward_hook(Hook(self._leave, owner), always_call=True))

    def _enter(self, owner: nn.Module | None, module: nn.Module, inputs: Any) -> None:
        if owner is not None and not self._mode.depth and self._watcher.wants(module):
            self._mode.__enter__()  # type: ignore[no-untyped-call]
            self._mode.depth = len(self._stack) + 1
        if owner is not None:
            self._called.add(module)
        self._stack.append(_Running(owner))

    def _leave(self, owner: nn.Module | None, module: nn.Module, inputs: Any, output: Any) -> None:
        if not self._stack:
            return
        if self._mode.depth == len(self._stack):
            self._mode.depth = 0
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self._stack.pop()


class _Mode(TorchFunctionMode):
    """Looks at every operator of the modules that may call activation functions."""

    def __init__(self, stack: "list[_Running]", watcher: Watcher, functions: Functions) -> None:
        super().__init__()
        self._stack = stack
        self._watcher = watcher
        self._functions = functions
        self.depth = 0

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        running = self._stack[-1] if self._stack else _Running(None)
        owner = running.module
        if owner is None or func not in NAMES:
            return func(*args, **kwargs)
        h = args[0] if args else kwargs.get("input")
        if not isinstance(h, Tensor) or not self._watcher.wants(owner):
            return func(*args, **kwargs)
        self._functions.found.add(owner)
        name = NAMES[func]
        options = dict(kwargs)
        if len(args) > 1 and name in _FIRST_OPTION:
            options[_FIRST_OPTION[name]] = args[1]
        in_place = func.__name__.endswith("_") or any(option is True for option in (*args[1:], kwargs.get("inplace")))
        entered = h.detach().clone() if in_place else h.detach()
        x = func(*args, **kwargs)
        number = running.called[name] = running.called.get(name, 0) + 1
        label = name if number == 1 else f"{name}_{number}"
        self._watcher.function_called(owner, label, entered, saturation(_CHOICES[name], options), x)
        return x


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that a module calls directly; lists of modules are not called themselves."""
    for part in module.children():
        if isinstance(part, nn.ModuleList | nn.ModuleDict) and is_composite(part):
            yield from _parts(part)
        else:
            yield part
