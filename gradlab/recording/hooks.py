"""Hooks that leave no trace in what users do with their model meanwhile."""

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import Tensor


class Hook:
    """A hook on a module that is no part of it: a copy of the module, or a file of it, has a hook that does nothing.

    Args:
        function: called with `first` and then with whatever the hook is called with.
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
    """A hook of a tensor. A file of the tensor is without it, which needs no warning."""

    __torch_unserializable__ = True


def nothing(*arguments: Any) -> None:
    """What a hook becomes in a copy."""


def no_hook() -> Callable[..., None]:
    """What a hook becomes in a file."""
    return nothing


def register_hook(tensor: Tensor, function: Callable[[Tensor], None]) -> None:
    """`tensor.register_hook(function)` in half the time: nobody needs the handle that would remove it again."""
    node = tensor.grad_fn
    if tensor._backward_hooks is None and node is not None:
        tensor._backward_hooks = OrderedDict(((-1, function),))
        node._register_hook_dict(tensor)
    else:
        tensor.register_hook(function)
