"""Real runs with BatchNorm at step 0 against the growth that theory gives for their batch size, over five seeds.

The quantity is the slope of a straight line through the log of the weight gradient's norm, layers 4 … L−3: the first
layers have not reached the fixed point, and the last ones still feel the loss.
"""

import numpy as np
import pytest

import gradlab
from gradlab.config import Config
from gradlab.theory import predict

SEEDS = range(5)
DEPTH, WIDTH = 20, 256


@pytest.mark.parametrize(
    ("activation", "initializer", "data", "expected", "tolerance"),
    [
        ("relu", "he_normal", {"name": "gaussian", "features": WIDTH}, 1.2162, 0.020),
        ("relu", "he_normal", {"name": "digits"}, 1.2162, 0.025),
        ("sigmoid", "glorot_normal", {"name": "gaussian", "features": WIDTH}, 1.0204, 0.015),
    ],
)
def test_growth_with_batch_norm(tmp_path, activation, initializer, data, expected, tolerance):
    source = {
        "model": {
            "activation": activation,
            "initializer": initializer,
            "batch_norm": "before",
            "depth": DEPTH,
            "width": WIDTH,
        },
        "data": data,
        "train": {"steps": 1},
        "record": {"histograms": 0, "dead_units": 0},
    }
    slopes = []
    for seed in SEEDS:
        layers = gradlab.run({**source, "seed": seed}, runs=tmp_path, plots=False).layers
        norms = layers.filter(step=0, kind="weight").sort("layer")["weight_gradient_norm"].to_numpy()
        inner = np.arange(4, DEPTH - 2)
        slopes.append(-np.polyfit(inner, np.log(norms[inner]), 1)[0])
    measured = np.exp(np.mean(slopes))
    assert measured == pytest.approx(expected, abs=tolerance)
    prediction = predict(Config.model_validate(source), features=WIDTH, classes=10, input_second_moment=1.0)
    assert measured == pytest.approx(np.sqrt(prediction.layers[10].chi), abs=tolerance)
