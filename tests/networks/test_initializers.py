import math

import numpy as np
import pytest
import torch
from scipy import stats

from gradlab import choices
from gradlab.networks.initializers import _INITIALIZERS, fill, mean, variance
from tests.own import NAMED_INITIALIZERS

FANS = [(300, 500), (500, 300)]
N = 300 * 500


def drawn(choice, fan_in, fan_out, seed=0):
    weight = torch.empty(fan_out, fan_in, dtype=torch.float64)
    fill(choice, weight, torch.Generator().manual_seed(seed))
    return weight.numpy()


def assert_distribution(w, *, variance, kurtosis, bound=None):
    """Mean, variance and kurtosis within five standard errors; no entry beyond the bound, and some near it."""
    std = math.sqrt(variance)
    summary = (
        f"mean {w.mean():.4g}, var {w.var():.6g} (expected {variance:.6g}), kurtosis {stats.kurtosis(w, None):.4f}"
    )
    assert abs(w.mean()) < 5 * std / math.sqrt(N), summary
    assert w.var() == pytest.approx(variance, rel=5 * math.sqrt((kurtosis - 1) / N)), summary
    assert stats.kurtosis(w, None, fisher=False) == pytest.approx(kurtosis, abs=0.07), summary
    if bound is not None:
        assert 0.99 * bound < np.abs(w).max() <= bound * (1 + 1e-12), summary


UNIFORM, TRUNCATED, NORMAL = 1.8, 2.3655, 3.0


def expected_variance(name, fan_in, fan_out):
    return {
        "glorot": 2 / (fan_in + fan_out),
        "he": 2 / fan_in,
        "lecun": 1 / fan_in,
    }[name]


@pytest.mark.parametrize(("fan_in", "fan_out"), FANS)
@pytest.mark.parametrize("law", ["glorot", "he", "lecun"])
def test_keras_names_give_keras_distributions(law, fan_in, fan_out):
    nominal = expected_variance(law, fan_in, fan_out)
    uniform = drawn(choices.INITIALIZERS[f"{law}_uniform"](), fan_in, fan_out)
    assert_distribution(uniform, variance=nominal, kurtosis=UNIFORM, bound=math.sqrt(3 * nominal))
    normal = drawn(choices.INITIALIZERS[f"{law}_normal"](), fan_in, fan_out)
    # truncated at 2σ with σ = √Var / 0.8796: the variance is nominal, and the largest entry 2.2737 std
    assert_distribution(normal, variance=nominal, kurtosis=TRUNCATED, bound=2.2737 * math.sqrt(nominal) * 1.0001)


@pytest.mark.parametrize(("fan_in", "fan_out"), FANS)
def test_variance_scaling(fan_in, fan_out):
    for mode, fan in [("fan_in", fan_in), ("fan_out", fan_out), ("fan_avg", (fan_in + fan_out) / 2)]:
        for distribution, kurtosis in [
            ("truncated_normal", TRUNCATED),
            ("untruncated_normal", NORMAL),
            ("uniform", UNIFORM),
        ]:
            choice = choices.VarianceScaling(scale=1.7, mode=mode, distribution=distribution)
            assert_distribution(drawn(choice, fan_in, fan_out), variance=1.7 / fan, kurtosis=kurtosis)


@pytest.mark.parametrize(("fan_in", "fan_out"), FANS)
def test_pytorch_names_give_pytorch_distributions(fan_in, fan_out):
    glorot = 2 / (fan_in + fan_out)
    assert_distribution(drawn(choices.XavierNormal(gain=2.0), fan_in, fan_out), variance=4 * glorot, kurtosis=NORMAL)
    assert_distribution(drawn(choices.XavierUniform(), fan_in, fan_out), variance=glorot, kurtosis=UNIFORM)
    he = choices.KaimingNormal(nonlinearity="relu")
    assert_distribution(drawn(he, fan_in, fan_out), variance=2 / fan_in, kurtosis=NORMAL)
    leaky = choices.KaimingUniform(a=0.5, mode="fan_out")
    assert_distribution(drawn(leaky, fan_in, fan_out), variance=2 / 1.25 / fan_out, kurtosis=UNIFORM)
    default = drawn(choices.PytorchDefault(), fan_in, fan_out)
    assert_distribution(default, variance=1 / 3 / fan_in, kurtosis=UNIFORM, bound=1 / math.sqrt(fan_in))


def test_fixed_scales():
    assert_distribution(drawn(choices.Normal(std=0.3), 300, 500), variance=0.09, kurtosis=NORMAL)
    assert_distribution(drawn(choices.Uniform(limit=0.3), 300, 500), variance=0.03, kurtosis=UNIFORM, bound=0.3)
    truncated = drawn(choices.TruncatedNormal(std=0.3), 300, 500)
    assert_distribution(truncated, variance=0.09 * 0.7737413, kurtosis=TRUNCATED, bound=0.6)
    assert (drawn(choices.Zeros(), 300, 500) == 0).all()
    assert (drawn(choices.Constant(value=0.7), 300, 500) == 0.7).all()


@pytest.mark.parametrize(("fan_in", "fan_out"), [*FANS, (200, 200)])
def test_orthogonal_has_all_singular_values_equal(fan_in, fan_out):
    singular = np.linalg.svd(drawn(choices.Orthogonal(gain=1.5), fan_in, fan_out), compute_uv=False)
    np.testing.assert_allclose(singular, 1.5, atol=1e-12)


@pytest.mark.parametrize("gain", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_kaiming_variance_is_that_of_pytorchs_gain(gain):
    choice = choices.KaimingNormal(nonlinearity=gain, a=0.3)
    squared = torch.nn.init.calculate_gain(gain, 0.3) ** 2
    assert variance(choice, 300, 500) == pytest.approx(squared / 300, rel=1e-12)


@pytest.mark.parametrize("name", NAMED_INITIALIZERS)
@pytest.mark.parametrize(("fan_in", "fan_out"), FANS)
def test_variance_and_mean_say_what_filling_does(name, fan_in, fan_out):
    choice = choices.INITIALIZERS[name]()
    w = drawn(choice, fan_in, fan_out)
    told = variance(choice, fan_in, fan_out)
    assert w.mean() == pytest.approx(mean(choice), abs=5 * w.std() / math.sqrt(N) + 1e-12)
    if name == "lsuv":
        assert told is None
    else:
        assert w.var() == pytest.approx(told, rel=0.025, abs=1e-20)


@pytest.mark.parametrize("name", NAMED_INITIALIZERS)
def test_only_the_generator_matters(name):
    choice = choices.INITIALIZERS[name]()
    first = drawn(choice, 30, 20, seed=4)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    np.testing.assert_array_equal(drawn(choice, 30, 20, seed=4), first)
    assert torch.equal(torch.get_rng_state(), state)
    if name not in ("zeros", "constant"):
        assert (drawn(choice, 30, 20, seed=5) != first).any()


@pytest.mark.parametrize("name", NAMED_INITIALIZERS)
def test_the_number_of_threads_does_not_matter(name):
    before = torch.get_num_threads()
    weights = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            weights.append(drawn(choices.INITIALIZERS[name](), 100, 64))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*weights)


def test_the_registry_is_that_of_the_configs():
    assert set(_INITIALIZERS) == set(choices.INITIALIZERS)
