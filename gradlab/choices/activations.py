"""Activations φ(x)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from gradlab.choices.base import Choice, Positive, by_name


class Identity(Choice):
    """x: a linear network, the reference case of every theory."""

    name: Literal["identity"] = "identity"


class Sigmoid(Choice):
    """1 / (1 + exp(−x)), the logistic function: slope at most 1/4, so deep stacks vanish."""

    name: Literal["sigmoid"] = "sigmoid"


class HardSigmoid(Choice):
    """clip(x/6 + 1/2, 0, 1): the logistic function in three straight pieces."""

    name: Literal["hard_sigmoid"] = "hard_sigmoid"


class Tanh(Choice):
    """tanh x: zero-centred, slope 1 at the origin."""

    name: Literal["tanh"] = "tanh"


class HardTanh(Choice):
    """clip(x, −1, 1): tanh in three straight pieces."""

    name: Literal["hard_tanh"] = "hard_tanh"


class Softsign(Choice):
    """x / (1 + |x|): tanh's shape with slower saturation (Glorot & Bengio 2010)."""

    name: Literal["softsign"] = "softsign"


class Softplus(Choice):
    """log(1 + exp(βx)) / β: a smooth ReLU."""

    name: Literal["softplus"] = "softplus"
    beta: Positive = 1.0
    """Sharpness β of the bend; large values approach ReLU."""


class ReLU(Choice):
    """max(0, x): keeps half of the signal, so it wants twice the variance (He et al. 2015)."""

    name: Literal["relu"] = "relu"


class ReLU6(Choice):
    """min(max(0, x), 6)."""

    name: Literal["relu6"] = "relu6"


class LeakyReLU(Choice):
    """x where x > 0, else negative_slope · x: never quite dead (Maas et al. 2013)."""

    name: Literal["leaky_relu"] = "leaky_relu"
    negative_slope: float = 0.01
    """Slope for x < 0."""


class PReLU(Choice):
    """A leaky ReLU that learns its slope, one a layer (He et al. 2015)."""

    name: Literal["prelu"] = "prelu"
    init: float = 0.25
    """Slope for x < 0 at the start."""


class ELU(Choice):
    """x where x > 0, else α(exp x − 1): tends to −α (Clevert et al. 2016)."""

    name: Literal["elu"] = "elu"
    alpha: Positive = 1.0
    """The value α that is approached, negated, for x → −∞."""


class CELU(Choice):
    """max(0, x) + min(0, α(exp(x/α) − 1)): ELU with a continuous slope for every α (Barron 2017)."""

    name: Literal["celu"] = "celu"
    alpha: Positive = 1.0
    """The value α that is approached, negated, for x → −∞."""


class SELU(Choice):
    """λ·ELU with the α and λ that make N(0, 1) a fixed point (Klambauer et al. 2017)."""

    name: Literal["selu"] = "selu"


class GELU(Choice):
    """x·Φ(x) (Hendrycks & Gimpel 2016)."""

    name: Literal["gelu"] = "gelu"
    approximate: Literal["none", "tanh"] = "none"
    """`tanh` for the approximation GPT-2 uses."""


class SiLU(Choice):
    """x·sigmoid(x), also called swish."""

    name: Literal["silu"] = "silu"


class Mish(Choice):
    """x·tanh(softplus(x)) (Misra 2019)."""

    name: Literal["mish"] = "mish"


ACTIVATIONS = by_name(
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
)

ALIASES: Mapping[str, str] = MappingProxyType({"logistic": "sigmoid", "linear": "identity", "swish": "silu"})
"""Other words for activations."""
