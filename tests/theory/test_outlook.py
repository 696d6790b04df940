"""Depths, the sentence, caveats and what is not covered."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab.config import Config
from gradlab.theory import predict
from tests.own import NAMED_ACTIVATIONS, NAMED_INITIALIZERS

NORMS = ("batch_norm", "layer_norm", "rms_norm")


def predicted(batch=None, features=64, classes=10, second_moment=1.0, data=None, dtype="float32", **model):
    config = Config.model_validate({"model": model, "data": data or "digits", "dtype": dtype})
    return predict(config, features=features, classes=classes, input_second_moment=second_moment, batch_size=batch)


NOT_COVERED = {
    "constant gives weights a mean": {"initializer": "constant"},
    "zeros makes every weight 0": {"initializer": "zeros"},
    "constant makes every weight 0": {"initializer": {"name": "constant", "value": 0.0}},
    "lsuv scales weights until they and biases": {"initializer": "lsuv", "bias_std": 0.1},
    "3 samples a batch": {"batch_norm": "before", "batch": 3},
    "relu, whose mean is not 0": {"residual": True},
    "selu, whose mean is not 0": {"residual": True, "activation": "selu"},
}


@pytest.mark.parametrize("reason", NOT_COVERED)
def test_what_is_not_covered_is_said_and_not_guessed(reason):
    prediction = predicted(**NOT_COVERED[reason])
    assert reason in prediction.not_covered
    assert prediction.outlook == f"Theory does not cover this network: {prediction.not_covered}."
    assert prediction.layers == ()
    assert prediction.rows() == []
    assert prediction.decades_per_layer is None


def assert_finite(prediction):
    """Every number is there; the spread between networks of one width has a formula for some of them only."""
    for row in prediction.rows():
        assert all(math.isfinite(value) for key, value in row.items() if key != "delta_log_variance")


def test_residual_without_a_matching_width_is_no_residual_network():
    widths = {"width": [10, 20, 30, 40], "depth": 4}
    assert predicted(residual=True, **widths) == predicted(residual=False, **widths)


@pytest.mark.parametrize("activation", NAMED_ACTIVATIONS)
@pytest.mark.parametrize("name", ["none", *NORMS])
@pytest.mark.parametrize("place", ["before", "after"])
def test_every_activation_is_covered(activation, name, place):
    normalization = name if name == "none" else {"name": name, "place": place}
    prediction = predicted(activation=activation, normalization=normalization, depth=4)
    assert prediction.not_covered is None
    assert len(prediction.layers) == 4
    assert_finite(prediction)


@pytest.mark.parametrize("initializer", sorted(set(NAMED_INITIALIZERS) - {"zeros", "constant"}))
def test_every_initializer_is_covered(initializer):
    prediction = predicted(initializer=initializer, activation="tanh", width=[20, 50, 30], depth=3)
    assert prediction.not_covered is None
    assert_finite(prediction)


CAVEATS = {
    "gelu with σ_w² near 2": {"activation": "gelu", "initializer": "he_normal"},
    "BatchNorm with silu is loose": {"activation": "silu", "batch_norm": "before"},
    "BatchNorm with mish is loose": {"activation": "mish", "batch_norm": "after"},
    "has sd 1.6": {"depth": 50, "width": 100},  # √(5 · 50/100)
    "A layer of 8 units": {"width": [100, 8], "depth": 2},
    "At 8 samples a batch": {"batch_norm": "before", "batch": 8},
    "not standardized": {"batch_norm": "before", "data": {"name": "digits", "standardize": False}},
    "the first layers, near the real inputs": {"batch_norm": "after"},
}


@pytest.mark.parametrize("caveat", CAVEATS)
def test_loose_theory_is_said(caveat):
    assert any(caveat in said for said in predicted(**CAVEATS[caveat]).caveats)


def test_a_plain_wide_network_has_no_caveat():
    assert predicted(activation="tanh", initializer="glorot_uniform", width=256).caveats == ()
    assert predicted(activation="gelu", initializer="lecun_normal", width=256).caveats == ()


def test_width_noise_is_that_of_the_reference():
    """ReLU + He: sd(ln mean x_L²) = √(5 L/n)."""
    (caveat,) = predicted(depth=20, width=256).caveats
    assert f"sd {math.sqrt(5 * 20 / 256):.2g}:" in caveat


SENTENCES = {
    "The gradient signal δ shrinks 4.24-fold a layer toward the input: the first of 20 layers gets 1e-12 "
    "times what the last one gets, and the first layers hardly learn.": {
        "activation": "sigmoid",
        "initializer": "glorot_uniform",
    },
    "The gradient signal δ shrinks 4.24-fold a layer toward the input: the first of 70 layers gets 1e-43 "
    "times what the last one gets, beyond the range of float32, and the first layers hardly learn.": {
        "activation": "sigmoid",
        "initializer": "glorot_uniform",
        "depth": 70,
    },
    "The gradient signal δ grows 1.41-fold a layer toward the input: the first of 20 layers gets 720 "
    "times what the last one gets, and no learning rate suits both.": {
        "activation": "identity",
        "initializer": "he_normal",
    },
    "The gradient signal δ stays within a factor of 1 over 20 layers: every layer gets a gradient.": {},
    "One hidden layer: there is no depth for the gradient signal δ to vanish or explode over.": {"depth": 1},
    "The signal grows beyond the range of float32 in hidden layer 21 of 30: nothing is learned.": {
        "initializer": {"name": "normal", "std": 10.0},
        "depth": 30,
    },
    "The signal vanishes below the range of float32 in hidden layer 1 of 20: nothing is learned.": {
        "second_moment": 0.0
    },
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_outlook_in_one_sentence(sentence):
    assert predicted(**SENTENCES[sentence]).outlook == sentence


def test_depths_are_where_deeper_networks_cross():
    """The line of a 20-layer network says how deep others may be; predictions at those depths agree."""
    for model in (
        {"activation": "sigmoid", "initializer": "glorot_uniform"},
        {"activation": "identity", "initializer": "he_normal"},
        {"activation": "tanh", "initializer": "pytorch_default"},
    ):
        ahead = predicted(**model, depth=20).ahead
        depth = ahead.vanishing_depth or ahead.exploding_depth
        deep, shallow = (predicted(**model, depth=d).layers[0].delta_relative for d in (depth + 1, depth - 1))
        assert min(deep, 1 / deep) < 1e-3 < min(shallow, 1 / shallow)


def test_float32_ends_where_delta_is_subnormal():
    ahead = predicted(activation="sigmoid", initializer="glorot_uniform", depth=20).ahead
    deep = predicted(activation="sigmoid", initializer="glorot_uniform", depth=ahead.delta_out_of_range_depth)
    first = deep.delta_last * deep.layers[0].delta_relative
    assert 1.18e-38 * 0.236**1.5 < first < 1.18e-38 / 0.236**0.5
    wide = predicted(activation="sigmoid", initializer="glorot_uniform", depth=20, dtype="float64").ahead
    assert wide.delta_out_of_range_depth > 8 * ahead.delta_out_of_range_depth


def test_delta_starts_from_cross_entropy_at_uniform_probabilities():
    """√((1 − 1/C)/C)/B at the logits, √(C Var W) √(E φ'²) more to the last hidden layer."""
    prediction = predicted(batch=32, classes=4, initializer="he_normal", width=100)
    assert prediction.delta_last == pytest.approx(math.sqrt(0.75 / 4) / 32 * math.sqrt(4 * 2 / 100 / 2), rel=1e-10)
    assert prediction.layers[-1].chi == pytest.approx(4 * 2 / 100 / 2, rel=1e-10)


def test_delta_relative_is_the_product_of_chi():
    layers = predicted(activation="tanh", initializer="glorot_normal", width=[80, 50, 120, 30], depth=4).layers
    assert layers[-1].delta_relative == 1.0
    for layer, after in pairwise(layers):
        assert layer.delta_relative**2 == pytest.approx(layer.chi * after.delta_relative**2, rel=1e-12)


def test_depth_scale():
    assert predicted(initializer="he_normal").depth_scale == math.inf
    assert predicted(depth=1).depth_scale is None
    chi = predicted(initializer="glorot_uniform", depth=9).layers[-2].chi
    assert predicted(initializer="glorot_uniform", depth=9).depth_scale == pytest.approx(1 / abs(math.log(chi)))


def test_decades_per_layer_is_the_line_through_the_layers():
    prediction = predicted(initializer={"name": "normal", "std": 0.05}, activation="relu", depth=6)
    assert prediction.decades_per_layer == pytest.approx(math.log10(math.sqrt(100 * 0.05**2 / 2)), rel=1e-12)


@given(
    st.sampled_from(sorted(NAMED_ACTIVATIONS)),
    st.sampled_from(["none", *({"name": name, "place": place} for name in NORMS for place in ("before", "after"))]),
    st.sampled_from([False, True, {"scale": 0.1}, {"scale": "zero"}]),
    st.floats(1e-12, 1e12),
    st.integers(1, 12),
    st.floats(0, 1e6),
    st.floats(0, 1e12),
)
def test_any_network_has_a_prediction_without_a_warning(
    activation, normalization, residual, std, depth, bias_std, second_moment
):
    prediction = predicted(
        activation=activation,
        normalization=normalization,
        residual=residual,
        initializer={"name": "normal", "std": std},
        depth=depth,
        bias_std=bias_std,
        second_moment=second_moment,
        batch=8,
    )
    assert len(prediction.layers) == (depth if prediction.not_covered is None else 0)
    assert prediction.outlook.endswith(".")
    json.dumps(prediction.rows())
