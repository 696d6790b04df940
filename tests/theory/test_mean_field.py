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
from gradlab.theory.blocks import moments
from gradlab.theory.mean_field import forward

CLASSES = 10
RELU = {"activation": "relu", "initializer": "he_normal"}
TANH = {"activation": "tanh", "initializer": "lecun_normal"}
SIGMOID = {"activation": "sigmoid", "initializer": "glorot_normal"}


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


@pytest.mark.parametrize(
    ("name", "place", "activation", "initializer", "factor"),
    [
        ("layer_norm", "before", "relu", "he_normal", 1.0),
        ("rms_norm", "before", "relu", {"name": "normal", "std": 3.0}, 1.0),
        ("layer_norm", "before", "tanh", "lecun_normal", 1.0853),
        ("rms_norm", "before", "tanh", "he_normal", 1.0853),
        ("layer_norm", "after", "relu", "he_normal", 1.2112),
        ("layer_norm", "after", "tanh", "lecun_normal", 1.0853),
        ("rms_norm", "after", "relu", "he_normal", 1.0),
        ("rms_norm", "after", "tanh", "lecun_normal", 1.0853),
        # E φ² = 1/4 + Var φ: the mean that the logistic unit adds is not taken out, so that δ vanishes
        ("layer_norm", "before", "sigmoid", "he_normal", 1.0167 * math.sqrt(0.0433789 / 0.2933789)),
    ],
)
def test_factor_a_layer_of_layer_and_rms_normalization(name, place, activation, initializer, factor):
    norm = {"name": name, "place": place}
    prediction = predicted(256, activation=activation, initializer=initializer, depth=20, width=256, normalization=norm)
    assert math.sqrt(prediction.layers[10].chi) == pytest.approx(factor, abs=1e-4)


@pytest.mark.parametrize(("scale", "growth", "m"), [(1.0, 8.13, 14.32), (0.3, 1.441, 1.808)])
def test_growth_and_size_of_a_residual_network_of_the_reference(scale, growth, m):
    options = {"activation": "tanh", "initializer": "lecun_normal", "depth": 20, "width": 512}
    model = config(residual={"scale": scale}, **options).model
    layers = forward(model, features=512, input_second_moment=1.0, batch=128)
    backward = [1 + layer.backward * layer.slope for layer in layers]
    assert math.sqrt(math.prod(backward)) == pytest.approx(growth, rel=1e-3)
    assert layers[-1].signal.second_moment == pytest.approx(m, rel=1e-3)


def test_blocks_that_start_at_scale_0_leave_delta_as_it_is():
    prediction = predicted(64, activation="tanh", depth=6, width=64, residual={"scale": "zero"})
    assert {layer.output_delta_relative for layer in prediction.layers} == {1.0}
    assert {layer.preactivation_variance for layer in prediction.layers} == {2.0}  # σ_w² = 2 of he_normal, E x² = 1
    assert (prediction.decades_per_layer, prediction.delta_last) == (0.0, 0.0)
    assert {row["delta_relative"] for row in prediction.rows()} == {None}
    assert "their scales start at 0" in prediction.outlook


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
    """log10 RMS of activations and of δ at weight layers' and at blocks' outputs, by autograd, (L,), (L + 1,), (L,)."""
    signal, delta, outputs = [], [], []
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
        places = [[seen[linear] for linear in network.linears()], [seen[block] for block in network.hidden]]
        gradients = torch.autograd.grad(loss, [*places[0], *places[1]])
        sizes = [math.log10(g.square().mean().sqrt() + 1e-300) for g in gradients]
        delta.append(sizes[: len(places[0])])
        outputs.append(sizes[len(places[0]) :])
        signal.append([math.log10(seen[block.activation].detach().square().mean().sqrt()) for block in network.hidden])
    return np.mean(signal, 0), np.mean(delta, 0), np.mean(outputs, 0)


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
        ({"activation": "tanh", "initializer": "lecun_normal", "residual": {"scale": 0.3}}, 0.02),
        ({"activation": "relu", "initializer": "he_normal", "residual": {"scale": 0.1}}, 0.02),
        ({"activation": "relu", "initializer": "he_normal", "residual": True, "depth": 4}, 0.05),
        ({"activation": "relu", "initializer": "he_normal", "residual": True, "normalization": "layer_norm"}, 0.04),
        *[
            ({**network, "bias_std": 0.2, "normalization": norm}, 0.05)
            for network in (RELU, SIGMOID, {"activation": "gelu", "initializer": "he_normal"})
            for norm in (
                "layer_norm",
                "rms_norm",
                {"name": "layer_norm", "place": "after"},
                {"name": "rms_norm", "place": "after"},
                {"name": "layer_norm", "gamma": 0.5, "beta": 0.3, "epsilon": 0.2},
                {"name": "rms_norm", "gamma": 2.0, "place": "after", "epsilon": 0.2},
            )
        ],
        *[
            ({**TANH, "normalization": {"name": "batch_norm", **options}}, 0.04)
            for options in (
                {"gamma": 0.5, "beta": 0.3},
                {"epsilon": 0.3},
                {"gamma": 0.5, "beta": 0.3, "place": "after"},
                {"epsilon": 0.3, "place": "after"},
            )
        ],
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
    signal, delta, outputs = torch_network(config(**model).model, features=256, batch=64)
    prediction = predicted(256, batch=64, **model)
    np.testing.assert_allclose(
        [math.log10(layer.activation_rms) for layer in prediction.layers], signal, atol=decades, rtol=0
    )
    relative = [math.log10(layer.delta_relative) for layer in prediction.layers]
    np.testing.assert_allclose(relative, delta[:-1] - delta[-2], atol=decades, rtol=0)
    assert math.log10(prediction.delta_last) == pytest.approx(delta[-2], abs=0.2)
    relative = [math.log10(layer.output_delta_relative) for layer in prediction.layers]
    np.testing.assert_allclose(relative, outputs - outputs[-1], atol=1.3 * decades, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("width", [128, 512])
@pytest.mark.parametrize(
    "model",
    [
        *[
            {**network, "normalization": {"name": name, "place": place}}
            for network in (RELU, TANH, SIGMOID)
            for name in ("layer_norm", "rms_norm")
            for place in ("before", "after")
        ],
        *[{**TANH, "residual": residual} for residual in (True, {"scale": 0.3}, {"scale": "zero"})],
    ],
    ids=str,
)
def test_the_factor_a_layer_is_right_to_two_percent(model, width):
    """Depth 20, five seeds: the slope over the inner layers, where the fixed point is reached."""
    model = {"width": width, "depth": 20, **model}
    measured = torch_network(config(**model).model, features=width, batch=64, seeds=5)[2]
    expected = [math.log10(layer.output_delta_relative) for layer in predicted(width, batch=64, **model).layers]
    slopes = [np.polyfit(np.arange(15), np.asarray(values)[3:18], 1)[0] for values in (measured, expected)]
    assert 10 ** (slopes[0] - slopes[1]) == pytest.approx(1, abs=0.02)
