"""How weights start: the variance of each initializer, and the filling of a weight.

Torch-free until a weight is filled, so that theory can use the variances. A Linear weight is (units, inputs), that of a
convolution (units, inputs, k, k): units and inputs are channels there, and fan_in = k² inputs, fan_out = k² units
(He et al. 2015).
"""

from collections.abc import Callable, Mapping
from math import erf, exp, pi, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from gradlab.choices import Initializer, PythonInitializer

if TYPE_CHECKING:
    from torch import Generator, Tensor

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a standard normal truncated at ± 2: √(1 − 4 φ(2) / (2 Φ(2) − 1))."""
TYPICAL = (64, 64)
"""Fans at which is measured whether the entries of an initializer have a mean, or are all 0."""

assert abs(TRUNCATED_STD**2 - (1 - 4 * exp(-2) / sqrt(2 * pi) / erf(sqrt(2)))) < 1e-15


class Shape(NamedTuple):
    """The shape of a weight.

    Attributes:
        inputs: features, or channels, of the input.
        units: features, or channels, of the output.
        taps: k², the positions that a convolution with a kernel of k × k reads at once.
    """

    inputs: int
    units: int
    taps: int = 1

    @property
    def fan_in(self) -> int:
        """Entries of the input that an entry of the output is made of."""
        return self.taps * self.inputs

    @property
    def fan_out(self) -> int:
        """Entries of the output that an entry of the input goes into, but for strides and borders."""
        return self.taps * self.units


def variance(choice: Initializer, inputs: int, units: int, kernel: int = 1) -> float | None:
    """Var W of an entry; None where the data decide (LSUV).

    Args:
        choice: the initializer.
        inputs: features, or channels, of the input.
        units: features, or channels, of the output.
        kernel: k of a convolution of k × k.
    """
    return _INITIALIZERS[choice.name][0](choice, Shape(inputs, units, kernel * kernel))


def mean(choice: Initializer) -> float:
    """E W of an entry: 0 for every named initializer but the constant one."""
    if isinstance(choice, PythonInitializer):
        return _measured(choice, Shape(*TYPICAL))[0]
    return float(getattr(choice, "value", 0.0))


def fill(choice: Initializer, weight: "Tensor", generator: "Generator") -> None:
    """Fill a weight in place, from the generator alone.

    The draw is in float64 on the CPU, so that every dtype and device starts from the same weights.

    Args:
        choice: the initializer.
        weight: (units, inputs) or (units, inputs, k, k), any dtype and device.
        generator: on the CPU.
    """
    import torch

    drawn = torch.empty(weight.shape, dtype=torch.float64)
    units, inputs, *kernel = weight.shape
    with torch.no_grad():
        known = None if isinstance(choice, PythonInitializer) else variance(choice, inputs, units, *kernel[:1])
        _INITIALIZERS[choice.name][1](choice, drawn, known or 0.0, generator)
        weight.copy_(drawn)


# ------------------------------------------------------------------------------------------------------- variances

Variance = Callable[[Any, Shape], float | None]


def _glorot(choice: Any, shape: Shape) -> float:
    """Glorot & Bengio 2010, eq. 12."""
    return 2 / (shape.fan_in + shape.fan_out)


def _he(choice: Any, shape: Shape) -> float:
    """He et al. 2015, eq. 10."""
    return 2 / shape.fan_in


def _lecun(choice: Any, shape: Shape) -> float:
    """LeCun et al. 1998, eq. 16."""
    return 1 / shape.fan_in


def _scaled(choice: Any, shape: Shape) -> float:
    fan_in, fan_out = shape.fan_in, shape.fan_out
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[choice.mode]
    return float(choice.scale / fan)


def _xavier(choice: Any, shape: Shape) -> float:
    return float(choice.gain * choice.gain * 2 / (shape.fan_in + shape.fan_out))


def _kaiming(choice: Any, shape: Shape) -> float:
    # torch.nn.init.calculate_gain, squared
    gain_squared = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 25 / 9,
        "relu": 2.0,
        "leaky_relu": 2 / (1 + choice.a**2),
        "selu": 9 / 16,
    }[choice.nonlinearity]
    return float(gain_squared / {"fan_in": shape.fan_in, "fan_out": shape.fan_out}[choice.mode])


def _old_standard(choice: Any, shape: Shape) -> float:
    """Glorot & Bengio 2010, eq. 1: U(± 1/√fan_in)."""
    return 1 / (3 * shape.fan_in)


def _orthogonal(choice: Any, shape: Shape) -> float:
    """min(m, n) singular values of `gain` share m·n entries; a convolution's matrix is (units, fan_in)."""
    return float(choice.gain * choice.gain / max(shape.fan_in, shape.units))


