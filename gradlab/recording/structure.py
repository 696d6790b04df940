"""What a model is made of, in a form that can be compared in a few microseconds."""

from itertools import chain
from typing import Any

import torch
from torch import nn

from gradlab.recording.torch_private import parts


class Structure:
    """The modules and parameters of a model, their names, and which parameters are trained.

    Args:
        model: the model.
        hooks: the functions of `python_hooks`, or the native ones.
    """

    def __init__(self, model: nn.Module, hooks: Any) -> None:
        modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
        self._hooks = hooks
        self._homes = [home for module in modules for home in parts(module)]
        self._contents = [tuple(chain.from_iterable(home.items())) for home in self._homes]
        self._parameters = list(model.parameters())
        self._trained = self._which_are_trained()
        self._lazy = [each for each in self._parameters if is_lazy(each)]

    @property
    def is_lazy(self) -> bool:
        """Whether there are parameters that wait for their entries."""
        return bool(self._lazy)

    def has_changed(self) -> bool:
        """Whether modules or parameters were added, removed, replaced, renamed, frozen, unfrozen or given entries."""
        return (
            not self._hooks.hold(self._homes, self._contents)
            or self._which_are_trained() != self._trained
            or not all(map(is_lazy, self._lazy))
        )

    def _which_are_trained(self) -> bytes:
        found: bytes = self._hooks.identities(self._parameters, "requires_grad")
        return found


def is_lazy(parameter: nn.Parameter) -> bool:
    """Whether a parameter waits for its entries until its module is called first."""
    return isinstance(parameter, nn.UninitializedParameter)
