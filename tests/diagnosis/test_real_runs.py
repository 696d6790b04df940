"""The rules on small real networks: what theory and practice say of them is what the verdict says."""

import pytest

import gradlab
from gradlab.diagnosis import diagnose

DIGITS = {"train": {"steps": 60, "learning_rate": 0.01}, "record": {"every": 3}}


def trained(tmp_path, **overrides):
    named = {key.replace("__", "."): value for key, value in overrides.items()}
    return gradlab.run(DIGITS, named, runs=tmp_path, plots=False)


def rules(run):
    return [finding.rule for finding in run.findings if finding.severity != "info"]


NETWORKS = {
    "sigmoid": ("vanishing-gradient", "sigmoid", "glorot_uniform", 8),
    "tanh, old standard": ("vanishing-gradient", "tanh", "pytorch_default", 10),
    "relu, glorot": ("vanishing-gradient", "relu", "glorot_uniform", 20),
    "linear, he": ("exploding-gradient", "identity", "he_normal", 20),
    "zeros": ("symmetric-units", "relu", "zeros", 4),
    "constant": ("symmetric-units", "tanh", "constant", 4),
    "relu, he": ("healthy", "relu", "he_normal", 10),
    "tanh, glorot": ("healthy", "tanh", "glorot_uniform", 20),
    "selu, lecun": ("healthy", "selu", "lecun_normal", 20),
    "one layer": ("healthy", "relu", "he_normal", 1),
}


@pytest.mark.parametrize(("verdict", "activation", "initializer", "depth"), NETWORKS.values(), ids=NETWORKS)
def test_verdict(tmp_path, verdict, activation, initializer, depth):
    run = trained(
        tmp_path, model__activation=activation, model__initializer=initializer, model__depth=depth, model__width=128
    )
    assert run.verdict == verdict, [str(finding) for finding in run.findings]


@pytest.mark.parametrize("batch_size", [16, 512])
@pytest.mark.parametrize(("activation", "expected"), [("sigmoid", "vanishing-gradient"), ("relu", "healthy")])
def test_batch_size_does_not_change_the_verdict(tmp_path, batch_size, activation, expected):
    run = trained(
        tmp_path,
        data={"name": "digits", "batch_size": batch_size},
        model__activation=activation,
        model__initializer="glorot_uniform" if activation == "sigmoid" else "he_normal",
        model__depth=8,
    )
    assert run.verdict == expected


@pytest.mark.slow
@pytest.mark.parametrize("initializer", ["glorot_uniform", "pytorch_default"])
@pytest.mark.parametrize("seed", [0, 1])
def test_three_layers_of_sigmoids_that_learned_next_to_nothing_are_not_healthy(tmp_path, initializer, seed):
    run = trained(
        tmp_path,
        model__activation="sigmoid",
        model__depth=3,
        model__initializer=initializer,
        train__steps=100,
        seed=seed,
    )
    assert run.tables.split("train")["accuracy"][-1] < 0.2
    assert run.verdict in ("stalled-loss", "vanishing-gradient", "unknown")


def test_batch_norm_repairs_the_sigmoid_network(tmp_path):
    run = trained(tmp_path, model__activation="sigmoid", model__depth=8, model__batch_norm="before")
    assert "vanishing-gradient" not in rules(run)


def test_divergence(tmp_path):
    run = trained(tmp_path, model__depth=5, train__learning_rate=1000.0)
    assert run.status == run.verdict == "diverged"
    assert "updates-too-large" in rules(run)


def test_units_die_of_large_steps(tmp_path):
    run = trained(tmp_path, model__depth=10, train__optimizer="adam", train__learning_rate=0.02)
    finding = next(finding for finding in run.findings if finding.rule == "dead-units")
    assert finding.measured["mean_dead_fraction"] > 0.25
    assert "at the start" in finding.message


def test_two_recorded_steps_are_enough(tmp_path):
    run = trained(tmp_path, model__activation="sigmoid", model__depth=10, train__steps=2)
    assert run.verdict == "vanishing-gradient"


def test_findings_of_the_summary_are_those_of_the_tables(tmp_path):
    run = trained(tmp_path, model__activation="sigmoid", model__depth=8)
    assert run.findings == diagnose(run.tables)
