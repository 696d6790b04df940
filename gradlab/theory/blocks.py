"""A hidden layer of a wide network at initialization: what enters it, what leaves it, what δ does on its way back.

A block maps x_{l−1} to x_l. What a normalization leaves, γ ĥ + β with ĥ of mean 0 and variance 1, goes into φ as
φ̃(ĥ) = φ(γ ĥ + β), an activation like any other: γ and β need no formulas of their own. Layer and RMS normalization
take their mean and variance over the units of a layer. In a wide one these are numbers, the same for every sample:
what δ loses along them is a share 1/n of it.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, nan
from typing import TypeVar

from gradlab.choices import MLP, Activation, Normalization
from gradlab.choices.normalizations import BatchNorm, LayerNorm, RMSNorm
from gradlab.networks.activations import ActivationFunction, activation, traits
from gradlab.theory import batch_norm
from gradlab.theory.quadrature import OutputMoments, gaussian

N = TypeVar("N", bound=Normalization)

LARGEST_Q = 1e300
"""Beyond, squares overflow float64. Every φ is a straight line on either side by then, so φ' needs no more."""


@dataclass(frozen=True)
class Moments(OutputMoments):
    """Moments of φ(h) and φ'(h) at h ~ N(0, q).

    Attributes:
        slope: E φ'².
        spread: Var φ² / (E φ²)²: 5 for ReLU, 2 for the identity.
        slope_spread: the same of δ φ' with a Gaussian δ: 3 E φ'⁴ / (E φ'²)² − 1.
    """

    slope: float
    spread: float
    slope_spread: float


def moments(choice: Activation, q: float) -> Moments:
    """Moments of an activation at h ~ N(0, q), for any q from 0 to infinity. Without sampling, to 1e-10 or better."""
    return moments_of(activation(choice), traits(choice).bounded, q)


@functools.lru_cache(maxsize=4096)
def moments_of(phi: ActivationFunction, bounded: bool, q: float) -> Moments:
    """The same for a function φ, which may be bounded."""
    law = gaussian(phi, min(q, LARGEST_Q))
    mean = law.mean(phi.function)
    second_moment = law.mean(lambda h: phi.function(h) ** 2)
    variance = law.mean(lambda h: (phi.function(h) - mean) ** 2)  # E φ² − (E φ)² would cancel where q is small
    slope = law.mean(lambda h: phi.derivative(h) ** 2)
    spread = law.mean(lambda h: (phi.function(h) ** 2 / second_moment - 1) ** 2) if second_moment > 0 else 0.0
    slope_spread = 3 * law.mean(lambda h: (phi.derivative(h) ** 2 / slope) ** 2) - 1 if slope > 0 else 0.0
    if q > LARGEST_Q and not bounded:
        mean, second_moment, variance = mean and mean * inf, inf, inf
    return Moments(mean, second_moment, variance, slope, spread, slope_spread)


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
        q: second moment of what enters the activation: the pre-activation, or what a normalization before it gives out.
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


Block = Callable[[MLP, Signal, float, float, int], Layer]
"""The network, what enters, fan_in · Var W, fan_out · Var W and B ─► the layer."""


def block(normalization: Normalization) -> Block | None:
    """The formulas of a hidden layer with a normalization in its place; None where there are none."""
    return _BLOCKS.get((normalization.name, normalization.where))


