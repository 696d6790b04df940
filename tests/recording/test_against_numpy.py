"""Every statistic of a recorded step against forward and backward by hand, in float64."""

import numpy as np
import pytest
import torch

from gradlab.choices import MLP
from gradlab.networks.mlp import build_mlp
from gradlab.recording.recorder import Recorder
from gradlab.tables import layers_frame
from tests.recording.numpy_network import ACTIVATIONS, trace

LEARNING_RATE = 0.1
SAMPLES, FEATURES, CLASSES = 32, 12, 5

CASES = {
    "plain tanh": {"activation": "tanh", "initializer": "glorot_uniform", "bias_std": 0.3},
    "unequal widths": {"activation": "relu", "width": [7, 19, 19, 4], "initializer": "he_normal", "bias_std": 0.1},
    "sigmoid": {"activation": "sigmoid", "initializer": {"name": "normal", "std": 1.5}},
    "norm before": {"activation": "relu", "batch_norm": "before", "width": [9, 14, 14, 6]},
    "norm after": {"activation": "tanh", "batch_norm": "after", "width": [9, 14, 14, 6]},
    "residual": {"activation": "relu", "residual": True, "width": [12, 12, 8, 8]},
    "residual, norm before": {
        "activation": "sigmoid",
        "residual": True,
        "batch_norm": "before",
        "width": [12, 9, 9, 9],
    },
    "residual, norm after": {"activation": "tanh", "residual": True, "batch_norm": "after", "width": [12, 12, 6, 6]},
}


def one_step(model_config, optimizer="sgd"):
    """Record one float64 step; returns its rows, the gradient norm, the trace, and the weights before and after."""
    config = MLP.model_validate({"depth": 4, "width": 10, **model_config})
    model = build_mlp(
        config, features=FEATURES, classes=CLASSES, seed=3, dtype=torch.float64, device=torch.device("cpu")
    )
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(SAMPLES, FEATURES)), rng.integers(0, CLASSES, SAMPLES)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](model.parameters(), lr=LEARNING_RATE)
    records = []
    with Recorder(model, [optimizer], emit=records.append):
        torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
    after = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    expected = trace(
        before,
        depth=4,
        activation=config.activation.name,
        batch_norm_place=config.normalization.where,
        residual=config.residual,
        x=x,
        y=y,
    )
    (record,) = records
    return layers_frame([record.rows]), record.gradient_norm, expected, before, after


def rms(x):
    return np.sqrt((x**2).mean())


def close(measured, expected, scale=None):
    """Relative error of at most 1e-9, of `scale` where the number itself may cancel to nothing."""
    assert abs(measured - expected) <= 1e-9 * max(abs(expected), scale or 0), (measured, expected)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_every_statistic(case, optimizer):
    layers, gradient_norm, expected, before, after = one_step(CASES[case], optimizer)
    activation = CASES[case]["activation"]
    slope = ACTIVATIONS[activation][1]
    top_slope = {"tanh": 1, "relu": 1, "sigmoid": 0.25}[activation]
    assert set(layers["module"]) == set(expected.outputs)
    for row in layers.iter_rows(named=True):
        name = row["module"]
        x, delta = expected.outputs[name], expected.deltas[name]
        close(row["activation_mean"], x.mean(), scale=rms(x))
        close(row["activation_std"], x.std())
        close(row["activation_rms"], rms(x))
        close(row["activation_min"], x.min())
        close(row["activation_max"], x.max())
        close(row["zero_fraction"], (x == 0).mean())
        close(row["delta_rms"], rms(delta))
        if row["kind"] == "activation":
            saturated = np.abs(slope(expected.inputs[name])) < 0.01 * top_slope
            close(row["saturated_fraction"], saturated.mean())
        if row["kind"] in ("activation", "block"):
            assert row["weight_norm"] is None
            assert row["update_ratio"] is None
        else:
            weight = before[f"{name}.weight"]
            assert row["saturated_fraction"] is None
            close(row["weight_norm"], np.linalg.norm(weight))
            close(row["weight_gradient_norm"], np.linalg.norm(expected.gradients[f"{name}.weight"]))
            update = after[f"{name}.weight"] - weight
            # the update is a difference of weights: its own rounding is that of the weights
            close(row["update_ratio"], np.linalg.norm(update) / np.linalg.norm(weight), scale=1e-6)
        assert row["dead_fraction"] is None
    close(gradient_norm, np.sqrt(sum((g**2).sum() for g in expected.gradients.values())))


def test_layer_numbers_and_kinds():
    layers, *_ = one_step({"batch_norm": "before", "activation": "relu"})
    kinds = ["weight", "norm", "activation"]
    assert layers["kind"].to_list() == kinds * 4 + ["output"]
    assert layers["layer"].to_list() == [number for number in range(4) for _ in kinds] + [4]


def test_sgd_update_ratio_is_learning_rate_times_gradient_over_weight():
    layers, *_ = one_step({"activation": "tanh", "initializer": "glorot_uniform"})
    weights = layers.filter(layers["kind"].is_in(["weight", "output"]))
    expected = LEARNING_RATE * weights["weight_gradient_norm"] / weights["weight_norm"]
    np.testing.assert_allclose(weights["update_ratio"], expected, rtol=1e-9)
