"""Each activation φ with its derivative and where it saturates, in NumPy; and its torch module.

Torch-free until a module is asked for, so that theory can use φ without it. h is a pre-activation.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, log, nextafter, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from gradlab import choices, user_code

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float64]
Intervals = tuple[tuple[float, float], ...]

SATURATED = 0.01
"""A unit is saturated where its slope is below this share of the activation's largest slope."""

# Klambauer et al. 2017, eq. 14: the fixed point of mean 0 and variance 1.
SELU_ALPHA = 1.6732632423543772
SELU_LAMBDA = 1.0507009873554805


@dataclass(frozen=True, eq=False)
class ActivationFunction:
    """An activation function, for arrays of pre-activations h of any shape.

    Attributes:
        function: φ(h).
        derivative: φ'(h); at a kink, what PyTorch has there.
        saturation: open intervals of h with |φ'(h)| < 1 % of the largest slope, in order.
        kinks: where φ' jumps.
    """

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    saturation: Intervals = ()
    kinks: tuple[float, ...] = ()


def activation(choice: choices.Activation) -> ActivationFunction:
    """The activation that a config names, with its parameters; the same object for equal activations."""
    return _own(choice)[0] if isinstance(choice, choices.PythonActivation) else _named(choice)


def traits(choice: choices.Activation) -> choices.Traits:
    """What is known of an activation; of one that a config brings along, what is measured of it."""
    return _own(choice)[1] if isinstance(choice, choices.PythonActivation) else choice.traits


@functools.lru_cache(maxsize=256)
def _named(choice: choices.Activation) -> ActivationFunction:
    return _FUNCTIONS[choice.name](choice)


def _own(choice: choices.PythonActivation) -> tuple[ActivationFunction, choices.Traits]:
    return _measured(choice.function, user_code.digest(choice.function))


@functools.lru_cache(maxsize=64)
def _measured(reference: str, content: str) -> tuple[ActivationFunction, choices.Traits]:
    """A function of the user, measured once for each content of its file."""
    from gradlab.networks import measured, own

    function, derivative = own.in_numpy(reference)
    found = ActivationFunction(
        function, derivative, measured.saturation(derivative, SATURATED), measured.kinks(derivative)
    )
    return found, measured.traits(function, derivative)


def module(choice: choices.Activation) -> "nn.Module":
    """The torch module of an activation, not in place; PReLU's slope is float64, so that nothing has rounded it yet."""
    import torch
    from torch import nn

    if isinstance(choice, choices.PythonActivation):
        from gradlab.networks.own import OwnActivation

        activation(choice)  # complains of what is no activation
        return OwnActivation(choice)
    if not choice.traits.torch_module:
        from gradlab.networks.elementwise import Elementwise

        phi = activation(choice)
        return Elementwise(choice, phi.function, phi.derivative)
    options = choice.model_dump(exclude={"name"})
    parameters = {"dtype": torch.float64} if isinstance(choice, choices.PReLU) else {}
    built: nn.Module = getattr(nn, choice.traits.torch_module)(**options, **parameters)
    return built


# ------------------------------------------------------------------------------------------------------- piecewise


def _straight(
    slopes: tuple[float, ...], kinks: tuple[float, ...], function: Callable[[Array], Array]
) -> ActivationFunction:
    """A piecewise linear activation.

    Args:
        slopes: of the pieces and, between them, at the kinks: what PyTorch has there. One more than twice the kinks.
        kinks: where the pieces meet, in order.
        function: φ(h).
    """
    edges = (-inf, *kinks, inf)
    flat = [abs(slope) < SATURATED * max(map(abs, slopes)) for slope in slopes]

    def derivative(h: Array) -> Array:
        # kinks below h plus kinks up to h: odd at a kink, even between two
        place = np.searchsorted(kinks, h, side="left") + np.searchsorted(kinks, h, side="right")
        return np.asarray(np.asarray(slopes)[place])

    def interval(piece: int) -> tuple[float, float]:
        """The open interval of a flat piece; just beyond a kink where the slope at the kink is flat too."""
        low, high = edges[piece], edges[piece + 1]
        left, right = 2 * piece - 1, 2 * piece + 1
        return (
            nextafter(low, -inf) if left > 0 and flat[left] else low,
            nextafter(high, inf) if right < len(flat) and flat[right] else high,
        )

    return ActivationFunction(
        function,
        derivative,
        tuple(interval(piece) for piece, is_flat in enumerate(flat[::2]) if is_flat),
        kinks,
    )


