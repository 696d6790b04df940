"""Signal and gradient of a wide network at initialization, layer by layer, in second moments.

Forward (Poole et al. 2016), backward (Schoenholz et al. 2017), residual (Yang & Schoenholz 2017) and BatchNorm (Yang et
al. 2019) are one recursion here, for any widths. A block maps x_{l−1} to x_l; what BatchNorm needs to know about x
beside its mean and second moment is the part of the variance that is across samples.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, nan

import numpy as np

from gradlab.choices import MLP, Activation, Initializer, Normalization
from gradlab.networks import initializers
from gradlab.networks.activations import ActivationFunction, activation, traits
from gradlab.theory import batch_norm
from gradlab.theory.quadrature import Array, OutputMoments, gaussian

LARGEST_Q = 1e300
"""Beyond, squares overflow float64. Every φ is a straight line on either side by then, so φ' needs no more."""


@dataclass(frozen=True)
class Moments(OutputMoments):
    """Moments of φ(h) and φ'(h) at h ~ N(0, q).

    Attributes:
        slope: E φ'².
        spread: Var φ² / (E φ²)²: 5 for ReLU, 2 for the identity.
    """

    slope: float
    spread: float


def moments(choice: Activation, q: float) -> Moments:
    """Moments of an activation at h ~ N(0, q), for any q from 0 to infinity. Without sampling, to 1e-10 or better."""
    return _moments(activation(choice), traits(choice).bounded, q)


@functools.lru_cache(maxsize=4096)
def _moments(phi: ActivationFunction, bounded: bool, q: float) -> Moments:
    law = gaussian(phi, min(q, LARGEST_Q))
    mean = law.mean(phi.function)
    second_moment = law.mean(lambda h: phi.function(h) ** 2)
    variance = law.mean(lambda h: (phi.function(h) - mean) ** 2)  # E φ² − (E φ)² would cancel where q is small
    slope = law.mean(lambda h: phi.derivative(h) ** 2)
    spread = law.mean(lambda h: (phi.function(h) ** 2 / second_moment - 1) ** 2) if second_moment > 0 else 0.0
    if q > LARGEST_Q and not bounded:
        mean, second_moment, variance = mean and mean * inf, inf, inf
    return Moments(mean, second_moment, variance, slope, spread)


@dataclass(frozen=True)
class Signal:
    """What enters a weight layer, x of a batch of B samples: E xxᵀ = a G + b 11ᵀ with G = I − 11ᵀ/B.

    Attributes:
        mean: E x.
        second_moment: E x² = a (1 − 1/B) + b.
        centred: a, the variance of a unit over samples; for independent samples of mean 0 the second moment.
    """

    mean: float
    second_moment: float
    centred: float


@dataclass(frozen=True)
class Layer:
    """A hidden layer at initialization, without its successor.

    Attributes:
        q: second moment of what enters the activation: the pre-activation, or behind a BatchNorm its output.
        output: moments of the activation's output.
        slope: E δ_h² / E δ_x², from the block's output x back to the output h of its weight layer.
        passed: the part of E δ_h² that goes on toward the input; only BatchNorm after the activation stops some.
        backward: fan_out · Var W of its weight layer: from E δ_h² to E δ² at the layer's input.
        spread: relative variance from unit to unit of what the layer averages over its units, forward or backward.
        normalized: the variance that its BatchNorm divides by; None without one.
        signal: what leaves the block.
        skip: whether the block's input is added to its output.
    """

    q: float
    output: OutputMoments
    slope: float
    passed: float
    backward: float
    spread: float
    normalized: float | None
    signal: Signal
    skip: bool = False


def forward(model: MLP, *, features: int, input_second_moment: float, batch: int) -> list[Layer]:
    """The hidden layers, from the input to the output.

    q_l = n_{l−1} Var(W_l) E x_{l−1}² + σ_b². A residual block adds x_{l−1} to its output; as weights have mean 0 the
    two are independent, so that E x_l² = E x_{l−1}² + E φ² + 2 E x_{l−1} E φ.

    Args:
        model: the network.
        features: fan_in of the first layer.
        input_second_moment: E x_0²; the mean of x_0 is taken as 0.
        batch: B, which BatchNorm depends on.

    Raises:
        KeyError: there are no formulas of its normalization (`has_formulas`).
    """
    signal = Signal(0.0, input_second_moment, input_second_moment)
    fans = (features, *model.hidden_widths)
    layers: list[Layer] = []
    block = _BLOCKS[model.normalization.name, model.normalization.where]
    for fan_in, fan_out in pairwise(fans):
        variance = weight_variance(model.initializer, fan_in, fan_out, signal.second_moment)
        layer = block(model, signal, fan_in * variance, fan_out * variance, batch)
        if model.residual and fan_in == fan_out:
            layer = _beside(signal, layer)
        layers.append(layer)
        signal = layer.signal
    return layers


