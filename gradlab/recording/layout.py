"""Which modules of a network are recorded, and as what. Any `nn.Module`."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any

from pydantic import ValidationError
from torch import nn

from gradlab import choices
from gradlab.choices import Choice
from gradlab.errors import RecordingError, UserError
from gradlab.networks.activations import Intervals, activation
from gradlab.text import did_you_mean

_ACTIVATIONS: Mapping[type[nn.Module], Callable[[Any], Choice]] = {
    nn.Identity: lambda _: choices.Identity(),
    nn.Sigmoid: lambda _: choices.Sigmoid(),
    nn.Hardsigmoid: lambda _: choices.HardSigmoid(),
    nn.Tanh: lambda _: choices.Tanh(),
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
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""What hands on the output of a module in it, or is never called."""
_KNOWN = ("torch.nn.modules.", "gradlab.networks.")
"""Where modules are defined that call no activation function but those that are modules themselves."""
_CALLS_FUNCTIONS = ("torch.nn.modules.transformer", "torch.nn.modules.adaptive")


@dataclass(frozen=True)
class Place:
    """A recorded module, or an activation function that a module calls.

    Attributes:
        name: the module's qualified name; of a function, that of the module that calls it, a colon, and its own.
        kind: `weight`, `norm`, `activation`, `block` for a module made of others, `other` for what is none of these.
        module: the module itself; of a function, the one that calls it.
        weights: the parameters whose norms its row carries.
        saturation: intervals of an activation's input in which it is saturated; None where that has no meaning.
        in_place: whether it overwrites its input, which therefore has to be looked at before.
    """

    name: str
    kind: str
    module: nn.Module
    weights: tuple[nn.Parameter, ...] = ()
    saturation: Intervals | None = None
    in_place: bool = False


def layout(model: nn.Module, layers: str | Sequence[str] | None = None) -> list[Place]:
    """The modules of a network that compute something, in the order in which it registers them.

    Args:
        model: the network.
        layers: patterns of qualified names, as in a shell: `encoder.*`, `*.attention`; all by default.

    Raises:
        UserError: no module has a name like that.
    """
    patterns = [layers] if isinstance(layers, str) else layers
    places = []
    names = []
    for name, module in model.named_modules():
        if type(module) in _CONTAINERS or (is_composite(module) and name == "" and not own_weights(module)):
            continue
        names.append(name)
        if patterns is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            places.append(_place(name, module))
    if patterns is not None and not places:
        near = did_you_mean(patterns[0], names) if patterns else ""
        shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise UserError(
            f"no module of the model is named like {', '.join(patterns)}{near}", fix=f"Modules are: {shown}."
        )
    return places


def refuse_compiled(model: nn.Module) -> None:
    """Raise `RecordingError` where hooks would not be called: in a compiled model."""
    for name, module in model.named_modules():
        if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
            where = f"its module {name!r}" if name else "it"
            raise RecordingError(
                f"the model cannot be watched: {where} is compiled, and compiled code calls no hooks",
                fix="Train it without torch.compile while you look at it; the gradients are the same.",
            )


def _place(name: str, module: nn.Module) -> Place:
    in_place = bool(getattr(module, "inplace", False))
    weights = own_weights(module)
    if type(module) in _ACTIVATIONS:
        return Place(name, "activation", module, weights, saturation(_ACTIVATIONS[type(module)], module), in_place)
    if type(module) is nn.Hardtanh:  # at its limits PyTorch's slope is 0
        limits = ((-inf, nextafter(module.min_val, inf)), (nextafter(module.max_val, -inf), inf))
        return Place(name, "activation", module, (), limits, in_place)
    if isinstance(module, _NORMS) or (weights and weights[0].ndim < 2 and "norm" in type(module).__name__.lower()):
        return Place(name, "norm", module, weights)
    if any(weight.ndim >= 2 for weight in weights):
        return Place(name, "weight", module, weights)
    if type(module).__module__ == "torch.nn.modules.activation" and not is_composite(module):
        return Place(name, "activation", module, weights, None, in_place)
    return Place(name, "block" if is_composite(module) else "other", module, weights, None, in_place)


def saturation(choice: Callable[[Any], Choice | None], options: Any) -> Intervals | None:
    """Where an activation is saturated; None where that is not known, or its options are stranger than a config's."""
    try:
        chosen = choice(options)
    except (ValidationError, TypeError):
        return None
    return None if chosen is None else activation(chosen).saturation


def is_composite(module: nn.Module) -> bool:
    """Whether a module is made of others."""
    return next(module.children(), None) is not None


def own_weights(module: nn.Module) -> tuple[nn.Parameter, ...]:
    """The parameters that stand for a module: its `weight`, else its matrices, else whatever it has; not its parts'."""
    own = dict(module.named_parameters(recurse=False))
    if "weight" in own:
        return (own["weight"],)
    matrices = tuple(parameter for parameter in own.values() if parameter.ndim >= 2)
    return matrices or tuple(own.values())


def may_call_functions(module: nn.Module) -> bool:
    """Whether a module may call activation functions itself, as in `F.relu(self.conv(x))`."""
    home = type(module).__module__
    return home.startswith(_CALLS_FUNCTIONS) or not home.startswith(_KNOWN)