def _leaky(slope: float) -> ActivationFunction:
    def function(h: Array) -> Array:
        # without the first case, a slope of 0 would make NaN of −∞
        return np.maximum(h, 0.0) if slope == 0 else np.where(h > 0, h, slope * np.minimum(h, 0.0))

    return _straight((slope, slope, 1.0), (0.0,), function)


# ---------------------------------------------------------------------------------------------------------- smooth


def _sigmoid(_: Any) -> ActivationFunction:
    # σ(1 − σ) = s/4 with s = 1 % at h = ± log((1 + √(1−s)) / (1 − √(1−s)))
    root = sqrt(1 - SATURATED)
    edge = log((1 + root) / (1 - root))
    return ActivationFunction(expit, lambda h: expit(h) * expit(-h), ((-inf, -edge), (edge, inf)))


def _tanh(_: Any) -> ActivationFunction:
    edge = float(np.arctanh(sqrt(1 - SATURATED)))  # 1 − tanh² = s

    def derivative(h: Array) -> Array:
        small = np.exp(-2 * np.abs(h))  # 1/cosh² without overflow, and without cancellation far out
        return np.asarray(4 * small / (1 + small) ** 2)

    return ActivationFunction(np.tanh, derivative, ((-inf, -edge), (edge, inf)))


def _softsign(_: Any) -> ActivationFunction:
    edge = 1 / sqrt(SATURATED) - 1  # (1 + |h|)⁻² = s

    def function(h: Array) -> Array:
        finite = np.clip(h, -1e300, 1e300)
        return np.asarray(finite / (1 + np.abs(finite)))

    def derivative(h: Array) -> Array:
        return np.asarray((1 / (1 + np.abs(h))) ** 2)

    return ActivationFunction(function, derivative, ((-inf, -edge), (edge, inf)))


def _softplus(choice: Any) -> ActivationFunction:
    beta = choice.beta
    edge = log(SATURATED / (1 - SATURATED)) / beta  # σ(βh) = s
    return ActivationFunction(lambda h: np.logaddexp(0, beta * h) / beta, lambda h: expit(beta * h), ((-inf, edge),))


def _exponential(alpha: float, rate: float, scale: float) -> ActivationFunction:
    """`scale · h` where h > 0, else scale · α(exp(h/rate) − 1)."""
    slope_below = alpha / rate
    largest = max(1.0, slope_below)
    edge = rate * log(SATURATED * largest / slope_below)  # (α/rate) exp(h/rate) = s · largest
    flat: Intervals = ((-inf, min(edge, nextafter(0, inf))),)  # at 0 PyTorch has the slope from the left
    if SATURATED * largest > 1:
        flat = (*flat, (0.0, inf))

    def function(h: Array) -> Array:
        return scale * np.where(h > 0, h, alpha * np.expm1(np.minimum(h, 0) / rate))

    def derivative(h: Array) -> Array:
        return scale * np.where(h > 0, 1.0, slope_below * np.exp(np.minimum(h, 0) / rate))

    return ActivationFunction(function, derivative, flat, () if slope_below == 1 else (0.0,))


