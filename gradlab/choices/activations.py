"""Activations φ(x): their options, and beside each what is known of it (`Traits`).

What an activation computes stands in `gradlab.networks.activations`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from gradlab.choices.base import Choice, Code, Positive, by_name
from gradlab.user_code import function_name

# Initializers that were made for an activation, the usual one first.
GLOROT = ("glorot_uniform", "glorot_normal", "xavier_uniform", "xavier_normal", "orthogonal", "lsuv")
"""For slope 1 at the origin (Glorot & Bengio 2010, §4.2)."""
HE = ("he_normal", "he_uniform", "kaiming_normal", "kaiming_uniform", "lsuv")
"""For activations that keep half of the signal (He et al. 2015, eq. 10)."""
LECUN = ("lecun_normal", "lecun_uniform", "lsuv")
"""For self-normalizing networks (Klambauer et al. 2017)."""


@dataclass(frozen=True)
class Traits:
    """What rules, theory and the recorder have to know of an activation.

    Attributes:
        torch_module: name of its class in `torch.nn`; empty where there is none. Such modules are recognized in watched
            models. The options of the activation are attributes of the module, under the same names.
        torch_functions: names of the functions that compute it, in `torch`, `torch.nn.functional` or as a method of a
            tensor; a name with `_` behind it is the same function in place. Empty where a call of the function does not
            tell the options.
        bounded: φ has a lower and an upper bound, so that a unit saturates for large inputs.
        can_die: φ is exactly 0 with slope 0 on one side, so that a unit may output 0 for every input.
        homogeneous: φ(c x) = c φ(x) for c > 0, so that no fixed point pulls the scatter of one layer back in the next.
        zero_centred: φ(0) = 0. Where it is not, the slope is below 1 around a positive mean, and no initializer keeps a
            deep network alive.
        half_stable: there is a half-stable fixed point near σ_w² = 2 (Hayou et al. 2019): signals settle there from one
            side only, and single networks scatter widely around the theory.
        initializers: names of the initializers made for it, the usual one first.
    """

    torch_module: str = ""
    torch_functions: tuple[str, ...] = ()
    bounded: bool = False
    can_die: bool = False
    homogeneous: bool = False
    zero_centred: bool = True
    half_stable: bool = False
    initializers: tuple[str, ...] = HE


MEASURED_TRAITS = ("bounded", "can_die", "homogeneous", "zero_centred", "half_stable")
"""The traits that are measured of an activation of the user's own."""


class Activation(Choice):
    """The base of all activations."""

    traits: ClassVar[Traits]
    """What is known of it."""


class Identity(Activation):
    """x: a linear network, the reference case of every theory."""

    name: Literal["identity"] = "identity"
    traits = Traits(torch_module="Identity", homogeneous=True, initializers=GLOROT)


class Sigmoid(Activation):
    """1 / (1 + exp(−x)), the logistic function: slope at most 1/4, so deep stacks vanish."""

    name: Literal["sigmoid"] = "sigmoid"
    traits = Traits(
        torch_module="Sigmoid", torch_functions=("sigmoid",), bounded=True, zero_centred=False, initializers=GLOROT
    )


class HardSigmoid(Activation):
    """clip(x/6 + 1/2, 0, 1): the logistic function in three straight pieces."""

    name: Literal["hard_sigmoid"] = "hard_sigmoid"
    traits = Traits(
        torch_module="Hardsigmoid",
        torch_functions=("hardsigmoid",),
        bounded=True,
        can_die=True,
        zero_centred=False,
        initializers=GLOROT,
    )


class Tanh(Activation):
    """tanh x: zero-centred, slope 1 at the origin."""

    name: Literal["tanh"] = "tanh"
    traits = Traits(torch_module="Tanh", torch_functions=("tanh",), bounded=True, initializers=GLOROT)


class HardTanh(Activation):
    """clip(x, −1, 1): tanh in three straight pieces."""

    name: Literal["hard_tanh"] = "hard_tanh"
    traits = Traits(torch_module="Hardtanh", torch_functions=("hardtanh",), bounded=True, initializers=GLOROT)


class Softsign(Activation):
    """x / (1 + |x|): tanh's shape with slower saturation (Glorot & Bengio 2010)."""

    name: Literal["softsign"] = "softsign"
    traits = Traits(torch_module="Softsign", torch_functions=("softsign",), bounded=True, initializers=GLOROT)


