"""The numbers of the literature at step 0, each within its tolerance, over five seeds.

Factors a layer, geometric means over the hidden layers: RMS δ of the pre-activations toward the input, or the named
quantity. For gradients without the first layer, whose pre-activations come from the data. D is digits, standardized; G
is gaussian data with as many inputs as the width; batches of 128.
"""

import numpy as np
import pytest

import gradlab

SEEDS = range(5)

FACTORS = {
    # network, data, quantity: expected factor a layer, tolerance
    ("sigmoid", "glorot_uniform", 128, 10, "D", "delta_rms"): (0.2359, 0.006),
    ("sigmoid", "glorot_uniform", 128, 10, "D", "weight_gradient_norm"): (0.2359, 0.012),
    ("tanh", "pytorch_default", 256, 10, "D", "delta_rms"): (0.5709, 0.012),
    ("tanh", "pytorch_default", 256, 10, "D", "activation_rms"): (0.5572, 0.012),
    ("tanh", "glorot_uniform", 256, 20, "G", "delta_rms"): (0.9327, 0.010),
    ("relu", "glorot_uniform", 256, 20, "D", "delta_rms"): (0.7071, 0.015),
    ("relu", "glorot_uniform", 256, 20, "D", "activation_rms"): (0.7037, 0.020),
    ("relu", "he_normal", 256, 20, "D", "delta_rms"): (1.0, 0.020),
    ("relu", "he_normal", 256, 20, "D", "activation_rms"): (0.995, 0.030),
    ("identity", "he_normal", 256, 20, "G", "delta_rms"): (1.4142, 0.020),
}


def first_step(tmp_path, activation, initializer, width, depth, data, seed):
    """The `layers` rows of step 0."""
    source = {"name": "digits"} if data == "D" else {"name": "gaussian", "features": width}
    run = gradlab.run(
        {
            "seed": seed,
            "model": {"activation": activation, "initializer": initializer, "width": width, "depth": depth},
            "data": source,
            "train": {"steps": 1},
            "record": {"histograms": 0, "dead_units": 0},
        },
        runs=tmp_path,
        plots=False,
    )
    return run.layers.filter(step=0)


def factor_a_layer(layers, quantity):
    """Geometric mean over the layers; toward the input for gradients, toward the output for activations."""
    values = layers.filter(kind="weight")[quantity].to_numpy()
    if quantity == "activation_rms":
        return np.exp(np.diff(np.log(values)).mean())
    return np.exp(-np.diff(np.log(values[1:])).mean())


@pytest.mark.parametrize("network", sorted({key[:5] for key in FACTORS}))
def test_factor_a_layer(tmp_path, network):
    runs = [first_step(tmp_path, *network, seed) for seed in SEEDS]
    for key, (expected, tolerance) in FACTORS.items():
        if key[:5] == network:
            measured = np.mean([factor_a_layer(layers, key[5]) for layers in runs])
            assert measured == pytest.approx(expected, abs=tolerance), key[5]


def test_relu_with_he_zeroes_half(tmp_path):
    runs = [first_step(tmp_path, "relu", "he_normal", 256, 10, "D", seed) for seed in SEEDS]
    zeros = [layers.filter(kind="activation")["zero_fraction"].mean() for layers in runs]
    assert np.mean(zeros) == pytest.approx(0.5, abs=0.02)


def test_selu_with_lecun_keeps_its_second_moment(tmp_path):
    runs = [first_step(tmp_path, "selu", "lecun_normal", 256, 30, "G", seed) for seed in SEEDS]
    moments = [layers.filter(kind="activation")["activation_rms"][-1] ** 2 for layers in runs]
    assert np.mean(moments) == pytest.approx(1.0, abs=0.08)
