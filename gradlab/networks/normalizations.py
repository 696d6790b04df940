"""The torch module of each normalization."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gradlab.choices import Normalization

_MODULES: Mapping[str, Callable[[Any, int], nn.Module | None]] = {
    "none": lambda choice, units: None,
    "batch_norm": lambda choice, units: nn.BatchNorm1d(units),
}


def module(choice: Normalization, units: int) -> nn.Module | None:
    """The module that normalizes (batch, units); None where nothing is normalized."""
    return _MODULES[choice.name](choice, units)
