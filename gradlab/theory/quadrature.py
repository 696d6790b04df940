"""Expectations under the two laws of a pre-activation h: Gaussian, and a coordinate of a normalized batch.

Composite Gauss–Legendre, no sampling. Panels end wherever φ or φ' is not smooth: at kinks, and at ± 2^k around 0, so
that a bend of any sharpness and a peak of φ' of any width, as √q → ∞ makes it, lies in panels of its own size. On
[a, 2a] a function whose poles lie on the imaginary axis (sigmoid, tanh, softplus) loses a factor 5.83² of its error
with each node.

Both laws are symmetric, so a quadrature holds nodes h > 0 only, and `Quadrature.mean` adds −h: the mean of an odd φ is
exactly 0.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from math import asin, ceil, log2, pi, sqrt

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from gradlab.networks.activations import ActivationFunction

Array = NDArray[np.float64]

REACH = 12.0
"""Standard deviations that count: exp(−12²/2) = 5e-32."""
SHARPEST = 2.0**-20
"""The finest bend of φ that gets panels of its own size."""
PAIR_SHARPEST = 2.0**-8
"""The same for pairs of samples, whose number of nodes goes squared."""
PAIR_REACH = 9.0
"""The same as `REACH` for pairs: exp(−9²/2) = 3e-18."""


@dataclass(frozen=True, eq=False)
class Quadrature:
    """A symmetric law of h: N nodes h > 0 with their weights, which add up to 1/2."""

    nodes_N: Array
    weights_N: Array

    def mean(self, function: Callable[[Array], Array]) -> float:
        """E f(h)."""
        return float(self.weights_N @ (function(self.nodes_N) + function(-self.nodes_N)))


@dataclass(frozen=True)
class OutputMoments:
    """Moments of what an activation gives out, x = φ(h), under a law of h.

    Attributes:
        mean: E φ.
        second_moment: E φ².
        variance: E (φ − E φ)², over units and samples.
    """

    mean: float
    second_moment: float
    variance: float


def gaussian(phi: ActivationFunction, q: float) -> Quadrature:
    """H ~ N(0, q), good to 1e-12 or so of E φ² and E φ'² for any q from 0 to 1e300."""
    scale = sqrt(q)
    edges = np.arange(REACH + 1)
    if scale > 0:
        edges = np.concatenate([edges, _knots(phi, SHARPEST, REACH * scale) / scale])
    z_N, weights_N = _panels(np.unique(edges), 16)
    return Quadrature(scale * z_N, weights_N * np.exp(-(z_N**2) / 2) / sqrt(2 * pi))


def sphere(phi: ActivationFunction, batch: int) -> Quadrature:
    """H = √B u_a, u uniform on the centred unit sphere in R^B: one sample of a normalized batch of Gaussians.

    u has B − 1 free dimensions and the unit vector of sample a has length √(1 − 1/B) in them, so that h = √(B−1) sin θ
    with density ∝ cos^(B−3) θ. B ≥ 3.
    """
    theta_N, weights_N = _panels(_angles(phi, batch, SHARPEST, REACH), 16)
    weights_N = weights_N * np.cos(theta_N) ** (batch - 3)
    return Quadrature(sqrt(batch - 1) * np.sin(theta_N), weights_N / (2 * weights_N.sum()))


@dataclass(frozen=True, eq=False)
class PairQuadrature:
    """Two samples of one normalized batch: N nodes of the one, for each of them M nodes of the other."""

    first_N: Array
    weights_N: Array
    second_NM: Array
    weights_NM: Array

    def mean(self, function: Callable[[Array], Array]) -> float:
        """E f(h_a) f(h_b), a ≠ b."""
        return float(self.weights_N @ (function(self.first_N) * (self.weights_NM * function(self.second_NM)).sum(1)))


def sphere_pair(phi: ActivationFunction, batch: int) -> PairQuadrature:
    """(√B u_a, √B u_b), u uniform on the centred unit sphere in R^B, B ≥ 4.

    In the B − 1 free dimensions the two coordinates have correlation ρ = −1/(B−1). With the first at √(B−1) sin θ the
    second is √(B−1) (ρ sin θ + √(1−ρ²) cos θ sin τ), with density ∝ cos^(B−4) τ.
    """
    radius, rho = sqrt(batch - 1), -1 / (batch - 1)
    across = sqrt(1 - rho**2)
    half = _angles(phi, batch, PAIR_SHARPEST, PAIR_REACH)
    # where a kink of the second sample leaves its range, the inner integral has a kink in θ
    leaving = [
        asin(rho * k + sign * across * sqrt(1 - k**2))
        for k in (kink / radius for kink in phi.kinks)
        if abs(k) < 1
        for sign in (-1, 1)
    ]
    edges = np.concatenate([-half, half, [edge for edge in leaving if abs(edge) < half[-1]]])
    theta_N, weights_N = _panels(np.unique(edges), 8)
    weights_N = weights_N * np.cos(theta_N) ** (batch - 3)

    knots = _knots(phi, PAIR_SHARPEST, min(radius, PAIR_REACH + 1)) / radius
    knots = np.unique(np.concatenate([-knots, knots, np.sin(half), -np.sin(half)]))
    sine_NE = (knots - rho * np.sin(theta_N)[:, None]) / (across * np.cos(theta_N)[:, None])
    tau_NM, weights_NM = _panels(np.arcsin(np.clip(sine_NE, -1, 1)), 8)
    weights_NM = weights_NM * np.cos(tau_NM) ** (batch - 4)
    second_NM = radius * (rho * np.sin(theta_N)[:, None] + across * np.cos(theta_N)[:, None] * np.sin(tau_NM))
    return PairQuadrature(
        first_N=radius * np.sin(theta_N),
        weights_N=weights_N / weights_N.sum(),
        second_NM=second_NM,
        weights_NM=weights_NM / weights_NM.sum(1, keepdims=True),
    )


# ------------------------------------------------------------------------------------------------------------- panels


def _knots(phi: ActivationFunction, sharpest: float, reach: float) -> Array:
    """Values |h| ≤ reach at which a panel must end, 0 included, in no order."""
    dyadic = 2.0 ** np.arange(log2(sharpest), ceil(log2(max(reach, sharpest))))
    knots = np.concatenate([[0.0], np.abs(phi.kinks), dyadic])
    return np.asarray(knots[knots < reach])


def _angles(phi: ActivationFunction, batch: int, sharpest: float, reach: float) -> Array:
    """Panel ends for θ > 0 in h = √(B−1) sin θ, ascending, 0 included."""
    radius = sqrt(batch - 1)
    reach = min(radius, reach)
    return np.arcsin(np.unique([*np.arange(reach), reach, *_knots(phi, sharpest, reach)]) / radius)


@functools.cache
def _legendre(nodes: int) -> tuple[Array, Array]:
    """Gauss–Legendre nodes and weights on [0, 1]."""
    x, weights = leggauss(nodes)
    return (1 + x) / 2, weights / 2


def _panels(edges_E: Array, nodes: int) -> tuple[Array, Array]:
    """Nodes and weights of the composite rule between edges (…, E) ─► (…, (E−1)·nodes) each."""
    x, weights = _legendre(nodes)
    left, length = edges_E[..., :-1, None], np.diff(edges_E)[..., None]
    shape = (*edges_E.shape[:-1], -1)
    return (left + length * x).reshape(shape), (length * weights).reshape(shape)
