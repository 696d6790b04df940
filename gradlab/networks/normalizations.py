"""The torch module of each normalization."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gradlab.choices import Normalization

_MODULES: Mapping[str, Callable[[Any, int], nn.Module]] = {
    "batch_norm": lambda choice, units: nn.BatchNorm1d(units, eps=choice.epsilon, momentum=choice.momentum),
    "layer_norm": lambda choice, units: nn.LayerNorm(units, eps=choice.epsilon),
    "rms_norm": lambda choice, units: nn.RMSNorm(units, eps=choice.epsilon),
}


def module(choice: Normalization, units: int) -> nn.Module | None:
    """The module that normalizes (batch, units), with γ and β as they start; None where nothing is normalized."""
    if choice.where == "none":
        return None
    norm = _MODULES[choice.name](choice, units)
    for name, parameter in norm.named_parameters():
        nn.init.constant_(parameter, getattr(choice, {"weight": "gamma", "bias": "beta"}[name]))
        parameter.requires_grad_(getattr(choice, "affine", True))
    return norm