# --------------------------------------------------------------------------------------------------------- filling

Fill = Callable[[Any, "Tensor", float, "Generator"], object]
"""Fills a weight for a choice, whose variance is given. What fills with other numbers of the choice ignores it."""


def _truncated(weight: "Tensor", std: float, generator: "Generator") -> None:
    """Normal, redrawn beyond ± 2 std; its standard deviation is TRUNCATED_STD · std."""
    from torch.nn import init

    init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std, generator=generator)


def _normal(choice: Any, weight: "Tensor", variance: float, generator: "Generator") -> None:
    """Keras' `*_normal`: truncated at 2σ, with σ such that the variance is the nominal one."""
    _truncated(weight, sqrt(variance) / TRUNCATED_STD, generator)


def _uniform(choice: Any, weight: "Tensor", variance: float, generator: "Generator") -> None:
    """Uniform on ± √(3 Var)."""
    bound = sqrt(3 * variance)
    weight.uniform_(-bound, bound, generator=generator)


def _variance_scaling(choice: Any, weight: "Tensor", variance: float, generator: "Generator") -> None:
    if choice.distribution == "untruncated_normal":
        weight.normal_(0, sqrt(variance), generator=generator)
    else:
        shape = _uniform if choice.distribution == "uniform" else _normal
        shape(choice, weight, variance, generator)


def _in_torch(function: str, *options: str) -> Fill:
    """PyTorch's name, PyTorch's function."""

    def fill(choice: Any, weight: "Tensor", variance: float, generator: "Generator") -> None:
        from torch.nn import init

        getattr(init, function)(weight, generator=generator, **choice.model_dump(include=set(options)))

    return fill


def _orthogonal_fill(choice: Any, weight: "Tensor", variance: float, generator: "Generator") -> None:
    import torch
    from torch.nn import init

    # a QR decomposition rounds by the number of threads, and the weights may depend on the seed alone
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        init.orthogonal_(weight, gain=getattr(choice, "gain", 1.0), generator=generator)
    finally:
        torch.set_num_threads(threads)


def _measured(choice: Any, shape: Shape) -> tuple[float, float]:
    """E W and Var W of a function of the user."""
    from gradlab.networks import own

    return own.mean_and_variance(choice, *shape)


def _own_fill(choice: Any, weight: "Tensor", variance: float, generator: "Generator") -> None:
    import torch

    from gradlab.networks import own

    own.fill(choice, weight, int(torch.randint(2**62, (), generator=generator)))


# -------------------------------------------------------------------------------------------------------- registry

_INITIALIZERS: Mapping[str, tuple[Variance, Fill]] = {
    "glorot_uniform": (_glorot, _uniform),
    "glorot_normal": (_glorot, _normal),
    "he_uniform": (_he, _uniform),
    "he_normal": (_he, _normal),
    "lecun_uniform": (_lecun, _uniform),
    "lecun_normal": (_lecun, _normal),
    "orthogonal": (_orthogonal, _orthogonal_fill),
    "truncated_normal": (
        lambda c, shape: TRUNCATED_STD**2 * c.std * c.std,
        lambda c, weight, variance, generator: _truncated(weight, c.std, generator),
    ),
    "normal": (
        lambda c, shape: c.std * c.std,
        lambda c, weight, variance, generator: weight.normal_(0, c.std, generator=generator),
    ),
    "uniform": (
        lambda c, shape: c.limit * c.limit / 3,  # ** would raise where * gives infinity
        lambda c, weight, variance, generator: weight.uniform_(-c.limit, c.limit, generator=generator),
    ),
    "zeros": (lambda c, shape: 0.0, lambda c, weight, variance, generator: weight.zero_()),
    "constant": (lambda c, shape: 0.0, lambda c, weight, variance, generator: weight.fill_(c.value)),
    "variance_scaling": (_scaled, _variance_scaling),
    "xavier_uniform": (_xavier, _in_torch("xavier_uniform_", "gain")),
    "xavier_normal": (_xavier, _in_torch("xavier_normal_", "gain")),
    "kaiming_uniform": (_kaiming, _in_torch("kaiming_uniform_", "a", "mode", "nonlinearity")),
    "kaiming_normal": (_kaiming, _in_torch("kaiming_normal_", "a", "mode", "nonlinearity")),
    "pytorch_default": (_old_standard, _uniform),
    "lsuv": (lambda c, shape: None, _orthogonal_fill),
    "python": (lambda c, shape: _measured(c, shape)[1], _own_fill),
}
