"""Convolutional networks: position by position against loops in NumPy, and built and differentiated by torch."""

import math

import numpy as np
import pytest
import torch

from gradlab import choices
from gradlab.config import Config
from gradlab.networks.cnn import build_cnn
from gradlab.theory import predict
from gradlab.theory.blocks import moments
from gradlab.theory.maps import forward, log_deltas, over_positions, taps

CLASSES = 10
RELU = {"activation": "relu", "initializer": "he_normal"}
TANH = {"activation": "tanh", "initializer": "lecun_normal"}
SIGMOID = {"activation": "sigmoid", "initializer": "glorot_normal"}
GELU = {"activation": "gelu", "initializer": "he_normal"}


def config(**model):
    return Config.model_validate({"model": {"kind": "cnn", **model}})


def predicted(image=(1, 8, 8), batch=128, second_moment=1.0, **model):
    return predict(
        config(**model), features=image, classes=CLASSES, input_second_moment=second_moment, batch_size=batch
    )


# ---------------------------------------------------------------------------------------------------------- the border


@pytest.mark.parametrize(("size", "kernel", "stride"), [(8, 3, 1), (7, 5, 2), (9, 3, 3), (4, 1, 2), (3, 7, 1)])
def test_which_inputs_an_output_reads(size, kernel, stride):
    """A convolution of ones with a kernel of ones counts what it reads."""
    weight = torch.ones(1, 1, kernel, dtype=torch.float64)
    for place in range(size):
        x = torch.zeros(1, 1, size, dtype=torch.float64)
        x[0, 0, place] = 1
        read = torch.nn.functional.conv1d(x, weight, stride=stride, padding=kernel // 2)[0, 0]
        np.testing.assert_array_equal(taps(size, kernel, stride)[:, place], read.numpy())


def test_the_share_of_weights_that_meet_the_map_and_what_a_border_costs_in_the_long_run():
    assert taps(8, 3, 1).sum() == 22  # of 24 along one side
    a = taps(8, 3, 1) / 3
    largest = ((1 + 2 * math.cos(math.pi / 9)) / 3) ** 2
    assert np.linalg.eigvalsh(np.kron(a, a)).max() == pytest.approx(largest, rel=1e-12)
    chi = [layer.chi for layer in predicted(**RELU, depth=60, channels=64).layers]
    assert chi[5] == pytest.approx(largest, rel=1e-5)
    assert chi[0] == pytest.approx(largest, rel=1e-5)


def test_without_a_border_it_is_the_dense_network():
    """A kernel of 1 × 1 reads no zeros; the mean over each map divides δ by the number of positions."""
    model = {**TANH, "depth": 6, "bias_std": 0.2, "residual": True}
    maps = predicted((64, 4, 4), kernel=1, channels=64, **model)
    dense = predict(
        Config.model_validate({"model": {"width": 64, **model}}),
        features=64,
        classes=CLASSES,
        input_second_moment=1.0,
        batch_size=128,
    )
    for one, other in zip(maps.rows()[:-1], dense.rows()[:-1], strict=True):
        for column in ("preactivation_variance", "activation_rms", "chi", "delta_relative", "output_delta_relative"):
            assert one[column] == pytest.approx(other[column], rel=1e-9), column
    assert maps.delta_last == pytest.approx(dense.delta_last / 16, rel=1e-9)


def looped(weight_variance, units, relu, image, depth, kernel, strides):
    """E h² and E δ² of a network, position by position in loops; φ is relu or the identity."""
    half = 0.5 if relu else 1.0
    second, inputs, qs, reads = np.ones(image[1:]), image[0], [], []
    for stride in strides:
        height, width = second.shape
        rows, columns = -(-height // stride), -(-width // stride)
        q, read = np.zeros((rows, columns)), []
        for i in range(rows):
            for j in range(columns):
                for a in range(kernel):
                    for b in range(kernel):
                        y, x = i * stride + a - kernel // 2, j * stride + b - kernel // 2
                        if 0 <= y < height and 0 <= x < width:
                            q[i, j] += inputs * weight_variance(inputs) * second[y, x]
                            read.append((i, j, y, x))
        qs.append(q)
        reads.append((read, (height, width), weight_variance(inputs)))
        second, inputs = half * q, units
    at_x, deltas = np.full(second.shape, 1.0), []
    for read, shape, variance in reversed(reads):
        delta = half * at_x
        deltas.insert(0, delta)
        at_x = np.zeros(shape)
        for i, j, y, x in read:
            at_x[y, x] += units * variance * delta[i, j]
    return qs, deltas


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("kernel", "strides"), [(3, [1] * 4), (5, [1, 2, 1, 2])])
def test_second_moments_equal_loops(relu, kernel, strides):
    model = config(
        depth=4,
        channels=6,
        kernel=kernel,
        stride=strides,
        activation="relu" if relu else "identity",
        initializer="he_normal",
    ).model
    layers = forward(model, 2, np.ones((7, 6)))
    qs, deltas = looped(lambda inputs: 2 / (kernel**2 * inputs), 6, relu, (2, 7, 6), 4, kernel, strides)
    for layer, q in zip(layers, qs, strict=True):
        np.testing.assert_allclose(layer.q_HW, q, rtol=1e-11)
    log_delta, _ = log_deltas(layers, 1.0)
    np.testing.assert_allclose(log_delta, [math.log(delta.mean()) for delta in deltas], rtol=1e-9, atol=1e-12)


def test_many_values_of_q_are_interpolated():
    q = np.geomspace(0.02, 3.0, 60).reshape(6, 10)
    for name in ("tanh", "relu", "gelu", "hard_sigmoid"):
        choice = choices.ACTIVATIONS[name]()
        fitted = over_positions(choice, q)
        direct = [moments(choice, float(value)) for value in q.ravel()]
        for column in ("mean", "second_moment", "variance", "slope"):
            expected = np.reshape([getattr(each, column) for each in direct], q.shape)
            np.testing.assert_allclose(getattr(fitted, column), expected, rtol=1e-6, atol=1e-9)


def test_a_dark_corner_of_the_input():
    """Pixels that are 0 in every sample, as in digits, leave positions without a signal."""
    second_moment = np.ones((8, 8))
    second_moment[:4, :4] = 0
    prediction = predicted(**TANH, depth=4, channels=32, second_moment=second_moment)
    assert all(math.isfinite(row["delta_relative"]) for row in prediction.rows())
    assert prediction.layers[0].preactivation_variance < predicted(**TANH, depth=4).layers[0].preactivation_variance


# --------------------------------------------------------------------------------------------------------- coverage


def test_what_is_not_known_is_said():
    assert "no formulas for BatchNorm over maps" in predicted(**RELU, normalization="batch_norm").not_covered
    assert "let δ align" in predicted(**RELU, residual=True, depth=30, channels=16).not_covered
    lsuv = predicted(activation="tanh", initializer="lsuv", depth=5)
    assert lsuv.delta_last is None
    assert lsuv.rows()[-1]["chi"] is None
    assert lsuv.rows()[0]["chi"] > 0
    assert any("A layer of 8 channels is far" in caveat for caveat in predicted(**RELU, channels=8).caveats)


# ----------------------------------------------------------------------------------------------- networks in torch


def torch_network(model, image, batch, seeds):
    """log10 RMS of activations, of δ at convolutions, and of δ at blocks, by autograd, (L,) each."""
    found = []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(1000 + seed)
        x = torch.randn(batch, *image, generator=generator)
        y = torch.randint(CLASSES, (batch,), generator=generator)
        build = {"features": image, "classes": CLASSES, "dtype": torch.float32, "device": torch.device("cpu")}
        network = build_cnn(model, seed=seed, batch=x, **build)
        seen = {}
        for module in network.modules():
            module.register_forward_hook(lambda module, inputs, output, seen=seen: seen.update({module: output}))
        loss = torch.nn.functional.cross_entropy(network(x), y)
        places = [*(seen[layer.conv] for layer in network.hidden), *(seen[layer] for layer in network.hidden)]
        tensors = [*(seen[layer.activation].detach() for layer in network.hidden), *torch.autograd.grad(loss, places)]
        found.append([math.log10(float(tensor.double().square().mean().sqrt()) + 1e-300) for tensor in tensors])
    return np.mean(found, 0).reshape(3, -1)


@pytest.mark.parametrize(
    ("model", "decades"),
    [
        ({**TANH, "bias_std": 0.3}, 0.03),
        ({**RELU, "kernel": 5}, 0.08),
        ({**TANH, "initializer": "lsuv"}, 0.04),
        ({**TANH, "stride": [1, 2, 1, 2, 1, 1]}, 0.04),
        ({**TANH, "residual": {"scale": 0.5}}, 0.03),
        ({**RELU, "normalization": "layer_norm"}, 0.06),
        ({**RELU, "normalization": {"name": "layer_norm", "place": "after", "gamma": 0.5, "beta": 0.3}}, 0.06),
        ({**TANH, "normalization": {"name": "rms_norm", "gamma": 2.0}}, 0.05),
        ({**TANH, "normalization": {"name": "rms_norm", "place": "after", "epsilon": 0.2}}, 0.05),
    ],
    ids=str,
)
def test_networks_that_torch_differentiates(model, decades):
    model = {"channels": 64, "depth": 6, **model}
    signal, delta, outputs = torch_network(config(**model).model, (2, 8, 8), batch=8, seeds=4)
    prediction = predicted((2, 8, 8), batch=8, **model)
    expected = [math.log10(layer.activation_rms) for layer in prediction.layers]
    np.testing.assert_allclose(signal, expected, atol=decades, rtol=0)
    relative = [math.log10(layer.delta_relative) for layer in prediction.layers]
    np.testing.assert_allclose(delta - delta[-1], relative, atol=decades, rtol=0)
    relative = [math.log10(layer.output_delta_relative) for layer in prediction.layers]
    np.testing.assert_allclose(outputs - outputs[-1], relative, atol=1.3 * decades, rtol=0)
    if prediction.delta_last is not None:
        assert math.log10(prediction.delta_last) == pytest.approx(delta[-1], abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [128, 512])
@pytest.mark.parametrize("model", [RELU, TANH, SIGMOID, GELU], ids=str)
def test_the_factor_a_layer_is_right_to_two_percent(model, channels):
    """Depth 20, maps of 8 × 8, five seeds: the slope over the inner layers, the border included."""
    model = {"channels": channels, "depth": 20, **model}
    measured = torch_network(config(**model).model, (1, 8, 8), batch=8 if channels < 512 else 4, seeds=5)[1]
    expected = [math.log10(layer.delta_relative) for layer in predicted(**model).layers]
    slopes = [np.polyfit(np.arange(15), np.asarray(values)[3:18], 1)[0] for values in (measured, expected)]
    assert 10 ** (slopes[0] - slopes[1]) == pytest.approx(1, abs=0.02)
