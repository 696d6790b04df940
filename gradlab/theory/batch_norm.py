"""BatchNorm in a wide network, for a batch of B samples (Yang et al. 2019, A mean field theory of batch normalization).

A unit's pre-activations in the batch are a Gaussian vector in R^B. G = I − 11ᵀ/B takes the batch mean off. By symmetry
between samples every covariance is a multiple of G plus a multiple of 11ᵀ, so two numbers a layer follow the signal,
and one, the part along G, follows δ: BatchNorm lets no part of δ through that is the same for all samples.
"""

import functools
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtri

from gradlab.choices import Activation
from gradlab.networks.activations import ActivationFunction, activation
from gradlab.theory.quadrature import Array, OutputMoments, gaussian, sphere, sphere_pair

EPSILON = 1e-5
"""What `torch.nn.BatchNorm1d` adds to a variance. The formulas leave it out."""
SMALLEST_BATCH = 4
"""Below, E 1/‖Gh‖² is infinite."""
SAMPLE = 2**17
"""Gaussian numbers in the fixed sample for BatchNorm after the activation."""


@dataclass(frozen=True)
class BatchNormBefore(OutputMoments):
    """Moments of a block with BatchNorm before the activation: φ(BatchNorm(h)), for a centred h.

    Attributes:
        centred: κ = E‖Gφ‖²/(B−1), the variance of a unit over samples.
        slope: E δ_h² / E δ_x² · E‖Gh‖²/(B−1), δ_h before the BatchNorm and δ_x after the activation.
    """

    centred: float
    slope: float


def norm_before(choice: Activation, batch: int) -> BatchNormBefore:
    """BatchNorm before the activation: y = √B Gh/‖Gh‖, x = φ(y).

    u = y/√B is uniform on the centred unit sphere, P = G − uuᵀ and D = diag φ'(y). The backward pass is
    δ_h = √B/‖Gh‖ P D δ_x with δ_x of covariance ∝ G, so that

        slope = B/(B−3) · E[tr P D G D]/(B−1),  tr P D G D = Σ_a φ'_a² (1 − 1/B − u_a²) − φ'ᵀPφ'/B.

    ‖Gh‖² is independent of u, and E 1/χ²_{B−1} = 1/(B−3). All expectations are over one or two samples of the batch.

    Args:
        choice: the activation.
        batch: B ≥ 4.
    """
    return _norm_before(activation(choice), batch)


@functools.lru_cache(maxsize=64)
def _norm_before(phi: ActivationFunction, batch: int) -> BatchNormBefore:
    one, two = sphere(phi, batch), sphere_pair(phi, batch)
    mean = one.mean(phi.function)
    second_moment = one.mean(lambda y: phi.function(y) ** 2)
    slopes = one.mean(lambda y: phi.derivative(y) ** 2)
    slopes_u = one.mean(lambda y: (phi.derivative(y) * y) ** 2) / batch
    along_G = (1 - 1 / batch) * (slopes - two.mean(phi.derivative))  # E‖Gφ'‖²/B
    along_u = slopes_u + (1 - 1 / batch) * two.mean(lambda y: y * phi.derivative(y))  # E(uᵀφ')²/B
    trace = batch * (slopes * (1 - 1 / batch) - slopes_u) - (along_G - along_u)
    return BatchNormBefore(
        mean=mean,
        second_moment=second_moment,
        variance=one.mean(lambda y: (phi.function(y) - mean) ** 2),
        centred=second_moment - two.mean(phi.function),
        slope=batch / (batch - 3) * trace / (batch - 1),
    )


@dataclass(frozen=True)
class BatchNormAfter:
    """The backward pass of a block with BatchNorm after the activation: BatchNorm(φ(h)).

    Attributes:
        slope: E δ_h² / E(Gδ_x)², δ_h before the activation and δ_x after the BatchNorm.
        centred: E(Gδ_h)² / E δ_h²: the part of δ that a BatchNorm further down will let through.
        spread: variance from unit to unit of what `slope` is the mean of, relative to its square.
    """

    slope: float
    centred: float
    spread: float


def norm_after(choice: Activation, centred: float, common: float, batch: int) -> BatchNormAfter:
    """BatchNorm after the activation: h of covariance `centred` G + `common` 11ᵀ, f = φ(h), x = √B Gf/‖Gf‖.

    With v = Gf/‖Gf‖, P = G − vvᵀ and D = diag φ'(h), δ_h = √B/‖Gf‖ D P δ_x, so that

        E δ_h² ∝ E[B tr(D P D)/‖Gf‖²],  E(Gδ_h)² ∝ E[B tr(G D P D)/‖Gf‖²].

    ‖Gf‖² ties all samples together, so this is the mean over a fixed sample, once, corrected by what the sample gets
    wrong about expectations that are known from quadrature (control variates). The growth a layer, its root, is good to
    6e-4 for B ≥ 32; at B = 8 rare units that hardly vary over the batch leave 5e-3.

    Args:
        choice: the activation.
        centred: coefficient of G.
        common: coefficient of 11ᵀ.
        batch: B ≥ 4.
    """
    return _norm_after(activation(choice), centred, common, batch)


@functools.lru_cache(maxsize=1024)
def _norm_after(phi: ActivationFunction, centred: float, common: float, batch: int) -> BatchNormAfter:
    z_NB, shift_N = _sample(batch)
    h_NB = sqrt(centred) * z_NB + sqrt(common) * shift_N[:, None]
    f_NB, slope_NB = phi.function(h_NB), phi.derivative(h_NB)
    squares_NB = slope_NB**2
    controls_NC = np.stack([f_NB.mean(1), (f_NB**2).mean(1), slope_NB.mean(1), squares_NB.mean(1)], axis=1)

    g_NB = f_NB - f_NB.mean(1, keepdims=True)
    norm_N = np.einsum("nb,nb->n", g_NB, g_NB)
    norm_N = np.where(norm_N > 0, norm_N, np.inf)  # a batch that does not vary passes nothing on
    along_v_N = np.einsum("nb,nb->n", g_NB, slope_NB) ** 2 / norm_N
    squares_v_N = np.einsum("nb,nb,nb->n", g_NB, g_NB, squares_NB) / norm_N
    total_N = squares_NB.sum(1) * (1 - 1 / batch) - squares_v_N
    quadratic_N = squares_NB.sum(1) - slope_NB.sum(1) ** 2 / batch - along_v_N
    passed_N = total_N - quadratic_N / batch

    law = gaussian(phi, centred * (1 - 1 / batch) + common)
    known_C = [
        law.mean(phi.function),
        law.mean(lambda h: phi.function(h) ** 2),
        law.mean(phi.derivative),
        law.mean(lambda h: phi.derivative(h) ** 2),
    ]
    ratio_N, through_N = (batch * trace_N / norm_N / (batch - 1) for trace_N in (total_N, passed_N))
    slope = max(_controlled(ratio_N, controls_NC, known_C), 0.0)
    if slope == 0:
        return BatchNormAfter(slope=0.0, centred=0.0, spread=0.0)
    centred_part = _controlled(through_N, controls_NC, known_C) / slope
    return BatchNormAfter(slope=slope, centred=max(centred_part, 0.0), spread=float(np.var(ratio_N / ratio_N.mean())))


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
