"""Which modules of a network are recorded, and as what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradlab import choices
from gradlab.choices import Choice
from gradlab.networks.activations import activation

_ACTIVATIONS: Mapping[type[nn.Module], Callable[[Any], Choice]] = {
    nn.Identity: lambda _: choices.Identity(),
    nn.Sigmoid: lambda _: choices.Sigmoid(),
    nn.Hardsigmoid: lambda _: choices.HardSigmoid(),
    nn.Tanh: lambda _: choices.Tanh(),
    nn.Hardtanh: lambda _: choices.HardTanh(),
    nn.Softsign: lambda _: choices.Softsign(),
    nn.Softplus: lambda m: choices.Softplus(beta=float(m.beta)),
    nn.ReLU: lambda _: choices.ReLU(),
    nn.ReLU6: lambda _: choices.ReLU6(),
    nn.LeakyReLU: lambda m: choices.LeakyReLU(negative_slope=float(m.negative_slope)),
    nn.PReLU: lambda m: choices.PReLU(init=float(m.init)),
    nn.ELU: lambda m: choices.ELU(alpha=float(m.alpha)),
    nn.CELU: lambda m: choices.CELU(alpha=float(m.alpha)),
    nn.SELU: lambda _: choices.SELU(),
    nn.GELU: lambda m: choices.GELU(approximate=m.approximate),
    nn.SiLU: lambda _: choices.SiLU(),
    nn.Mish: lambda _: choices.Mish(),
}
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class Place:
    """A recorded module.

    Attributes:
        layer: 0 for the first weight layer; norms and activations carry the number of the weight layer before them.
        name: the module's qualified name.
        kind: `weight`, `norm`, `activation`, or `output` for the last weight layer.
        module: the module itself.
        saturation: intervals of the module's input in which it is saturated; None where that has no meaning.
    """

    layer: int
    name: str
    kind: str
    module: nn.Module
    saturation: tuple[tuple[float, float], ...] | None = None


def layout(model: nn.Module) -> list[Place]:
    """The weight layers, norms and activations of a network, in the order in which it registers them."""
    places: list[Place] = []
    layer = -1
    for name, module in model.named_modules():
        if type(module) in _ACTIVATIONS:
            saturation = activation(_ACTIVATIONS[type(module)](module)).saturation
            places.append(Place(max(layer, 0), name, "activation", module, saturation))
        elif isinstance(module, _NORMS):
            places.append(Place(max(layer, 0), name, "norm", module))
        elif isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.ndim >= 2:
            layer += 1
            places.append(Place(layer, name, "weight", module))
    last = max((index for index, place in enumerate(places) if place.kind == "weight"), default=None)
    if last is not None and layer > 0:
        output = places[last]
        places[last] = Place(output.layer, output.name, "output", output.module)
    return places
