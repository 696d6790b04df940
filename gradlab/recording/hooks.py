"""Hooks that leave no trace in what users do with their model while it is recorded, and that raise no errors."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradlab.recording.guard import Guard

NO_HOOK = (getattr, (contextlib.nullcontext(), "__exit__"))
"""How a file is told to make a hook that does nothing, of what Python has: who reads the file needs no gradlab."""


class Hook:
    """A hook on a module. In a copy of the module, or a file of it, the hook does nothing.

    Args:
        function: called with `first`, and then with whatever the hook is called with.
        first: the first argument.
        guard: what becomes of an error.
        where: what could not be recorded then.
    """

    __slots__ = ("_first", "_function", "_guard", "_where")

    def __init__(self, function: Callable[..., Any], first: Any, guard: Guard, where: str) -> None:
        self._function = function
        self._first = first
        self._guard = guard
        self._where = where

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        try:
            return self._function(self._first, *arguments)
        except Exception as error:
            self._guard.failed(self._where, error)

    def __deepcopy__(self, memo: Any) -> "Callable[..., None]":
        return nothing

    def __reduce__(self) -> Any:
        return NO_HOOK


class DeltaHook(functools.partial[None]):
    """A hook of a tensor. A file of the tensor does not hold the hook, and PyTorch need not warn of that."""

    __torch_unserializable__ = True


nothing: Callable[..., None] = contextlib.nullcontext().__exit__
"""What a hook becomes in a copy; the copy can be saved, too."""


class OutputMethods(NamedTuple):
    """What a native hook of outputs leaves to Python.

    Attributes:
        describe: makes a `Call` of the sizes of output and input, and the output's format.
        on_output: a hook that takes any output.
        on_delta: takes any gradient of an output: the fields of the step, the row of the call, the gradient.
        on_any: is told of every output while `Fields.undecided`.
    """

    describe: Callable[[int, int, torch.dtype], Any]
    on_output: Hook
    on_delta: Callable[[Any, int, Tensor], None]
    on_any: Callable[[Tensor], None]
