"""Layer by layer against networks: in NumPy, and built and differentiated by torch."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from gradlab import choices
from gradlab.config import Config
from gradlab.networks.mlp import build_mlp
from gradlab.theory import predict
from gradlab.theory.mean_field import moments

CLASSES = 10


def config(**model):
    return Config.model_validate({"model": model})


def predicted(features, batch=128, second_moment=1.0, **model):
    return predict(
        config(**model), features=features, classes=CLASSES, input_second_moment=second_moment, batch_size=batch
    )


# ---------------------------------------------------------------------------------------------------------- constants


@pytest.mark.parametrize(
    ("name", "options", "gain", "batch_norm"),
    [
        ("tanh", {}, 1.592537, 1.0853),
        ("sigmoid", {}, 1.846229, 1.0167),
        ("relu", {}, math.sqrt(2), 1.2112),
        ("leaky_relu", {"negative_slope": 0.2}, math.sqrt(2 / 1.04), 1.1152),
        ("elu", {}, 1.245198, 1.0388),
        ("selu", {}, 1.0, 1.0352),
        ("softplus", {}, 1.041867, 1.0395),
    ],
)
def test_constants_of_the_literature(name, options, gain, batch_norm):
    at_one = moments(choices.ACTIVATIONS[name](**options), 1.0)
    assert 1 / math.sqrt(at_one.second_moment) == pytest.approx(gain, abs=5.1e-7)
    assert math.sqrt(at_one.slope / at_one.variance) == pytest.approx(batch_norm, abs=5.1e-5)


@pytest.mark.parametrize(
    ("activation", "scale", "q", "root_chi"),
    [("sigmoid", 1.0, 0.264687, 0.23605), ("sigmoid", 1 / 3, None, 0.14145), ("selu", 1.0, 1.0, 1.03517)],
)
def test_fixed_points(activation, scale, q, root_chi):
    initializer = {"name": "variance_scaling", "scale": scale}
    prediction = predicted(100, activation=activation, initializer=initializer, depth=40)
    layer = prediction.layers[-2]
    assert math.sqrt(layer.chi) == pytest.approx(root_chi, abs=5.1e-6)
    assert prediction.depth_scale == pytest.approx(1 / abs(2 * math.log(root_chi)), rel=3e-4)
    if q is not None:
        assert layer.preactivation_variance == pytest.approx(q, abs=5.1e-7)


@pytest.mark.parametrize(
    ("activation", "initializer", "features", "width", "depth", "factor", "tolerance"),
    [
        ("sigmoid", "glorot_uniform", 64, 128, 10, 0.2359, 0.006),
        ("tanh", "pytorch_default", 64, 256, 10, 0.5709, 0.012),
        ("tanh", "glorot_uniform", 256, 256, 20, 0.9327, 0.010),
        ("relu", "glorot_uniform", 64, 256, 20, 0.7071, 1e-4),
        ("relu", "he_normal", 64, 256, 20, 1.0, 1e-12),
        ("identity", "he_normal", 256, 256, 20, 1.4142, 1e-4),
        ("selu", "lecun_normal", 256, 256, 30, 1.03517, 1e-5),
        ("tanh", "orthogonal", 256, 256, 2, math.sqrt(moments(choices.Tanh(), 1.0).slope), 0.1),
    ],
)
def test_factor_a_layer_of_the_reference(activation, initializer, features, width, depth, factor, tolerance):
    prediction = predicted(features, activation=activation, initializer=initializer, width=width, depth=depth)
    inner = [layer.chi for layer in prediction.layers[1:-1]] or [prediction.layers[0].chi]
    assert math.exp(np.log(inner).mean() / 2) == pytest.approx(factor, abs=tolerance)


def test_selu_with_lecun_keeps_mean_0_and_variance_1():
    for layer in predicted(256, activation="selu", initializer="lecun_normal", width=256, depth=30).layers:
        assert layer.activation_rms == pytest.approx(1.0, rel=1e-12)
        assert layer.activation_mean == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("activation", "factor"), [("relu", 1.2162), ("sigmoid", 1.0204)])
def test_batch_norm_does_not_depend_on_the_initializer(activation, factor):
    for initializer in ("he_normal", "glorot_normal", "orthogonal", {"name": "normal", "std": 3.0}):
        prediction = predicted(
            256, activation=activation, initializer=initializer, width=256, depth=20, batch_norm="before"
        )
        assert math.sqrt(prediction.layers[5].chi) == pytest.approx(factor, abs=3e-4)


# ------------------------------------------------------------------------------------------------- networks in NumPy

WIDTHS = [400, 150, 600, 300, 150, 500]


def numpy_network(initializer_variance, relu, sigma_b, features, seeds=16, samples=16):
    """Mean squares of pre-activations and of δ, (layers, L); the last entry of δ is that of the output layer."""
    rng = np.random.default_rng(11)
    phi = (lambda h: np.maximum(h, 0)) if relu else (lambda h: h)
    fans = [features, *WIDTHS, CLASSES]
    q, delta2 = np.zeros(len(fans) - 1), np.zeros(len(fans) - 1)
    for _ in range(seeds):
        x = 1.5 * rng.standard_normal((samples, features))
        weights = [rng.uniform(-1, 1, (i, o)) * math.sqrt(3 * initializer_variance(i, o)) for i, o in pairwise(fans)]
        hs = []
        for weight in weights:
            hs.append(x @ weight + sigma_b * rng.standard_normal(weight.shape[1]))
            x = phi(hs[-1])
        delta = rng.standard_normal((samples, CLASSES))
        for layer in reversed(range(len(hs))):
            q[layer] += (hs[layer] ** 2).mean() / seeds
            delta2[layer] += (delta**2).mean() / seeds
            if layer:
                delta = delta @ weights[layer].T * ((hs[layer - 1] > 0) if relu else 1)
    return q, delta2


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("initializer", "variance", "sigma_b"),
    [
        ("glorot_uniform", lambda i, o: 2 / (i + o), 0.0),
        ("he_uniform", lambda i, o: 2 / i, 0.5),
        ({"name": "uniform", "limit": 0.1}, lambda i, o: 0.01 / 3, 0.0),
    ],
)
def test_unequal_widths(relu, initializer, variance, sigma_b):
    q, delta2 = numpy_network(variance, relu, sigma_b, features=200)
    prediction = predicted(
        200,
        second_moment=1.5**2,
        activation="relu" if relu else "identity",
        initializer=initializer,
        bias_std=sigma_b,
        width=WIDTHS,
        depth=len(WIDTHS),
    )
    np.testing.assert_allclose([layer.preactivation_variance for layer in prediction.layers], q[:-1], rtol=0.12)
    chi = [layer.chi for layer in prediction.layers]
    np.testing.assert_allclose(chi, delta2[:-1] / delta2[1:], rtol=0.12)
    relative = [layer.delta_relative for layer in prediction.layers]
    np.testing.assert_allclose(relative, np.sqrt(delta2[:-1] / delta2[-2]), rtol=0.12)


# ------------------------------------------------------------------------------------------------- networks in torch


def torch_network(model, features, batch, seeds=16):
    """log10 RMS of activations and of δ at the outputs of weight layers, by autograd, (L,) and (L + 1,)."""
    signal, delta = [], []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(1000 + seed)
        x = torch.randn(batch, features, generator=generator, dtype=torch.float64)
        y = torch.randint(CLASSES, (batch,), generator=generator)
        build = {"features": features, "classes": CLASSES, "dtype": torch.float64, "device": torch.device("cpu")}
        network = build_mlp(model, seed=seed, batch=x, **build)
        seen = {}
        for module in network.modules():
            module.register_forward_hook(lambda module, inputs, output, seen=seen: seen.update({module: output}))
        loss = torch.nn.functional.cross_entropy(network(x), y)
        gradients = torch.autograd.grad(loss, [seen[linear] for linear in network.linears()])
        delta.append([math.log10(g.square().mean().sqrt()) for g in gradients])
        signal.append([math.log10(seen[block.activation].detach().square().mean().sqrt()) for block in network.hidden])
    return np.mean(signal, 0), np.mean(delta, 0)


@pytest.mark.parametrize(
    ("model", "decades"),
    [
        ({"activation": "tanh", "initializer": "glorot_uniform", "bias_std": 0.3}, 0.02),
        ({"activation": "softplus", "initializer": {"name": "normal", "std": 0.04}}, 0.05),
        ({"activation": "tanh", "initializer": "lsuv"}, 0.02),
        ({"activation": "relu", "initializer": "lsuv"}, 0.06),
        ({"activation": "relu", "initializer": "lsuv", "batch_norm": "before"}, 0.03),
        ({"activation": "relu", "initializer": "he_normal", "batch_norm": "before"}, 0.03),
        ({"activation": "sigmoid", "initializer": "glorot_normal", "batch_norm": "before"}, 0.03),
        ({"activation": "relu", "initializer": "he_normal", "batch_norm": "after"}, 0.04),
        ({"activation": "sigmoid", "initializer": "lsuv", "batch_norm": "after"}, 0.03),
        ({"activation": "tanh", "initializer": "glorot_normal", "batch_norm": "after", "bias_std": 0.5}, 0.03),
        ({"activation": "tanh", "initializer": "glorot_uniform", "residual": True}, 0.02),
        ({"activation": "softsign", "initializer": "he_normal", "residual": True, "bias_std": 0.2}, 0.02),
        (
            {"activation": "tanh", "initializer": "glorot_uniform", "residual": True, "width": [256] * 5 + [128] * 5},
            0.03,
        ),
        ({"activation": "relu", "initializer": "he_normal", "residual": True, "batch_norm": "before"}, 0.03),
        ({"activation": "tanh", "initializer": "glorot_normal", "residual": True, "batch_norm": "after"}, 0.03),
        (
            {
                "activation": "relu",
                "initializer": "he_normal",
                "batch_norm": "before",
                "width": [300, 100, 400, 200] * 2,
            },
            0.03,
        ),
        (
            {
                "activation": "tanh",
                "initializer": "he_normal",
                "batch_norm": "after",
                "width": [300, 100, 400, 200] * 2,
            },
            0.03,
        ),
    ],
    ids=str,
)
def test_networks_that_torch_differentiates(model, decades):
    width = model.get("width", 256)
    model = {"width": 256, "depth": len(width) if isinstance(width, list) else 10, **model}
    signal, delta = torch_network(config(**model).model, features=256, batch=64)
    prediction = predicted(256, batch=64, **model)
    np.testing.assert_allclose(
        [math.log10(layer.activation_rms) for layer in prediction.layers], signal, atol=decades, rtol=0
    )
    relative = [math.log10(layer.delta_relative) for layer in prediction.layers]
    np.testing.assert_allclose(relative, delta[:-1] - delta[-2], atol=decades, rtol=0)
    assert math.log10(prediction.delta_last) == pytest.approx(delta[-2], abs=0.2)
