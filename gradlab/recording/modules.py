"""Which modules of a network are recorded, and as what. Any `nn.Module`.

An activation is recognized by its traits (`gradlab.choices.activations`): its class in `torch.nn`, whose attributes are
called like the options of the activation.
"""

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any

from pydantic import ValidationError
from torch import nn

from gradlab.choices.activations import ACTIVATIONS, Activation
from gradlab.errors import UserError
from gradlab.nearest import named
from gradlab.networks.activations import Intervals, activation
from gradlab.networks.elementwise import Elementwise
from gradlab.networks.own import OwnActivation
from gradlab.recording.shards import Shards
from gradlab.recording.structure import is_lazy
from gradlab.recording.torch_private import NormBase, bare_name, is_compiled_wrapper
from gradlab.recording.torch_private_sharding import is_sharding_wrapper

_ACTIVATIONS = {getattr(nn, choice.traits.torch_module, None): choice for choice in ACTIVATIONS.values()}
"""The activations by their classes in `torch.nn`."""
_NORMS = (NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Modules that return the output of a module in them, or are never called."""
_WITHOUT_FUNCTIONS = ("torch.nn.modules.", "gradlab.networks.")
"""Packages whose modules call no activation functions, …"""
_WITH_FUNCTIONS = ("torch.nn.modules.transformer", "torch.nn.modules.adaptive")
"""… except these."""


@dataclass(frozen=True)
class RecordedModule:
    """A module that is recorded, or an activation function that a module calls.

    Attributes:
        name: the module's qualified name; of a function, that of the module that calls it, a colon, and its own.
        kind: `weight`, `norm`, `activation`, `block` for a module made of others, `other` for what is none of these.
        module: the module itself; of a function, the one that calls it.
        weights: the parameters whose norms its row carries.
        saturation: intervals of the input in which an activation is saturated; None for other modules, and where the
            intervals are not known.
        in_place: whether it overwrites its input, which therefore has to be copied before.
        is_function: whether it is a function.
    """

    name: str
    kind: str
    module: nn.Module
    weights: tuple[nn.Parameter, ...] = ()
    saturation: Intervals | None = None
    in_place: bool = False
    is_function: bool = False


def find_modules(model: nn.Module, layers: str | Sequence[str] | None = None) -> list[RecordedModule]:
    """The modules of a network that compute something, in the order in which it registers them.

    Args:
        model: the network.
        layers: patterns of qualified names, as in a shell: `encoder.*`, `*.attention`; all by default.

    Raises:
        UserError: no module has a name like that.
    """
    patterns = [layers] if isinstance(layers, str) else layers
    shards = Shards(model)
    stand_ins, known = shards.stand_ins(), shards.dimensions()
    found = []
    names = []
    for path, module in model.named_modules():
        name = bare_name(path)
        if is_compiled_wrapper(module) or is_sharding_wrapper(module) or type(module) in _CONTAINERS:
            continue
        if is_composite(module) and name == "" and not has_own_parameters(module):
            continue
        names.append(name)
        if patterns is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            recorded = _recorded(name, module, known)
            weights = tuple(stand_ins.get(weight, weight) for weight in recorded.weights)
            found.append(dataclasses.replace(recorded, weights=weights) if stand_ins else recorded)
    if patterns is not None and not found:
        near = named(patterns[0] if patterns else "", names, "modules")
        raise UserError(f"no module of the model is named like {', '.join(patterns)}{near}")
    return found


def _recorded(name: str, module: nn.Module, known: Mapping[nn.Parameter, int]) -> RecordedModule:
    in_place = bool(getattr(module, "inplace", False))
    weights = own_weights(module, known)
    if type(module) is nn.Hardtanh:  # its limits are no options of the activation; at them PyTorch's slope is 0
        limits = ((-inf, nextafter(module.min_val, inf)), (nextafter(module.max_val, -inf), inf))
        return RecordedModule(name, "activation", module, (), limits, in_place)
    if isinstance(module, Elementwise | OwnActivation):
        return RecordedModule(name, "activation", module, (), activation(module.choice).saturation)
    if type(module) in _ACTIVATIONS:
        intervals = saturation(_ACTIVATIONS[type(module)], vars(module))
        return RecordedModule(name, "activation", module, weights, intervals, in_place)
    if isinstance(module, _NORMS) or (
        weights and dimensions(weights[0], known) < 2 and "norm" in type(module).__name__.lower()
    ):
        return RecordedModule(name, "norm", module, weights)
    if any(dimensions(weight, known) >= 2 for weight in weights):
        return RecordedModule(name, "weight", module, weights)
    if type(module).__module__ == "torch.nn.modules.activation" and not is_composite(module):
        return RecordedModule(name, "activation", module, weights, None, in_place)
    return RecordedModule(name, "block" if is_composite(module) else "other", module, weights, None, in_place)


def saturation(choice: type[Activation], options: Mapping[str, Any]) -> Intervals | None:
    """Where an activation is saturated.

    Args:
        choice: the activation.
        options: values for its options; those that are not there have their defaults, and others are ignored.

    Returns:
        Intervals of its input; None where the options are such that no config could have them.
    """
    given = {name: value for name, value in options.items() if name in choice.model_fields and name != "name"}
    try:
        for name, value in given.items():
            given[name] = float(value) if isinstance(choice.model_fields[name].default, float) else value
        return activation(choice.model_validate(given)).saturation
    except (ValidationError, TypeError, ValueError):
        return None


def is_composite(module: nn.Module) -> bool:
    """Whether a module is made of others."""
    return next(module.children(), None) is not None


def own_weights(module: nn.Module, known: Mapping[nn.Parameter, int]) -> tuple[nn.Parameter, ...]:
    """The parameters that stand for a module: its `weight`, else its matrices, else whatever it has; not its parts'."""
    own = dict(module.named_parameters(recurse=False))
    if "weight" in own:
        return (own["weight"],)
    matrices = tuple(parameter for parameter in own.values() if dimensions(parameter, known) >= 2)
    return matrices or tuple(own.values())


def dimensions(parameter: nn.Parameter, known: Mapping[nn.Parameter, int]) -> int:
    """The dimensions of a parameter: one without entries yet is a matrix for all that is known.

    Args:
        parameter: the parameter.
        known: the dimensions of parameters that have lost their shape.
    """
    return 2 if is_lazy(parameter) else known.get(parameter, parameter.ndim)


def has_own_parameters(module: nn.Module) -> bool:
    """Whether a module has parameters that are in no part's row: its own, and those in lists and dicts of it."""
    if next(iter(module.parameters(recurse=False)), None) is not None:
        return True
    lists = (part for part in module.children() if type(part) in _CONTAINERS and not isinstance(part, nn.Sequential))
    return any(has_own_parameters(part) for part in lists)


def may_call_functions(module: nn.Module) -> bool:
    """Whether a module may call activation functions itself, as in `F.relu(self.conv(x))`."""
    home = type(module).__module__
    return home.startswith(_WITH_FUNCTIONS) or not home.startswith(_WITHOUT_FUNCTIONS)
