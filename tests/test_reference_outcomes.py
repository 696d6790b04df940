"""What training comes to, from the literature: SGD, batches of 64, width 128, zero biases, digits, 20 epochs."""

import numpy as np
import pytest

import gradlab

pytestmark = pytest.mark.slow


def train(tmp_path, seed, learning_rate, **model):
    """The summary of a run that records next to nothing."""
    return gradlab.run(
        {
            "seed": seed,
            "model": {"width": 128, **model},
            "data": {"name": "digits", "batch_size": 64},
            "train": {"learning_rate": learning_rate, "epochs": 20},
            "record": {"every": 1000, "histograms": 0, "dead_units": 0},
        },
        runs=tmp_path,
        plots=False,
    ).summary


def test_thirty_relu_layers_train_with_he_and_not_with_glorot(tmp_path):
    """He et al. 2015, Fig. 3, in small."""
    network = {"depth": 30, "activation": "relu"}
    he = [train(tmp_path, seed, 0.01, initializer="he_normal", **network)["test_accuracy"] for seed in range(5)]
    glorot = [
        train(tmp_path, seed, 0.01, initializer="glorot_uniform", **network)["test_accuracy"] for seed in range(3)
    ]
    # The accuracy still rises steeply when the run ends, so that single seeds scatter widely, even with the order in
    # which sums are rounded.
    assert np.median(he) >= 0.64
    assert max(glorot) <= 0.19


@pytest.mark.parametrize(("batch_norm", "low", "high"), [("none", 0, 0.12), ("before", 0.99, 1), ("after", 0.998, 1)])
def test_batch_norm_repairs_six_sigmoid_layers(tmp_path, batch_norm, low, high):
    network = {"depth": 6, "activation": "sigmoid", "initializer": "glorot_uniform", "batch_norm": batch_norm}
    for seed in range(3):
        assert low <= train(tmp_path, seed, 0.1, **network)["train_accuracy"] <= high
