"""E φ, E φ² and E φ'² against closed forms and against scipy's adaptive quadrature."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import IntegrationWarning, quad
from scipy.special import ndtr

from gradlab import choices
from gradlab.networks.activations import activation
from gradlab.theory.blocks import LARGEST_Q, moments
from gradlab.theory.quadrature import gaussian, sphere, sphere_pair
from tests.own import NAMED_ACTIVATIONS

CHOICES = [choice() for choice in NAMED_ACTIVATIONS.values()] + [
    choices.LeakyReLU(negative_slope=0.2),
    choices.LeakyReLU(negative_slope=-0.5),
    choices.Softplus(beta=50.0),
    choices.ELU(alpha=0.3),
    choices.CELU(alpha=0.01),
    choices.GELU(approximate="tanh"),
]
EVERY = pytest.mark.parametrize("choice", CHOICES, ids=lambda c: str(c.model_dump()))
VARIANCES = [1e-6, 1e-3, 0.1, 1.0, 7.0, 100.0, 1e4]


def by_scipy(phi, q, function):
    """E f(√q z), adaptively, between points where φ may bend."""
    scale = math.sqrt(q)
    bends = [0.0, *(sign * bend / scale for bend in (1e-3, 0.1, 1, 3, 6, 10, 40) for sign in (-1, 1))]
    edges = sorted({-12.0, 12.0, *(edge for edge in bends if abs(edge) < 12), *(k / scale for k in phi.kinks)})
    edges = [edge for edge in edges if abs(edge) <= 12]
    total = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IntegrationWarning)
        for low, high in pairwise(edges):
            total += quad(
                lambda z: float(function(np.float64(scale * z))) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
                low,
                high,
                epsabs=0,
                epsrel=1e-12,
                limit=200,
            )[0]
    return total


@EVERY
@pytest.mark.parametrize("q", VARIANCES)
def test_moments_equal_scipys(choice, q):
    phi, measured = activation(choice), moments(choice, q)
    second = by_scipy(phi, q, lambda h: phi.function(h) ** 2)
    assert measured.second_moment == pytest.approx(second, rel=1e-10)
    assert measured.mean == pytest.approx(by_scipy(phi, q, phi.function), rel=1e-10, abs=1e-12 * math.sqrt(second))
    assert measured.slope == pytest.approx(by_scipy(phi, q, lambda h: phi.derivative(h) ** 2), rel=1e-10)


@pytest.mark.parametrize("q", [1e-30, 1e-6, 0.3, 1.0, 40.0, 1e4, 1e12, 1e30, 1e200])
def test_piecewise_linear_activations_have_closed_forms(q):
    scale = math.sqrt(q)
    relu = moments(choices.ReLU(), q)
    assert relu.mean == pytest.approx(math.sqrt(q / (2 * math.pi)), rel=1e-12)
    assert relu.second_moment == pytest.approx(q / 2, rel=1e-12)
    assert relu.slope == pytest.approx(1 / 2, rel=1e-12)
    leaky = moments(choices.LeakyReLU(negative_slope=0.2), q)
    assert leaky.second_moment == pytest.approx(q * 1.04 / 2, rel=1e-12)
    assert leaky.slope == pytest.approx(1.04 / 2, rel=1e-12)
    inside = math.erf(1 / scale / math.sqrt(2))
    density = math.exp(-1 / (2 * q)) / math.sqrt(2 * math.pi) if q > 1e-3 else 0.0
    hard_tanh = moments(choices.HardTanh(), q)
    assert hard_tanh.slope == pytest.approx(inside, rel=1e-12)
    if q < 1e8:  # the closed form itself cancels further out
        assert hard_tanh.second_moment == pytest.approx(
            q * (inside - 2 / scale * density) + 2 * float(ndtr(-1 / scale)), rel=1e-9
        )
    assert moments(choices.HardSigmoid(), q).slope == pytest.approx(math.erf(3 / scale / math.sqrt(2)) / 36, rel=1e-12)
    assert moments(choices.ReLU6(), q).slope == pytest.approx(math.erf(6 / scale / math.sqrt(2)) / 2, rel=1e-12)


@pytest.mark.parametrize("q", VARIANCES)
def test_gelu_has_a_closed_form(q):
    """E hΦ(h) = q/√(2π(1+q)), Stein's lemma."""
    assert moments(choices.GELU(), q).mean == pytest.approx(q / math.sqrt(2 * math.pi * (1 + q)), rel=1e-12)