def _bent(function: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> ActivationFunction:
    """An activation like GELU, whose slope changes sign once: flat far to the left and around its minimum.

    The edges are where φ' crosses ± 1 % of its largest value, found by bisection on a grid.
    """
    grid = np.linspace(-40, 10, 50_001)
    slope = derivative(grid)
    flat = np.abs(slope) < SATURATED * slope.max()
    crossings = np.flatnonzero(flat[1:] != flat[:-1])
    edges = [_bisect(lambda h: abs(derivative(h)) - SATURATED * slope.max(), grid[i], grid[i + 1]) for i in crossings]
    bounds = [-inf, *edges]
    return ActivationFunction(function, derivative, tuple(zip(bounds[::2], bounds[1::2], strict=True)))


def _bisect(function: Callable[[Any], Any], low: float, high: float) -> float:
    rising = function(np.float64(high)) > 0
    for _ in range(60):
        middle = (low + high) / 2
        if (function(np.float64(middle)) > 0) == rising:
            high = middle
        else:
            low = middle
    return float((low + high) / 2)


def _times(h: Array, gate: Array) -> Array:
    """`h · gate`, 0 where the gate is closed, also for infinite h."""
    return np.where(gate == 0, 0.0, np.where(gate == 0, 0.0, h) * gate)


def _gelu(choice: Any) -> ActivationFunction:
    if choice.approximate == "none":
        density = 1 / sqrt(2 * np.pi)
        return _bent(
            lambda h: _times(h, ndtr(h)),
            lambda h: ndtr(h) + np.clip(h, -1e150, 1e150) * density * np.exp(-(np.clip(h, -1e150, 1e150) ** 2) / 2),
        )
    # Hendrycks & Gimpel 2016, §2: h σ(2u) with u = √(2/π)(h + 0.044715 h³), as 1 + tanh u = 2 σ(2u)
    slope, cubic = 2 * sqrt(2 / np.pi), 0.044715

    def gate(h: Array) -> Array:
        h = np.clip(h, -1e100, 1e100)
        return np.asarray(expit(slope * (h + cubic * h**3)))

    def derivative(h: Array) -> Array:
        h = np.clip(h, -1e30, 1e30)
        g = gate(h)
        return np.asarray(g + h * g * gate(-h) * slope * (1 + 3 * cubic * h**2))

    return _bent(lambda h: _times(h, gate(h)), derivative)


def _silu(_: Any) -> ActivationFunction:
    def derivative(h: Array) -> Array:
        h = np.clip(h, -1e300, 1e300)
        return np.asarray(expit(h) * (1 + h * expit(-h)))

    return _bent(lambda h: _times(h, expit(h)), derivative)


def _mish(_: Any) -> ActivationFunction:
    def gate(h: Array) -> Array:
        # tanh(log(1 + e)) = (e² + 2e)/(e² + 2e + 2) with e = exp h
        e = np.exp(np.minimum(h, 20))
        return np.where(h > 20, 1.0, e * (e + 2) / (e * (e + 2) + 2))

    def derivative(h: Array) -> Array:
        h = np.clip(h, -1e300, 1e300)
        g = gate(h)
        return np.asarray(g + h * (1 - g**2) * expit(h))

    return _bent(lambda h: _times(h, gate(h)), derivative)


# -------------------------------------------------------------------------------------------------------- registry

_FUNCTIONS: Mapping[str, Callable[[Any], ActivationFunction]] = {
    "identity": lambda _: _straight((1.0,), (), lambda h: np.asarray(h, dtype=np.float64)),
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda _: _straight((0.0, 0.0, 1 / 6, 0.0, 0.0), (-3.0, 3.0), lambda h: np.clip(h / 6 + 0.5, 0, 1)),
    "tanh": _tanh,
    "hard_tanh": lambda _: _straight((0.0, 0.0, 1.0, 0.0, 0.0), (-1.0, 1.0), lambda h: np.clip(h, -1, 1)),
    "softsign": _softsign,
    "softplus": _softplus,
    "relu": lambda _: _straight((0.0, 0.0, 1.0), (0.0,), lambda h: np.maximum(h, 0.0)),
    "relu6": lambda _: _straight((0.0, 0.0, 1.0, 0.0, 0.0), (0.0, 6.0), lambda h: np.clip(h, 0, 6)),
    "leaky_relu": lambda choice: _leaky(choice.negative_slope),
    "prelu": lambda choice: _leaky(choice.init),
    "elu": lambda choice: _exponential(choice.alpha, 1.0, 1.0),
    "celu": lambda choice: _exponential(choice.alpha, choice.alpha, 1.0),
    "selu": lambda _: _exponential(SELU_ALPHA, 1.0, SELU_LAMBDA),
    "gelu": _gelu,
    "silu": _silu,
    "mish": _mish,
}
"""What makes the function of each activation of its options, by the name that a config has for it."""
