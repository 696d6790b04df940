"""A model and the random states as they were, whatever was computed in between."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gradlab.networks.random_state import kept_random_state
from gradlab.recording.torch_private import put_gradient_hooks, take_gradient_hooks

CONTAINERS = (dict, list, set, deque)
"""Attributes whose entries are put back, too."""


class Restorer:
    """Remembers what a model is, and puts it back.

    That is: the attributes of all modules, hooks and modes among them, with the entries of lists, dicts and sets; the
    values of parameters, buffers and other tensors in attributes; their gradients, and whether they require one.
    Until then there are no gradients, and nothing is called when one is there, so that no optimizer steps.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = [_Attributes(module) for module in model.modules()]
        self._tensors: dict[int, _Value] = {}
        self._gradients: dict[int, _Gradient] = {}
        held = (tensor for module in self._modules for tensor in module.tensors())
        for tensor in (*model.parameters(), *model.buffers(), *held):
            if id(tensor) not in self._tensors:
                self._tensors[id(tensor)] = _Value(tensor)
        self.keep_gradients(value.tensor for value in self._tensors.values())

    def keep_gradients(self, tensors: Iterable[Tensor]) -> None:
        """Put back the gradients of these tensors, too, and take them away until then."""
        for tensor in tensors:
            if tensor.is_leaf and id(tensor) not in self._gradients:
                self._gradients[id(tensor)] = _Gradient(tensor)

    def restore(self) -> None:
        """Put everything back."""
        for module in self._modules:
            module.restore()
        for value in self._tensors.values():
            value.restore()
        for gradient in self._gradients.values():
            gradient.restore()


@contextmanager
def restored(model: nn.Module) -> Iterator[Restorer]:
    """Gradients are enabled inside; afterwards the model, the random states and autograd's mode are as they were."""
    with kept_random_state(), torch.inference_mode(False), torch.enable_grad():
        restorer = Restorer(model)
        try:
            yield restorer
        finally:
            restorer.restore()


class _Attributes:
    """The attributes of a module."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._mode = module.training
        scripted = isinstance(module, torch.jit.ScriptModule)  # its attributes are not those of a Python object
        self._values = {} if scripted else dict(vars(module))
        self._scripted = scripted
        self._contents = [(value, _entries(value)) for value in self._values.values() if isinstance(value, CONTAINERS)]

    def tensors(self) -> Iterator[Tensor]:
        """The tensors in the attributes."""
        entries = (entry for _, (_, values) in self._contents for entry in values)
        for value in (*self._values.values(), *entries):
            if isinstance(value, Tensor):
                yield value

    def restore(self) -> None:
        if self._scripted:
            self._module.training = self._mode
            return
        attributes = vars(self._module)
        for name in [name for name in attributes if name not in self._values]:
            del attributes[name]
        attributes.update(self._values)
        for container, entries in self._contents:
            keys, values = _entries(container)
            same = len(values) == len(entries[1]) and all(map(_is, (*keys, *values), (*entries[0], *entries[1])))
            if not same:
                _fill(container, *entries)


def _entries(container: Any) -> tuple[list[Any], list[Any]]:
    """The keys of a container, if it has any, and its values."""
    return (list(container), list(container.values())) if isinstance(container, dict) else ([], list(container))


def _fill(container: Any, keys: list[Any], values: list[Any]) -> None:
    container.clear()
    if isinstance(container, dict):
        container.update(zip(keys, values, strict=True))
    elif isinstance(container, set):
        container.update(values)
    else:
        container.extend(values)


def _is(one: Any, other: Any) -> bool:
    return one is other


class _Value:
    """The entries of a tensor, and whether it requires a gradient."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self._copy = tensor.detach().clone()
        self._requires_grad = tensor.requires_grad

    def restore(self) -> None:
        tensor, copy = self.tensor, self._copy
        if tensor.is_leaf and tensor.requires_grad != self._requires_grad:
            tensor.requires_grad_(self._requires_grad)
        now = tensor.data  # what is written to it does not disturb graphs that somebody else has made
        if (now.shape, now.dtype, now.device) != (copy.shape, copy.dtype, copy.device):
            tensor.data = copy
        elif not now.is_meta and not _same(now, copy):
            now.copy_(copy)


def _same(one: Tensor, other: Tensor) -> bool:
    try:
        return torch.equal(one, other)
    except RuntimeError:  # some formats cannot be compared
        return False


class _Gradient:
    """The gradient of a leaf, and what is called when a new one is there."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._gradient = tensor.grad
        self._hooks = take_gradient_hooks(tensor)
        tensor.grad = None

    def restore(self) -> None:
        self._tensor.grad = self._gradient
        put_gradient_hooks(self._tensor, self._hooks)