def test_a_saturated_slope_is_a_narrow_peak():
    """For √q → ∞, E φ'² → ∫φ'² dh / √(2πq): 4/3 for tanh, 1/6 for sigmoid, 2/3 for softsign."""
    for choice, area in ((choices.Tanh(), 4 / 3), (choices.Sigmoid(), 1 / 6), (choices.Softsign(), 2 / 3)):
        for q in (1e16, 1e30, 1e100, 1e300):
            assert moments(choice, q).slope == pytest.approx(area / math.sqrt(2 * math.pi * q), rel=1e-7)


@EVERY
@pytest.mark.parametrize("q", [0.0, 1e-300, 1e-30, 1e30, LARGEST_Q, 1e305, math.inf])
def test_extremes_are_numbers_or_infinite_never_nan(choice, q):
    measured = moments(choice, q)
    assert not any(map(math.isnan, vars(measured).values()))
    assert math.isfinite(measured.slope)
    assert measured.slope >= 0
    if choice.traits.bounded or q <= LARGEST_Q:
        assert all(map(math.isfinite, vars(measured).values()))


@given(st.sampled_from(CHOICES), st.floats(1e-12, 1e12))
def test_variance_is_second_moment_minus_squared_mean(choice, q):
    measured = moments(choice, q)
    assert measured.variance == pytest.approx(
        measured.second_moment - measured.mean**2, abs=1e-12 * measured.second_moment
    )


@given(st.sampled_from(["identity", "relu", "leaky_relu", "prelu"]), st.floats(1e-20, 1e20), st.floats(1e-3, 1e3))
def test_homogeneous_activations_scale(name, q, factor):
    choice = choices.ACTIVATIONS[name]()
    one, other = moments(choice, q), moments(choice, factor * q)
    assert other.second_moment == pytest.approx(factor * one.second_moment, rel=1e-10)
    assert other.slope == pytest.approx(one.slope, rel=1e-10)
    assert other.spread == pytest.approx(one.spread, rel=1e-10)


def test_spread_is_that_of_the_width_noise():
    """√(5 L/n) of ReLU, √(2 L/n) of a linear network."""
    assert moments(choices.ReLU(), 1.0).spread == pytest.approx(5, rel=1e-10)
    assert moments(choices.Identity(), 1.0).spread == pytest.approx(2, rel=1e-10)


def test_odd_activations_have_a_mean_of_exactly_0():
    for name in ("identity", "tanh", "hard_tanh", "softsign"):
        assert moments(choices.ACTIVATIONS[name](), 3.7).mean == 0.0


@EVERY
@pytest.mark.parametrize("batch", [4, 5, 8, 32, 128, 10_000])
def test_the_sphere_has_the_moments_of_a_sphere(choice, batch):
    """E u_a² = 1/B, E u_a⁴ = 3 (1 − 1/B)²/(B² − 1), E u_a u_b = −1/(B(B−1))."""
    phi = activation(choice)
    one, two = sphere(phi, batch), sphere_pair(phi, batch)
    assert one.mean(lambda y: y**2) == pytest.approx(1, rel=1e-12)
    fourth = 3 * (1 - 1 / batch) ** 2 * batch**2 / (batch**2 - 1)
    assert one.mean(lambda y: y**4) == pytest.approx(fourth, rel=1e-12)
    rough = 1e-4 if batch < 6 and phi.kinks else 1e-9  # densities that end in a step
    assert two.mean(lambda y: y) == pytest.approx(-1 / (batch - 1), rel=rough, abs=1e-12)
    assert gaussian(phi, 2.5).mean(lambda y: y**4) == pytest.approx(3 * 2.5**2, rel=1e-12)