class Softplus(Activation):
    """log(1 + exp(βx)) / β: a smooth ReLU."""

    name: Literal["softplus"] = "softplus"
    traits = Traits(torch_module="Softplus", torch_functions=("softplus",), zero_centred=False, initializers=GLOROT)
    beta: Positive = 1.0
    """Sharpness β of the bend; large values approach ReLU."""


class ReLU(Activation):
    """max(0, x): keeps half of the signal, so it wants twice the variance (He et al. 2015)."""

    name: Literal["relu"] = "relu"
    traits = Traits(torch_module="ReLU", torch_functions=("relu",), can_die=True, homogeneous=True)


class ReLU6(Activation):
    """min(max(0, x), 6)."""

    name: Literal["relu6"] = "relu6"
    traits = Traits(torch_module="ReLU6", torch_functions=("relu6",), bounded=True, can_die=True)


class LeakyReLU(Activation):
    """x where x > 0, else negative_slope · x: never quite dead (Maas et al. 2013)."""

    name: Literal["leaky_relu"] = "leaky_relu"
    traits = Traits(torch_module="LeakyReLU", torch_functions=("leaky_relu",), homogeneous=True)
    negative_slope: float = 0.01
    """Slope for x < 0."""


class PReLU(Activation):
    """A leaky ReLU that learns its slope, one a layer (He et al. 2015)."""

    name: Literal["prelu"] = "prelu"
    traits = Traits(torch_module="PReLU", homogeneous=True)
    init: float = 0.25
    """Slope for x < 0 at the start."""


class ELU(Activation):
    """x where x > 0, else α(exp x − 1): tends to −α (Clevert et al. 2016)."""

    name: Literal["elu"] = "elu"
    traits = Traits(torch_module="ELU", torch_functions=("elu",))
    alpha: Positive = 1.0
    """The value α that is approached, negated, for x → −∞."""


class CELU(Activation):
    """max(0, x) + min(0, α(exp(x/α) − 1)): ELU with a continuous slope for every α (Barron 2017)."""

    name: Literal["celu"] = "celu"
    traits = Traits(torch_module="CELU", torch_functions=("celu",))
    alpha: Positive = 1.0
    """The value α that is approached, negated, for x → −∞."""


class SELU(Activation):
    """λ·ELU with the α and λ that make N(0, 1) a fixed point (Klambauer et al. 2017)."""

    name: Literal["selu"] = "selu"
    traits = Traits(torch_module="SELU", torch_functions=("selu",), initializers=LECUN)


class GELU(Activation):
    """x·Φ(x) (Hendrycks & Gimpel 2016)."""

    name: Literal["gelu"] = "gelu"
    traits = Traits(torch_module="GELU", torch_functions=("gelu",), half_stable=True)
    approximate: Literal["none", "tanh"] = "none"
    """`tanh` for the approximation GPT-2 uses."""


class SiLU(Activation):
    """x·sigmoid(x), also called swish."""

    name: Literal["silu"] = "silu"
    traits = Traits(torch_module="SiLU", torch_functions=("silu",), half_stable=True)


class Mish(Activation):
    """x·tanh(softplus(x)) (Misra 2019)."""

    name: Literal["mish"] = "mish"
    traits = Traits(torch_module="Mish", torch_functions=("mish",), half_stable=True)


class PythonActivation(Activation):
    """Your own: a Python function of a tensor, whose derivative comes from autograd."""

    name: Literal["python"] = "python"
    traits = Traits(initializers=())
    code: ClassVar[str] = "function"
    function: Code
    """`acts.py:bump` for the function bump of the file acts.py, or `package.module:bump`. It takes a tensor of any
    shape and returns one of that shape, each number of which is computed from one number alone."""

    @property
    def label(self) -> str:
        """The name of the function."""
        return function_name(self.function)


ACTIVATIONS: Mapping[str, type[Activation]] = by_name(
    Identity,
    Sigmoid,
    HardSigmoid,
    Tanh,
    HardTanh,
    Softsign,
    Softplus,
    ReLU,
    ReLU6,
    LeakyReLU,
    PReLU,
    ELU,
    CELU,
    SELU,
    GELU,
    SiLU,
    Mish,
    PythonActivation,
)

ALIASES: Mapping[str, str] = MappingProxyType({"logistic": "sigmoid", "linear": "identity", "swish": "silu"})
"""Other words for activations."""
