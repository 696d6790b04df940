"""BatchNorm in a wide network, for a batch of B samples (Yang et al. 2019, A mean field theory of batch normalization).

A unit's pre-activations in the batch are a Gaussian vector in R^B. G = I − 11ᵀ/B takes the batch mean off. By symmetry
between samples every covariance is a multiple of G plus a multiple of 11ᵀ, so two numbers a layer follow the signal,
and one, the part along G, follows δ: BatchNorm lets no part of δ through that is the same for all samples.

With s² = ‖Gh‖²/B and r² = s²/(s² + ε) BatchNorm gives out r √B Gh/‖Gh‖, and its Jacobian is (G − c uuᵀ)/√(s² + ε) with
u = Gh/‖Gh‖ and c = 2 r² − r⁴ in its square. Where ε is nothing beside s², r = c = 1.
"""

import functools
from dataclasses import astuple, dataclass
from math import sqrt

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import chdtri, gammaln, ndtri

from gradlab.networks.activations import ActivationFunction
from gradlab.theory.quadrature import Array, OutputMoments, gaussian, sphere, sphere_pair

NEGLIGIBLE = 1e-4
"""An ε below this share of a variance is left out: it changes δ by less than half of that."""
SHRINKS = 32
"""Values of r at which the law of a batch is computed; between them it is interpolated."""
SMALLEST_BATCH = 4
"""Below, E 1/‖Gh‖² is infinite."""
SAMPLE = 2**17
"""Gaussian numbers in the fixed sample for BatchNorm after the activation."""


def kept(variance: float, epsilon: float) -> float:
    """The share of a variance that is left of 1 where ε stands beside it: v/(v + ε)."""
    return 1 / (1 + epsilon / variance) if variance > 0 else 0.0


@dataclass(frozen=True)
class BatchNormBefore(OutputMoments):
    """Moments of a block with BatchNorm before the activation: φ(BatchNorm(h)), for a centred h.

    Attributes:
        centred: κ = E‖Gφ‖²/(B−1), the variance of a unit over samples.
        slope: E δ_h² / E δ_x², δ_h before the BatchNorm and δ_x after the activation.
        kept: E r², the variance of what BatchNorm gives out; 1 where ε is nothing beside the variance.
    """

    centred: float
    slope: float
    kept: float = 1.0


def norm_before(phi: ActivationFunction, batch: int, variance: float, epsilon: float) -> BatchNormBefore:
    """BatchNorm before the activation: y = √B Gh/‖Gh‖, x = φ(y).

    u = y/√B is uniform on the centred unit sphere, P = G − uuᵀ and D = diag φ'(y). The backward pass is
    δ_h = √B/‖Gh‖ P D δ_x with δ_x of covariance ∝ G, so that

        slope = B/(B−3) · E[tr P D G D]/(B−1)/variance,  tr P D G D = Σ_a φ'_a² (1 − 1/B − u_a²) − φ'ᵀPφ'/B.

    ‖Gh‖² is independent of u, and E 1/χ²_{B−1} = 1/(B−3). All expectations are over one or two samples of the batch.
    Where ε counts, they are computed at fixed r, with c uuᵀ in place of uuᵀ, and then averaged over s².

    Args:
        phi: the activation.
        batch: B ≥ 4.
        variance: E‖Gh‖²/(B−1).
        epsilon: ε > 0.
    """
    if epsilon > NEGLIGIBLE * variance:
        return _with_epsilon(phi, batch, variance, epsilon)
    law = _at(phi, batch)
    trace = law.squares - law.along_u
    return BatchNormBefore(
        law.mean, law.second_moment, law.variance, law.centred, batch / (batch - 3) * trace / (batch - 1) / variance
    )


@dataclass(frozen=True)
class _Law(OutputMoments):
    """Moments of φ(y) on the sphere, y = r √B u.

    Attributes:
        centred: E‖Gφ‖²/(B−1).
        squares: E[tr G D G D].
        along_u: E[uᵀ D G D u].
    """

    centred: float
    squares: float
    along_u: float


