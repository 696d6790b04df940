"""BatchNorm of a finite batch: closed forms, brute force over Gaussian batches in NumPy, and autograd."""

import math

import numpy as np
import pytest
import torch

from gradlab import choices
from gradlab.networks.activations import activation, module
from gradlab.theory.batch_norm import _norm_after, norm_after, norm_before
from gradlab.theory.blocks import moments, scaled

NAMES = ["identity", "relu", "sigmoid", "tanh", "hard_tanh", "elu", "silu", "softplus"]


def before(choice, batch, epsilon=1e-9):
    """The law of a block with BatchNorm before an activation, at unit variance."""
    return norm_before(activation(choice), batch, 1.0, epsilon)


def after(choice, centred, common, batch, epsilon=1e-9):
    return norm_after(activation(choice), centred, common, batch, epsilon)


def growth(choice, batch):
    """Of RMS δ a layer toward the input, with BatchNorm before the activation."""
    law = before(choice, batch)
    return math.sqrt(law.slope / law.centred)


def relu_growth(batch):
    """The same for ReLU from orthant probabilities and the arc-cosine kernel (Cho & Saul 2009), ρ = −1/(B−1)."""
    rho = -1 / (batch - 1)
    both = 1 / 4 + math.asin(rho) / (2 * math.pi)  # P(u_a > 0, u_b > 0)
    kernel = (math.sqrt(1 - rho**2) + rho * (math.pi / 2 + math.asin(rho))) / (2 * math.pi) / batch
    quadratic = batch / 2 - (1 / 2 + (batch - 1) * both) - (1 / 2 + batch * (batch - 1) * kernel)
    kappa = 1 / 2 - batch * kernel
    return math.sqrt(batch / (kappa * (batch - 3)) * ((batch - 2) / 2 - quadratic / batch) / (batch - 1))


@pytest.mark.parametrize("batch", [8, 16, 32, 128, 512, 10_000, 10**6])
def test_relu_has_a_closed_form(batch):
    assert growth(choices.ReLU(), batch) == pytest.approx(relu_growth(batch), rel=1e-10)


def test_relu_at_the_smallest_batches():
    """Densities end in a step there, which costs quadrature some digits."""
    assert growth(choices.ReLU(), 4) == pytest.approx(relu_growth(4), rel=1e-5)
    assert growth(choices.ReLU(), 5) == pytest.approx(relu_growth(5), rel=1e-8)


@pytest.mark.parametrize("batch", [4, 5, 8, 128, 10**6])
def test_linear_is_a_ratio(batch):
    assert growth(choices.Identity(), batch) ** 2 == pytest.approx((batch - 2) / (batch - 3), rel=1e-10)


@pytest.mark.parametrize(
    ("batch", "expected"), [(8, 1.3381), (32, 1.2331), (128, 1.2162), (512, 1.2122), (10**9, 1.2112)]
)
def test_relu_is_near_the_sampled_reference(batch, expected):
    """The reference numbers are means over samples, right to 1e-3; the closed form above is exact."""
    assert growth(choices.ReLU(), batch) == pytest.approx(expected, abs=1e-3)


def test_sigmoid_is_near_the_sampled_reference():
    assert growth(choices.Sigmoid(), 128) == pytest.approx(1.0204, abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_large_batches_reach_the_gaussian_limit(name):
    choice = choices.ACTIVATIONS[name]()
    limit = moments(choice, 1.0)
    expected = math.sqrt(limit.slope / limit.variance)
    assert growth(choice, 10**8) == pytest.approx(expected, rel=1e-6)
    settled = after(choice, 1.0, 0.0, 2**14)
    assert math.sqrt(settled.slope * settled.centred) == pytest.approx(expected, rel=3e-3)


def centred_gaussians(batch, draws, seed=0):
    z = np.random.default_rng(seed).standard_normal((draws, batch))
    return z - z.mean(1, keepdims=True)


def assert_sampled(samples, expected, sds=4.5):
    """A sample's mean is within some standard errors of what is expected."""
    error = samples.std() / math.sqrt(len(samples))
    assert abs(samples.mean() - expected) < sds * error, f"{samples.mean()} ± {error}, not {expected}"
    assert error < 0.02 * abs(expected), "the sample is too small to tell"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [4, 8, 33])
