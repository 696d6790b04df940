"""The scatter of δ over networks of finite width, against random networks in NumPy, float64."""

import math

import numpy as np
import pytest

from gradlab.config import Config
from gradlab.theory import predict
from gradlab.theory.width_noise import band

DRAWS = {
    "he_normal": lambda rng, n: rng.normal(0, math.sqrt(2 / n), (n, n)),
    "he_uniform": lambda rng, n: rng.uniform(-1, 1, (n, n)) * math.sqrt(6 / n),
}


def predicted(width, depth, activation, initializer="he_normal", **more):
    model = {"depth": depth, "width": width, "activation": activation, "initializer": initializer, **more}
    config = Config.model_validate({"model": model})
    layers = predict(config, features=16, classes=10, input_second_moment=1.0).layers
    return np.array([layer.delta_log_variance for layer in layers])


def simulated(width, depth, negative, initializer="he_normal", *, networks, batch=1, seed=0):
    """Ln of mean δ² of the first hidden layer, divided by that of the last one and by the prediction, (networks,).

    δ of each sample at the last hidden layer is random; φ(h) is h above 0 and `negative`·h below.
    """
    rng = np.random.default_rng(seed)
    logs = np.empty(networks)
    for network in range(networks):
        x = rng.normal(size=(width, batch))
        weights, slopes = [], []
        for _ in range(depth):
            weights.append(DRAWS[initializer](rng, width))
            h = weights[-1] @ x
            slopes.append(np.where(h > 0, 1.0, negative))
            x = slopes[-1] * h
        delta = last = slopes[-1] * rng.normal(size=(width, batch))
        for weight, slope in zip(weights[:0:-1], slopes[-2::-1], strict=True):
            delta = slope * (weight.T @ delta)
        factor = 2 * (1 + negative**2) / 2
        logs[network] = math.log((delta**2).mean() / (last**2).mean()) - (depth - 1) * math.log(factor)
    return logs


def test_the_variance_of_relu_is_five_over_the_width_a_layer():
    np.testing.assert_allclose(predicted(50, 11, "relu"), 5 * np.arange(10, -1, -1) / 50, rtol=1e-9)
    widths = predicted([20, 50, 100], 3, "relu")
    np.testing.assert_allclose(widths, [5 / 20 + 5 / 50, 5 / 50, 0], rtol=1e-9)


@pytest.mark.parametrize("initializer", DRAWS)
@pytest.mark.parametrize(("activation", "negative"), [("relu", 0.0), ("identity", 1.0), ("leaky_relu", 0.2)])
def test_random_networks_scatter_as_predicted(activation, negative, initializer):
    choice = {"name": activation, "negative_slope": negative} if activation == "leaky_relu" else activation
    expected = predicted(60, 8, choice, initializer)[0]
    logs = simulated(60, 8, negative, initializer, networks=800)
    assert logs.var() == pytest.approx(expected, rel=0.2)  # 5 % is one standard error; 1/n² is left out
    assert logs.mean() == pytest.approx(-expected / 2, abs=4 * math.sqrt(expected / 800) + 0.1 * expected)


def test_95_of_100_networks_lie_in_the_band_and_more_of_those_whose_samples_differ():
    low, high = band(predicted(50, 20, "relu")[0])
    inside = []
    for batch, networks in ((1, 600), (16, 200)):
        rms = np.exp(simulated(50, 20, 0.0, networks=networks, batch=batch) / 2)
        inside.append(((rms > low) & (rms < high)).mean())
    assert 0.92 <= inside[0] <= 0.98
    assert inside[1] >= 0.97


@pytest.mark.parametrize(
    "model",
    [
        {"activation": "tanh", "initializer": "glorot_normal"},
        {"activation": "relu", "initializer": "orthogonal"},
        {"activation": "relu", "batch_norm": "before"},
        {"activation": "identity", "initializer": "glorot_normal", "residual": True},
    ],
    ids=lambda model: ", ".join(map(str, model.values())),
)
def test_where_no_formula_says_it_there_is_no_number(model):
    assert np.isnan(predicted(64, 5, **model)).all()
