import math

import numpy as np
import pytest
import torch

from gradlab import choices
from gradlab.networks.activations import _FUNCTIONS, SATURATED, SELU_ALPHA, SELU_LAMBDA, activation, module
from gradlab.networks.elementwise import Elementwise
from tests.own import NAMED_ACTIVATIONS

CHOICES = [choice() for choice in NAMED_ACTIVATIONS.values()] + [
    choices.LeakyReLU(negative_slope=0.2),
    choices.LeakyReLU(negative_slope=0.001),
    choices.LeakyReLU(negative_slope=-0.5),
    choices.LeakyReLU(negative_slope=-1.0),
    choices.LeakyReLU(negative_slope=2.0),
    choices.LeakyReLU(negative_slope=200.0),
    choices.Softplus(beta=3.0),
    choices.PReLU(init=0.0),
    choices.PReLU(init=0.1),
    choices.ELU(alpha=0.005),
    choices.ELU(alpha=0.3),
    choices.ELU(alpha=2.0),
    choices.ELU(alpha=200.0),
    choices.CELU(alpha=0.5),
    choices.GELU(approximate="tanh"),
]
EVERY = pytest.mark.parametrize("choice", CHOICES, ids=lambda c: str(c.model_dump()))
GRID = np.concatenate([np.linspace(-30, 30, 60_001), np.linspace(-1.5, 1.5, 30_001)])


def in_torch(choice):
    """φ and φ' of the torch module, by autograd, on the grid."""
    h = torch.tensor(GRID, requires_grad=True)
    x = module(choice).double()(h)
    (slope,) = torch.autograd.grad(x.sum(), h)
    return x.detach().numpy(), slope.numpy()


def test_the_registry_is_that_of_the_configs():
    assert set(_FUNCTIONS) == set(NAMED_ACTIVATIONS)


@EVERY
def test_function_and_derivative_equal_torch(choice):
    phi = activation(choice)
    x, slope = in_torch(choice)
    # In float64 PyTorch's softplus still leaves out exp(−20) = 2e-9, and its hard_sigmoid has a float32 1/6 for slope
    exact = choice.name not in ("softplus", "hard_sigmoid")
    np.testing.assert_allclose(phi.function(GRID), x, rtol=1e-9, atol=1e-12 if exact else 3e-9)
    np.testing.assert_allclose(phi.derivative(GRID), slope, rtol=1e-9, atol=1e-12 if exact else 6e-9)


@EVERY
def test_saturation_is_where_the_slope_is_below_one_percent(choice):
    _, slope = in_torch(choice)
    phi = activation(choice)
    expected = np.abs(slope) < SATURATED * np.abs(slope).max()
    measured = np.any([(low < GRID) & (high > GRID) for low, high in (*phi.saturation, (1, -1))], axis=0)
    edges = [edge for interval in phi.saturation for edge in interval]
    beside_an_edge = np.any([np.abs(GRID - edge) < 1e-9 for edge in (*edges, math.inf)], axis=0)
    kinks = np.isin(GRID, phi.kinks)
    np.testing.assert_array_equal(measured[~beside_an_edge | kinks], expected[~beside_an_edge | kinks])


@EVERY
def test_far_out_nothing_overflows(choice):
    h = np.array([-np.inf, -1e300, -1e4, 1e4, 1e300, np.inf])
    phi = activation(choice)
    with np.errstate(all="raise", under="ignore"):
        assert not np.isnan(phi.derivative(h)).any()
        x = phi.function(h)
    assert not np.isnan(x).any()
    expected = module(choice).double()(torch.tensor(h)).numpy(force=True)
    known = ~np.isnan(expected)  # PyTorch multiplies 0 · ∞ in some
    np.testing.assert_allclose(x[known], expected[known], rtol=1e-7)


def expectation(function):
    """E f(z), z ~ N(0, 1), by the trapezoidal rule, which converges fast for a Gaussian."""
    z = np.linspace(-12, 12, 2_400_001)
    return np.trapezoid(function(z) * np.exp(-(z**2) / 2), z) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize(
    ("choice", "gain"),
    [
        (choices.Tanh(), 1.592537),
        (choices.Sigmoid(), 1.846229),
        (choices.ReLU(), math.sqrt(2)),
        (choices.LeakyReLU(negative_slope=0.2), math.sqrt(2 / 1.04)),
        (choices.ELU(), 1.245198),
        (choices.SELU(), 1.0),
        (choices.Softplus(), 1.041867),
    ],
)
def test_gains_of_the_literature(choice, gain):
    phi = activation(choice)
    assert expectation(lambda z: phi.function(z) ** 2) ** -0.5 == pytest.approx(gain, abs=6e-7)


def test_selu_constants_make_mean_0_and_variance_1_a_fixed_point():
    phi = activation(choices.SELU())
    assert expectation(phi.function) == pytest.approx(0, abs=1e-9)
    assert expectation(lambda z: phi.function(z) ** 2) == pytest.approx(1, abs=1e-9)
    assert (SELU_ALPHA, SELU_LAMBDA) == (1.6732632423543772, 1.0507009873554805)


@EVERY
def test_traits_are_what_the_function_does(choice):
    """Every trait of an activation, measured on the function itself."""
    phi, traits = activation(choice), choice.traits
    assert traits.bounded == bool(np.abs(phi.function(np.array([-1e6, 1e6]))).max() < 10)
    low = np.array([-30.0, -20.0])  # further out, exp(h) of the smooth ones is 0 too
    off = not phi.derivative(low).any() and not phi.function(low).any()
    learned = choice.name in ("leaky_relu", "prelu") and off  # a slope of 0 that was asked for
    assert traits.can_die == (off and not learned)
    assert traits.zero_centred == (abs(float(phi.function(np.zeros(1))[0])) < 1e-12)
    homogeneous = np.allclose(phi.function(3 * GRID), 3 * phi.function(GRID), rtol=1e-12, atol=1e-12)
    assert traits.homogeneous == homogeneous
    # half-stable: bent like GELU, with a minimum below 0
    assert traits.half_stable == (float(phi.derivative(GRID).min()) < -1e-6 and choice.name != "leaky_relu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_module_made_of_numpy_functions_is_that_of_torch(dtype):
    choice = choices.Tanh()
    phi = activation(choice)
    h = torch.linspace(-5, 5, 101, dtype=dtype, requires_grad=True)
    for built in (module(choice), Elementwise(choice, phi.function, phi.derivative)):
        x = built(h)
        (slope,) = torch.autograd.grad(x.sum(), h)
        assert x.dtype == slope.dtype == dtype
        np.testing.assert_allclose(x.detach(), np.tanh(h.detach().numpy()), rtol=1e-6)
        np.testing.assert_allclose(slope, 1 / np.cosh(h.detach().double().numpy()) ** 2, atol=1e-6)
