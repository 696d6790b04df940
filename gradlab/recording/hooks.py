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