def plain(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """No normalization, x = φ(W x + b): E δ_h² = E[φ'²] E δ_x²."""
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


# ---------------------------------------------------------------------------------------------- batch normalization


def batch_norm_before(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """BatchNorm first, x = φ(BatchNorm(W x + b)); the bias is the same for all samples and drops out."""
    norm = _of(model, BatchNorm)
    normalized = sigma_w2 * signal.centred
    law = batch_norm.norm_before(_scaled(model, norm.gamma, norm.beta), batch, normalized, norm.epsilon)
    return Layer(
        q=norm.gamma**2 * law.kept + norm.beta**2,
        output=law,
        slope=law.slope,
        passed=1.0,
        backward=backward,
        spread=0.0,  # every unit has the same norm over the batch
        normalized=normalized,
        signal=Signal(law.mean, law.second_moment, law.centred),
    )


def batch_norm_after(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """BatchNorm last, x = BatchNorm(φ(W x + b)), of mean β and variance γ² over the batch of each unit."""
    norm = _of(model, BatchNorm)
    q = sigma_w2 * signal.second_moment + model.bias_std**2
    centred = sigma_w2 * signal.centred
    phi = moments(model.activation, q)
    common = max(q - centred * (1 - 1 / batch), 0.0)
    back = batch_norm.norm_after(activation(model.activation), centred, common, batch, norm.epsilon)
    variance = norm.gamma**2 * back.kept
    return Layer(
        q=q,
        output=phi,
        slope=norm.gamma**2 * back.slope,
        passed=back.centred,
        backward=backward,
        spread=back.spread,
        normalized=phi.variance,
        signal=Signal(norm.beta, variance + norm.beta**2, variance * batch / (batch - 1)),
    )


# ------------------------------------------------------------------------------------ layer and RMS normalization


def norm_before(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """Layer or RMS normalization first: x = φ(γ h/√(q + ε) + β), as the units' h = W x + b have mean 0 and variance q.

    E δ_h² = γ² E[φ'²]/(q + ε) E δ_x². Over equal layers of RMS normalization with γ = 1 and β = 0 the factor of E δ² is
    E[φ'²]/E[φ²] at N(0, 1): σ_w² cancels.
    """
    norm = _of(model, LayerNorm, RMSNorm)
    gamma, beta = norm.gamma, getattr(norm, "beta", 0.0)
    q = sigma_w2 * signal.second_moment + model.bias_std**2
    kept = batch_norm.kept(q, norm.epsilon)
    phi = moments_of(_scaled(model, gamma, beta), traits(model.activation).bounded, kept)
    return Layer(
        q=gamma**2 * kept + beta**2,
        output=phi,
        slope=phi.slope / (q + norm.epsilon),
        passed=1.0,
        backward=backward,
        spread=phi.slope_spread,
        normalized=None,
        signal=Signal(phi.mean, phi.second_moment, nan),
    )


def layer_norm_after(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """Layer normalization last: x = γ (φ(h) − E φ)/√(Var φ + ε) + β, E δ_h² = γ² E[φ'²]/(Var φ + ε) E δ_x²."""
    norm = _of(model, LayerNorm)
    q = sigma_w2 * signal.second_moment + model.bias_std**2
    phi = moments(model.activation, min(q, LARGEST_Q))
    variance = norm.gamma**2 * batch_norm.kept(phi.variance, norm.epsilon)
    out = Signal(norm.beta, variance + norm.beta**2, nan)
    return _after(q, phi, norm.gamma**2 / (phi.variance + norm.epsilon), backward, out)


def rms_norm_after(model: MLP, signal: Signal, sigma_w2: float, backward: float, batch: int) -> Layer:
    """RMS normalization last: x = γ φ(h)/√(E φ² + ε), E δ_h² = γ² E[φ'²]/(E φ² + ε) E δ_x²."""
    norm = _of(model, RMSNorm)
    q = sigma_w2 * signal.second_moment + model.bias_std**2
    phi = moments(model.activation, min(q, LARGEST_Q))
    factor = norm.gamma**2 / (phi.second_moment + norm.epsilon)
    return _after(q, phi, factor, backward, Signal(factor**0.5 * phi.mean, factor * phi.second_moment, nan))


def _after(q: float, phi: Moments, factor: float, backward: float, out: Signal) -> Layer:
    return Layer(
        q=q,
        output=phi,
        slope=factor * phi.slope,
        passed=1.0,
        backward=backward,
        spread=phi.slope_spread,
        normalized=None,
        signal=out,
    )


_BLOCKS: Mapping[tuple[str, str], Block] = {
    ("none", "none"): plain,
    ("batch_norm", "before"): batch_norm_before,
    ("batch_norm", "after"): batch_norm_after,
    ("layer_norm", "before"): norm_before,
    ("layer_norm", "after"): layer_norm_after,
    ("rms_norm", "before"): norm_before,
    ("rms_norm", "after"): rms_norm_after,
}


def _of(model: MLP, *kinds: type[N]) -> N:
    """The network's normalization, which is of one of some kinds."""
    norm = model.normalization
    assert isinstance(norm, kinds)
    return norm


def _scaled(model: MLP, gamma: float, beta: float) -> ActivationFunction:
    return scaled(activation(model.activation), gamma, beta)


@functools.lru_cache(maxsize=256)
def scaled(phi: ActivationFunction, gamma: float, beta: float) -> ActivationFunction:
    """φ̃(ĥ) = φ(γ ĥ + β), with φ̃'(ĥ) = γ φ'(γ ĥ + β); φ itself where γ = 1 and β = 0."""
    if (gamma, beta) == (1.0, 0.0):
        return phi
    return ActivationFunction(
        lambda h: phi.function(gamma * h + beta),
        lambda h: gamma * phi.derivative(gamma * h + beta),
        kinks=tuple((kink - beta) / gamma for kink in phi.kinks) if gamma else (),
    )
