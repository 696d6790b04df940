"""What a model is made of, in a form that can be compared in a few microseconds."""

import operator
from itertools import chain

import torch
from torch import nn

from gradlab.recording.torch_private import parts

_requires_grad = operator.attrgetter("requires_grad")


class Structure:
    """The modules and parameters of a model, and which parameters are trained.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
        homes = [home for module in modules for home in parts(module)]
        self._empty = [home for home in homes if not home]  # most are, and going through their values costs most
        self._filled = [home for home in homes if home]
        self._objects = list(chain.from_iterable(map(dict.values, self._filled)))
        self._parameters = list(model.parameters())
        self._trained = list(map(_requires_grad, self._parameters))
        self._lazy = [each for each in self._parameters if is_lazy(each)]

    @property
    def is_lazy(self) -> bool:
        """Whether there are parameters that wait for their entries."""
        return bool(self._lazy)

    def has_changed(self) -> bool:
        """Whether modules or parameters were added, removed, replaced, frozen, unfrozen or given their entries."""
        return (
            any(self._empty)
            or sum(map(len, self._filled)) != len(self._objects)
            or not all(map(operator.is_, chain.from_iterable(map(dict.values, self._filled)), self._objects))
            or list(map(_requires_grad, self._parameters)) != self._trained
            or not all(map(is_lazy, self._lazy))
        )


def is_lazy(parameter: nn.Parameter) -> bool:
    """Whether a parameter waits for its entries until its module is called first."""
    return isinstance(parameter, nn.UninitializedParameter)