@functools.lru_cache(maxsize=64)
def _at(phi: ActivationFunction, batch: int) -> _Law:
    one, two = sphere(phi, batch), sphere_pair(phi, batch)
    mean = one.mean(phi.function)
    second_moment = one.mean(lambda y: phi.function(y) ** 2)
    slopes = one.mean(lambda y: phi.derivative(y) ** 2)
    slopes_u = one.mean(lambda y: (phi.derivative(y) * y) ** 2) / batch
    along_G = (1 - 1 / batch) * (slopes - two.mean(phi.derivative))  # E‖Gφ'‖²/B
    along_u = slopes_u + (1 - 1 / batch) * two.mean(lambda y: y * phi.derivative(y))  # E(uᵀφ')²/B
    return _Law(
        mean=mean,
        second_moment=second_moment,
        variance=one.mean(lambda y: (phi.function(y) - mean) ** 2),
        centred=second_moment - two.mean(phi.function),
        squares=batch * slopes * (1 - 1 / batch) - along_G,
        along_u=batch * slopes_u - along_u,
    )


@functools.lru_cache(maxsize=1024)
def _with_epsilon(phi: ActivationFunction, batch: int, variance: float, epsilon: float) -> BatchNormBefore:
    """The same where ε is not small beside the variance: the mean over s² = variance χ²_{B−1}/B."""
    log_chi2_N, weights_N = _chi_squared(batch - 1)
    s2_N = variance * np.exp(log_chi2_N) / batch
    r2_N = s2_N / (s2_N + epsilon)
    mean_N, second_N, variance_N, centred_N, squares_N, along_u_N = _laws(phi, batch, np.sqrt(r2_N))
    mean = float(weights_N @ mean_N)
    trace_N = squares_N - (2 * r2_N - r2_N**2) * along_u_N
    return BatchNormBefore(
        mean=mean,
        second_moment=float(weights_N @ second_N),
        variance=float(weights_N @ (variance_N + (mean_N - mean) ** 2)),
        centred=float(weights_N @ centred_N),
        slope=max(float(weights_N @ (trace_N / (s2_N + epsilon))) / (batch - 1), 0.0),
        kept=float(weights_N @ r2_N),
    )


def _chi_squared(degrees: int) -> tuple[Array, Array]:
    """Nodes of ln χ² and their weights, which add up to 1: a trapezoid over a density that ends in nothing."""
    width = 9 * sqrt(2 / degrees)
    log_N = np.log(degrees) + np.linspace(-width - 24 / degrees, width, 801)
    weights_N = np.exp(degrees / 2 * log_N - np.exp(log_N) / 2 - degrees / 2 * np.log(2) - gammaln(degrees / 2))
    return log_N, weights_N / weights_N.sum()


def _laws(phi: ActivationFunction, batch: int, r_N: Array) -> Array:
    """The fields of `_Law` at some r in [0, 1], (6, N)."""
    laws_FN = np.asarray(chebyshev.chebval(2 * r_N - 1, _coefficients(phi, batch)), dtype=np.float64)
    laws_FN[1:] = np.maximum(laws_FN[1:], 0)  # all but the mean are sums of squares
    return laws_FN


@functools.lru_cache(maxsize=64)
def _coefficients(phi: ActivationFunction, batch: int) -> Array:
    """Chebyshev coefficients of the fields of `_Law` over r, (SHRINKS, 6)."""
    nodes_R = chebyshev.chebpts1(SHRINKS)
    laws_RF = [astuple(_at.__wrapped__(_shrunk(phi, (1 + node) / 2), batch)) for node in nodes_R]
    return np.asarray(chebyshev.chebfit(nodes_R, np.asarray(laws_RF), SHRINKS - 1), dtype=np.float64)


def _shrunk(phi: ActivationFunction, r: float) -> ActivationFunction:
    """φ(r y) and φ'(r y) as functions of y = √B u."""
    return ActivationFunction(
        lambda y: phi.function(r * y), lambda y: phi.derivative(r * y), kinks=tuple(kink / r for kink in phi.kinks)
    )


@dataclass(frozen=True)
class BatchNormAfter:
    """The backward pass of a block with BatchNorm after the activation: BatchNorm(φ(h)).

    Attributes:
        slope: E δ_h² / E(Gδ_x)², δ_h before the activation and δ_x after the BatchNorm.
        centred: E(Gδ_h)² / E δ_h²: the part of δ that a BatchNorm further down will let through.
        spread: variance from unit to unit of what `slope` is the mean of, relative to its square.
        kept: E r², the variance of what BatchNorm gives out; 1 where ε is nothing beside the variance.
    """

    slope: float
    centred: float
    spread: float
    kept: float = 1.0


