import math

import numpy as np
import pytest

from gradlab.tables import Tables, rows_frame
from tests.diagnosis.tables import (
    assert_clean,
    assert_not_applicable,
    config,
    evaluated,
    found,
    geometric,
    tables,
)

LONG = range(0, 500, 25)


# -------------------------------------------------------------------------------------------------- batch norm

NORMALIZED = config(depth=10, batch_norm="before")


def normalized(running, batch, *, accuracy=1.0, accuracy_batch=1.0):
    evaluations = [
        *evaluated(2.3, *running, accuracy=accuracy),
        *evaluated(2.3, *batch, split="train_batch_statistics", accuracy=accuracy_batch),
    ]
    return tables(steps=LONG, evaluations=evaluations, model=NORMALIZED)


def test_drift():
    assert found("batch-norm-drift", normalized([0.5] * 3, [0.1] * 3)).measured["loss_added"] == pytest.approx(0.4)
    worse = found("batch-norm-drift", normalized([0.2] * 3, [0.1] * 3, accuracy=0.8))
    assert worse.measured["accuracy_lost"] == pytest.approx(0.2)
    assert found("batch-norm-drift", normalized([math.nan] * 3, [0.1] * 3))


def test_one_evaluation_alone_is_no_drift():
    assert_clean("batch-norm-drift", normalized([0.1, 3.0, 0.1], [0.1] * 3))
    assert_clean("batch-norm-drift", normalized([0.2] * 3, [0.1] * 3))


def test_drift_needs_batch_norm_and_time():
    assert_not_applicable("batch-norm-drift", tables(evaluations=evaluated(2.3, 2.3)), "no BatchNorm")
    assert_not_applicable("batch-norm-drift", normalized([], []), "no evaluation")


def watched(steps, mean_off, std_off=0.0):
    """A watched model with two batch normalizations, of which the second is as the arguments say."""
    rows = [
        {"step": step, "layer": layer, "module": f"norm.{layer}", "kind": "norm", "running_mean_off": mean,
         "running_std_off": std}
        for step in steps
        for layer, mean, std in ((0, 0.1, 0.02), (1, mean_off, std_off))
    ]  # fmt: skip
    return Tables(
        layers=rows_frame("layers", rows), steps=rows_frame("steps", [{"step": step} for step in steps]), config=None
    )


def test_running_statistics_of_watched_models():
    late = [0, 10, 11, 12, 13, 100, 101, 102, 103]
    finding = found("batch-norm-drift", watched(late, 1.7))
    assert (finding.severity, finding.modules, finding.steps) == ("warning", ("norm.1",), (100, 103))
    assert "1.7 running standard deviations apart" in finding.message
    assert "differ 3.2-fold" in found("batch-norm-drift", watched(late, 0.1, 0.5)).message
    assert_clean("batch-norm-drift", watched(late, 0.5, 0.2))
    assert_not_applicable("batch-norm-drift", watched(late[:5], 5.0), "after step 30")
    assert_not_applicable("batch-norm-drift", Tables(config=None), "no batch normalization")


# ------------------------------------------------------------------------------------------------------ theory


def predicted(decades=0.0, rms=1.0, depth=20):
    relative = geometric(depth, decades, at_output=1.0)
    return [{"layer": k, "delta_relative": value, "activation_rms": rms} for k, value in enumerate(relative)]


def test_off_theory():
    finding = found("off-theory", tables(20, theory=predicted(), delta_rms=geometric(20, 0.15)))
    assert finding.message.startswith("δ at the start: +2.85 decades off the prediction in `weight.0`, where")
    assert finding.steps == (0, 0)
    finding = found("off-theory", tables(20, theory=predicted(), activation_rms=geometric(20, -0.15)))
    assert finding.message.startswith("activations at the start")


def test_scatter_is_on_theory():
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0, 0.5 * math.sqrt(5 / 100), 20)) / math.log(10)
    assert_clean("off-theory", tables(20, theory=predicted(-0.1), delta_rms=geometric(20, -0.1) * 10**walk))


def test_only_the_start_is_held_against_theory():
    delta = np.stack([geometric(20, 0.0), geometric(20, 1.0)])
    assert_clean("off-theory", tables(20, steps=[0, 1], theory=predicted(), delta_rms=delta))


def test_no_theory():
    assert_not_applicable("off-theory", tables(), "does not cover")
    silu = config(depth=20, activation="silu")
    assert_not_applicable("off-theory", tables(20, theory=predicted(), model=silu), "half-stable")
    assert_not_applicable("off-theory", tables(20, steps=[5, 6], theory=predicted()), "step 0")
