"""The torch module of each normalization."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gradlab.choices import Normalization


class MapRMSNorm(nn.Module):
    """Each sample to mean square 1 over all channels and positions, then each channel times its γ.

    `nn.RMSNorm` has a γ for each position as well.

    Args:
        channels: of its input.
        eps: ε, which is added to the mean square.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) ─► the same shape."""
        mean_square = x.square().mean((1, 2, 3), keepdim=True)
        return x * torch.rsqrt(mean_square + self.eps) * self.weight[:, None, None]

    def extra_repr(self) -> str:
        """Its arguments."""
        return f"{len(self.weight)}, eps={self.eps}"


def _batch_norm_of_maps(choice: Any, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=choice.epsilon, momentum=choice.momentum)


_MODULES: Mapping[str, Callable[[Any, int], nn.Module]] = {
    "batch_norm": lambda choice, units: nn.BatchNorm1d(units, eps=choice.epsilon, momentum=choice.momentum),
    "layer_norm": lambda choice, units: nn.LayerNorm(units, eps=choice.epsilon),
    "rms_norm": lambda choice, units: nn.RMSNorm(units, eps=choice.epsilon),
}
"""Over rows of units, (batch, units)."""
_OVER_MAPS: Mapping[str, Callable[[Any, int], nn.Module]] = {
    "batch_norm": _batch_norm_of_maps,
    # one group of all channels: layer normalization with a γ and a β for each channel (Wu & He 2018, section 3.1)
    "layer_norm": lambda c, units: nn.GroupNorm(1, units, eps=c.epsilon),
    "rms_norm": lambda c, units: MapRMSNorm(units, c.epsilon),
}
"""Over maps of channels, (batch, channels, height, width), where another module does that."""


def module(choice: Normalization, units: int, *, maps: bool = False) -> nn.Module | None:
    """The module that normalizes, with γ and β as they start; None where nothing is normalized.

    Args:
        choice: the normalization.
        units: of its input (batch, units).
        maps: whether its input is (batch, channels, height, width), and `units` are the channels.
    """
    if choice.where == "none":
        return None
    make = _MODULES[choice.name]
    norm = (_OVER_MAPS.get(choice.name, make) if maps else make)(choice, units)
    for name, parameter in norm.named_parameters():
        nn.init.constant_(parameter, getattr(choice, {"weight": "gamma", "bias": "beta"}[name]))
        parameter.requires_grad_(getattr(choice, "affine", True))
    return norm