def weight_variance(choice: Initializer, fan_in: int, fan_out: int, second_moment: float) -> float:
    """Var W. LSUV scales it until E (W x)² = 1, unless there is nothing to scale."""
    variance = initializers.variance(choice, fan_in, fan_out)
    if variance is not None:
        return variance
    return 1 / (fan_in * second_moment) if 0 < second_moment < inf else 1 / max(fan_in, fan_out)


def log_delta(layers: Sequence[Layer], backward: float) -> Array:
    """Logarithm of E δ² at the pre-activations of the hidden layers, relative to E δ² at the logits, (L,).

    With D_l the E δ² at the output x_l of block l: E δ_l² = slope_l D_l and D_{l−1} = backward_l passed_l E δ_l², plus
    D_l where a residual connection passes it by.

    Args:
        layers: what `forward` returns.
        backward: classes · Var W of the output layer.
    """
    log_slope = _log([layer.slope for layer in layers])
    log_back = _log([layer.backward * layer.passed * layer.slope for layer in layers])
    log_back = np.where([layer.skip for layer in layers], np.logaddexp(0.0, log_back), log_back)
    log_d = _log([backward]) + np.cumsum([0.0, *log_back[:0:-1]])[::-1]
    return np.asarray(log_slope + log_d)


def _log(values: Sequence[float]) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.asarray(values, dtype=np.float64)))


# ------------------------------------------------------------------------------------------------------------- blocks


def _plain(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """No BatchNorm, x = φ(W x + b): E δ_h² = E[φ'²] E δ_x²."""
    q = sigma_w2 * signal.second_moment + model.bias_std**2
    phi = moments(model.activation, q)
    return Layer(
        q=q,
        output=phi,
        slope=phi.slope,
        passed=1.0,
        backward=backward,
        spread=phi.spread,
        normalized=None,
        signal=Signal(phi.mean, phi.second_moment, nan),  # without BatchNorm nobody asks for the last
    )


def _norm_before(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """BatchNorm first, x = φ(BatchNorm(W x + b)); the bias is the same for all samples and drops out."""
    normalized = sigma_w2 * signal.centred
    phi = batch_norm.norm_before(model.activation, batch)
    return Layer(
        q=1.0,
        output=phi,
        slope=phi.slope / normalized if normalized > 0 else nan,
        passed=1.0,
        backward=backward,
        spread=0.0,  # every unit has the same norm over the batch
        normalized=normalized,
        signal=Signal(phi.mean, phi.second_moment, phi.centred),
    )


def _norm_after(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """BatchNorm last, x = BatchNorm(φ(W x + b)), of mean 0 and second moment 1 over the batch of each unit."""
    q = sigma_w2 * signal.second_moment + model.bias_std**2
    centred = sigma_w2 * signal.centred
    phi = moments(model.activation, q)
    back = batch_norm.norm_after(model.activation, centred, max(q - centred * (1 - 1 / batch), 0.0), batch)
    return Layer(
        q=q,
        output=phi,
        slope=back.slope,
        passed=back.centred,
        backward=backward,
        spread=back.spread,
        normalized=phi.variance,
        signal=Signal(0.0, 1.0, batch / (batch - 1)),
    )


_BLOCKS: Mapping[tuple[str, str], Callable[[MLP, Signal, float, float, int], Layer]] = {
    ("none", "none"): _plain,
    ("batch_norm", "before"): _norm_before,
    ("batch_norm", "after"): _norm_after,
}


def has_formulas(normalization: Normalization) -> bool:
    """Whether there are formulas of a hidden layer with a normalization in its place."""
    return (normalization.name, normalization.where) in _BLOCKS


def _beside(signal: Signal, layer: Layer) -> Layer:
    """The block with its input added to its output."""
    out = layer.signal
    summed = Signal(
        mean=signal.mean + out.mean,
        second_moment=signal.second_moment + out.second_moment + 2 * signal.mean * out.mean,
        centred=signal.centred + out.centred,
    )
    return replace(layer, signal=summed, skip=True)