def norm_after(phi: ActivationFunction, centred: float, common: float, batch: int, epsilon: float) -> BatchNormAfter:
    """BatchNorm after the activation: h of covariance `centred` G + `common` 11ᵀ, f = φ(h), x = √B Gf/‖Gf‖.

    With v = Gf/‖Gf‖, P = G − vvᵀ and D = diag φ'(h), δ_h = √B/‖Gf‖ D P δ_x, so that

        E δ_h² ∝ E[B tr(D P D)/‖Gf‖²],  E(Gδ_h)² ∝ E[B tr(G D P D)/‖Gf‖²].

    ‖Gf‖² ties all samples together, so this is the mean over a fixed sample, once, corrected by what the sample gets
    wrong about expectations that are known from quadrature (control variates). The growth a layer, its root, is good to
    6e-4 for B ≥ 32; at B = 8 rare units that hardly vary over the batch leave 5e-3.

    Args:
        phi: the activation.
        centred: coefficient of G.
        common: coefficient of 11ᵀ.
        batch: B ≥ 4.
        epsilon: ε > 0.
    """
    return _norm_after(phi, centred, common, batch, epsilon)


@functools.lru_cache(maxsize=1024)
def _norm_after(phi: ActivationFunction, centred: float, common: float, batch: int, epsilon: float) -> BatchNormAfter:
    z_NB, shift_N = _sample(batch)
    h_NB = sqrt(centred) * z_NB + sqrt(common) * shift_N[:, None]
    f_NB, slope_NB = phi.function(h_NB), phi.derivative(h_NB)
    squares_NB = slope_NB**2
    controls_NC = np.stack([f_NB.mean(1), (f_NB**2).mean(1), slope_NB.mean(1), squares_NB.mean(1)], axis=1)

    g_NB = f_NB - f_NB.mean(1, keepdims=True)
    squares_N = np.einsum("nb,nb->n", g_NB, g_NB)
    norm_N = np.where(squares_N > 0, squares_N, np.inf)  # a batch that does not vary passes nothing on
    law = gaussian(phi, centred * (1 - 1 / batch) + common)
    mean = law.mean(phi.function)
    counts = epsilon > NEGLIGIBLE * law.mean(lambda h: (phi.function(h) - mean) ** 2)
    divided_N = squares_N + batch * epsilon if counts else norm_N
    r2_N = squares_N / divided_N if counts else np.ones_like(norm_N)
    c_N = 2 * r2_N - r2_N**2
    along_v_N = c_N * np.einsum("nb,nb->n", g_NB, slope_NB) ** 2 / norm_N
    squares_v_N = c_N * np.einsum("nb,nb,nb->n", g_NB, g_NB, squares_NB) / norm_N
    total_N = squares_NB.sum(1) * (1 - 1 / batch) - squares_v_N
    quadratic_N = squares_NB.sum(1) - slope_NB.sum(1) ** 2 / batch - along_v_N
    passed_N = total_N - quadratic_N / batch

    known_C = [
        mean,
        law.mean(lambda h: phi.function(h) ** 2),
        law.mean(phi.derivative),
        law.mean(lambda h: phi.derivative(h) ** 2),
    ]
    ratio_N, through_N = (batch * trace_N / divided_N / (batch - 1) for trace_N in (total_N, passed_N))
    slope = max(_controlled(ratio_N, controls_NC, known_C), 0.0)
    if slope == 0:
        return BatchNormAfter(slope=0.0, centred=0.0, spread=0.0, kept=float(r2_N.mean()))
    centred_part = _controlled(through_N, controls_NC, known_C) / slope
    spread = float(np.var(ratio_N / ratio_N.mean()))
    return BatchNormAfter(slope=slope, centred=max(centred_part, 0.0), spread=spread, kept=float(r2_N.mean()))


@functools.lru_cache(maxsize=2)
def _sample(batch: int) -> tuple[Array, Array]:
    """N batches of covariance G, (N, B), and one more Gaussian number for each, (N,).

    Stratified: directions are drawn, but norms and the extra numbers are the quantiles of their laws.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    draws = max(SAMPLE // batch, 64)
    quantiles = (np.arange(draws) + 0.5) / draws
    z_NB = rng.standard_normal((draws, batch))
    z_NB -= z_NB.mean(1, keepdims=True)
    z_NB *= np.sqrt(chdtri(batch - 1, quantiles) / (z_NB**2).sum(1))[:, None]
    return z_NB, rng.permutation(ndtri(quantiles))


def _controlled(values_N: Array, controls_NC: NDArray[np.float64], known_C: list[float]) -> float:
    """The sample mean, minus what the error of the controls' sample means explains."""
    centred_NC = controls_NC - controls_NC.mean(0)
    weights_C = np.linalg.lstsq(centred_NC, values_N - values_N.mean(), rcond=1e-12)[0]
    return float(values_N.mean() - weights_C @ (controls_NC.mean(0) - known_C))