def test_before_equals_brute_force_in_numpy(name, batch):
    """The reference's formula, term by term, over batches."""
    choice = choices.ACTIVATIONS[name]()
    phi = activation(choice)
    z = centred_gaussians(batch, 800_000 // batch)
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    f, slope = phi.function(math.sqrt(batch) * u), phi.derivative(math.sqrt(batch) * u)
    quadratic = (slope**2).sum(1) - slope.sum(1) ** 2 / batch - (slope * u).sum(1) ** 2
    trace = (slope**2 * (1 - 1 / batch - u**2)).sum(1) - quadratic / batch
    law = before(choice, batch)
    assert law.mean == pytest.approx(f.mean(), abs=4 * f.std() / math.sqrt(f.size) + 1e-12)
    if name != "identity":  # nothing varies
        assert_sampled(trace / (batch - 1) * batch / (batch - 3), law.slope)
        assert_sampled(f.var(1) * batch / (batch - 1), law.centred)
    assert law.second_moment == pytest.approx((f**2).mean(), rel=0.01)
    assert law.variance == pytest.approx(f.var(), rel=0.01)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [8, 32])
def test_before_equals_autograd(name, batch):
    """No formula: a random centred δ_x back through the activation and a normalization."""
    choice = choices.ACTIVATIONS[name]()
    h = torch.tensor(centred_gaussians(batch, 800_000 // batch, seed=1), requires_grad=True)
    centred = h - h.mean(1, keepdim=True)
    x = module(choice)(centred / h.var(1, correction=0, keepdim=True).sqrt())
    x.backward(torch.tensor(centred_gaussians(batch, len(h), seed=2)))
    delta_h, norm = (h.grad**2).sum(1).numpy(), (h**2).sum(1).detach().numpy()
    # ‖h‖² is independent of all else: E 1/‖h‖² = 1/(B−3) is put in by hand, as its sample mean has a heavy tail
    assert_sampled(delta_h * norm / (batch - 3) / (batch - 1), before(choice, batch).slope)


@pytest.mark.parametrize(
    ("name", "variance", "common"),
    [
        *[(name, q, 0.0) for name in ("tanh", "sigmoid", "elu", "softplus", "relu") for q in (0.3, 2.0)],
        *[
            (name, 1.0, 0.25) for name in ("tanh", "sigmoid", "elu", "softplus")
        ],  # relu: the tail is too heavy to sample
    ],
)
def test_after_equals_autograd(name, variance, common):
    """No formula: a random centred δ_x back through a normalization and the activation before it."""
    choice, batch = choices.ACTIVATIONS[name](), 32
    draws = 60_000
    shift = np.random.default_rng(3).standard_normal((draws, 1))
    h = torch.tensor(
        math.sqrt(variance) * centred_gaussians(batch, draws, seed=4) + math.sqrt(common) * shift, requires_grad=True
    )
    f = module(choice)(h)
    f = f - f.mean(1, keepdim=True)
    (f / (f**2).mean(1, keepdim=True).sqrt()).backward(torch.tensor(centred_gaussians(batch, draws, seed=5)))
    delta = h.grad.numpy()
    law = after(choice, variance, common, batch)
    assert (delta**2).sum(1).mean() / (batch - 1) == pytest.approx(law.slope, rel=0.02 if name != "relu" else 0.06)
    passed = (delta.var(1) * batch).sum() / (delta**2).sum()
    assert passed == pytest.approx(law.centred, rel=0.01)


def test_after_a_linear_layer_is_like_before():
    law = after(choices.Identity(), 64 / 63, 0.0, 64)  # σ_w² = 1: h has covariance B/(B−1) G
    assert law.slope == pytest.approx(62 / 61, rel=1e-4)
    assert law.centred == pytest.approx(1.0, abs=1e-12)


def test_the_sample_is_fixed():
    first = after(choices.Tanh(), 1.0, 0.0, 16)
    _norm_after.cache_clear()
    assert after(choices.Tanh(), 1.0, 0.0, 16) == first


# -------------------------------------------------------------------------------------------------- γ, β and ε


def normalized(h, epsilon, gamma=1.0, beta=0.0):
    """What torch's BatchNorm1d gives out for rows of h that are units."""
    norm = torch.nn.BatchNorm1d(len(h), eps=epsilon, dtype=torch.float64)
    torch.nn.init.constant_(norm.weight, gamma)
    torch.nn.init.constant_(norm.bias, beta)
    return norm(h.T).T


@pytest.mark.parametrize("name", ["relu", "tanh", "hard_tanh", "softplus"])
@pytest.mark.parametrize(
    ("batch", "variance", "epsilon", "gamma", "beta"),
    [(32, 1.0, 0.2, 1.0, 0.0), (8, 1e-5, 1e-5, 1.0, 0.0), (16, 0.5, 3.0, 2.0, -0.5), (32, 1.0, 1e-5, 0.5, 0.3)],
)
def test_before_with_its_options_equals_autograd(name, batch, variance, epsilon, gamma, beta):
    """PyTorch's own BatchNorm1d, and a random centred δ_x back through it."""
    choice, draws = choices.ACTIVATIONS[name](), 40_000
    h = torch.tensor(math.sqrt(variance) * centred_gaussians(batch, draws, seed=6), requires_grad=True)
    x = module(choice)(normalized(h, epsilon, gamma, beta))
    x.backward(torch.tensor(centred_gaussians(batch, draws, seed=7)))
    f = x.detach().numpy()
    law = norm_before(scaled(activation(choice), gamma, beta), batch, variance, epsilon)
    assert law.mean == pytest.approx(f.mean(), abs=5 * f.std() / math.sqrt(f.size))
    assert law.second_moment == pytest.approx((f**2).mean(), rel=0.01)
    assert law.variance == pytest.approx(f.var(), rel=0.01)
    assert law.centred == pytest.approx((f.var(1) * batch / (batch - 1)).mean(), rel=0.01)
    assert law.slope == pytest.approx((h.grad.numpy() ** 2).sum(1).mean() / (batch - 1), rel=0.02)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus"])
@pytest.mark.parametrize(("variance", "epsilon"), [(1.0, 0.05), (0.3, 2.0)])
def test_after_with_an_epsilon_that_counts_equals_autograd(name, variance, epsilon):
    choice, batch, draws = choices.ACTIVATIONS[name](), 32, 40_000
    h = torch.tensor(math.sqrt(variance) * centred_gaussians(batch, draws, seed=8), requires_grad=True)
    x = normalized(module(choice)(h), epsilon)
    x.backward(torch.tensor(centred_gaussians(batch, draws, seed=9)))
    law = after(choice, variance, 0.0, batch, epsilon)
    assert law.slope == pytest.approx((h.grad.numpy() ** 2).sum(1).mean() / (batch - 1), rel=0.02)
    assert law.kept == pytest.approx((x.detach().numpy() ** 2).mean(), rel=0.01)


@pytest.mark.parametrize("batch", [4, 8, 128])
def test_where_epsilon_begins_to_count_nothing_jumps(batch):
    below, above = (before(choices.Tanh(), batch, epsilon) for epsilon in (0.99e-4, 1.01e-4))
    assert above.slope == pytest.approx(below.slope, rel=1e-3 if batch > 4 else 2e-2)  # E 1/s² only just exists at 4
    assert above.centred == pytest.approx(below.centred, rel=5e-4)


def test_a_batch_that_does_not_vary_passes_delta_on_divided_by_epsilon():
    law = norm_before(activation(choices.Tanh()), 64, 0.0, 0.25)
    assert (law.mean, law.kept) == (0.0, 0.0)
    assert law.slope == pytest.approx(1 / 0.25, rel=1e-9)  # y = Gh/√ε, φ' = 1
