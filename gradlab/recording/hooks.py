"""Hooks that leave no trace in what users do with their model while it is recorded."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Hook:
    """A hook on a module. In a copy of the module, or a file of it, the hook does nothing.

    Args:
        function: called with `first`, and then with whatever the hook is called with.
        first: the first argument.
    """

    __slots__ = ("_first", "_function")

    def __init__(self, function: Callable[..., Any], first: Any) -> None:
        self._function = function
        self._first = first

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._function(self._first, *arguments)

    def __deepcopy__(self, memo: Any) -> "Callable[..., None]":
        return nothing

    def __reduce__(self) -> Any:
        return (no_hook, ())


class DeltaHook(functools.partial[None]):
    """A hook of a tensor. A file of the tensor does not hold the hook, and PyTorch need not warn of that."""

    __torch_unserializable__ = True


def nothing(*arguments: Any) -> None:
    """What a hook becomes in a copy."""


def no_hook() -> Callable[..., None]:
    """What a hook becomes in a file."""
    return nothing


class HookFields:
    """What the hooks that are called most need of a step; `native/tensors.inc` has the same class in C.

    Attributes:
        open: whether native hooks may record. They may while nothing but sums is wanted.
        undecided: whether `OutputMethods.on_any` has to be told of every output.
        backward_pass: the number of the backward pass whose gradients are coming; −1 outside of one.
        base: the address of the first row of the sums of calls in main memory.
        rows: how many rows there is room for.
        seconds: what the hooks have cost in this step.
        calls: the calls in main memory so far.
        delta_sizes: for each call, the number of entries of the gradient that its output received; 0 at first.
    """

    __slots__ = ("backward_pass", "base", "calls", "delta_sizes", "open", "rows", "seconds", "undecided")

    def __init__(self, base: int, rows: int) -> None:
        self.open = self.undecided = False
        self.backward_pass = -1
        self.base, self.rows = base, rows
        self.seconds = 0.0
        self.calls: list[Any] = []
        self.delta_sizes: list[int] = []


class OutputMethods(NamedTuple):
    """What a native hook of outputs leaves to Python.

    Attributes:
        describe: makes a `Call` of the sizes of output and input, and the output's format.
        on_output: a hook that takes any output.
        on_delta: takes any gradient of an output: the fields of the step, the row of the call, the gradient.
        on_any: is told of every output while `HookFields.undecided`.
    """

    describe: Callable[[int, int, torch.dtype], Any]
    on_output: Hook
    on_delta: Callable[[HookFields, int, Tensor], None]
    on_any: Callable[[Tensor], None]
