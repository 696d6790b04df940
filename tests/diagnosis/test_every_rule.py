"""Each rule three times on tables of a few numbers: where it must fire, where it must not, where it does not apply.

A new rule needs an entry in all three tables; the other tests of this folder look at each rule more closely.
"""

import math

import numpy as np
import pytest

from gradlab.diagnosis import RULES, NotApplicable
from gradlab.tables import Tables, rows_frame
from tests.diagnosis.tables import answer, config, evaluated, geometric, tables, watched
from tests.diagnosis.test_graph import GRAPH
from tests.diagnosis.test_loop import left, loop, modes, skips
from tests.diagnosis.test_losses import noisy
from tests.diagnosis.test_losses import watched as with_loss
from tests.diagnosis.test_scales import reading

NOTHING = Tables(layers=rows_frame("layers", []))
SOUND = tables()
FALLING, FLAT, RISING = noisy(np.linspace(4, 1, 200)), noisy([2.3] * 200), noisy(np.linspace(1, 4, 200))
LONG = range(0, 500, 25)
WHOLE = {
    "trained": 10, "unreached": {}, "not_optimized": {}, "strangers": [False], "outside": {}, "fresh": [],
    "chains": [[["NllLoss", []], ["LogSoftmax", [4, 3]], ["Addmm", [4, 3]]]],
}  # fmt: skip


def of_graph(**changed):
    """A watched training with what its graph says."""
    return Tables(layers=SOUND.layers, steps=SOUND.steps, summary={"graph": {**WHOLE, **changed}})


def normalized(running, batch):
    """Evaluations with running statistics and with those of the batch."""
    with_batch = evaluated(*batch, split="train_batch_statistics", steps=[0, 100, 200])
    return tables(
        model=config(depth=10, batch_norm="before"),
        evaluations=[*evaluated(*running, steps=[0, 100, 200]), *with_batch],
    )


THEORY = [{"layer": layer, "delta_relative": 1.0, "activation_rms": 1.0} for layer in range(20)]

FIRES = {
    "no-steps": loop(passes=100),
    "skipped-steps": loop(passes=120, skipped=120),
    "unregistered-parameters": of_graph(outside={"cells": 3}),
    "not-optimized": of_graph(not_optimized={"head.weight": 4}),
    "output-mismatch": of_graph(chains=GRAPH["chains"]),
    "no-gradient": of_graph(unreached={"body.weight": 8}),
    "gradients-not-cleared": left(None, 1.0, 1.0),
    "unscaled-inputs": reading(2000.0, 1000.0),
    "symmetric-units": tables(model=config(depth=10, initializer="constant"), across_units_std=1e-8),
    "vanishing-gradient": tables(20, delta_rms=geometric(20, -0.2)),
    "exploding-gradient": tables(20, delta_rms=geometric(20, 0.2)),
    "gradient-underflow": tables(10, delta_rms=[0.0] * 3 + [1e-37] * 7),
    "dead-units": tables(dead_fraction=0.9),
    "diverged": tables(steps=range(3), losses=[2.3, 4.0, math.nan], status="diverged"),
    "stalled-loss": with_loss(FLAT),
    "rising-loss": with_loss(RISING, update=0.1),
    "signal-collapse": tables(across_samples_std=1e-4),
    "signal-explosion": tables(20, activation_rms=geometric(20, -0.2)),
    "saturated-activations": tables(model=config(depth=10, activation="tanh"), saturated_fraction=0.9),
    "updates-too-large": tables(update_ratio=0.5),
    "updates-too-small": tables(update_ratio=1e-7, losses=[2.3] * 20),
    "learning-rate-too-high": with_loss(RISING, update=0.1),
    "vanishing-weights": tables(weight_norm=(10 * 0.5 ** np.arange(20))[:, None]),
    "eval-mode": modes(0.0, 0.0, 1.0, 1.0),
    "batch-norm-drift": normalized([2.0, 2.0, 2.0], [2.3, 0.5, 0.3]),
    "off-theory": tables(20, theory=THEORY, activation_rms=geometric(20, -0.15)),
}
SILENT = {
    "no-steps": loop([{"loss": 1.0}]),
    "skipped-steps": skips(16, *[0] * 100),
    "unregistered-parameters": of_graph(),
    "not-optimized": of_graph(),
    "output-mismatch": of_graph(),
    "no-gradient": of_graph(),
    "gradients-not-cleared": left(None, 0.0, 0.0),
    "unscaled-inputs": reading(0.5, 1.0),
    "stalled-loss": with_loss(FALLING),
    "rising-loss": with_loss(FALLING),
    "learning-rate-too-high": with_loss(FALLING, update=0.1),
    "updates-too-small": tables(update_ratio=1e-3, losses=[2.3] * 20),
    "saturated-activations": tables(model=config(depth=10, activation="tanh"), saturated_fraction=0.1),
    "eval-mode": modes(0.0, 0.0, 0.0),
    "batch-norm-drift": normalized([2.3, 0.5, 0.3], [2.3, 0.5, 0.3]),
    "off-theory": tables(20, theory=THEORY),
    **dict.fromkeys(
        [
            "symmetric-units", "vanishing-gradient", "exploding-gradient", "gradient-underflow", "dead-units",
            "diverged", "signal-collapse", "signal-explosion", "updates-too-large", "vanishing-weights",
        ],
        SOUND,
    ),
}  # fmt: skip
ONE_LAYER = tables(1)
DOES_NOT_APPLY = {
    "no-steps": SOUND,
    "skipped-steps": SOUND,
    **dict.fromkeys(["unregistered-parameters", "not-optimized", "output-mismatch", "no-gradient"], SOUND),
    "gradients-not-cleared": left(None, 1.0),
    "unscaled-inputs": SOUND,
    "symmetric-units": watched(SOUND.layers.with_columns(dead_fraction=None, across_units_std=None)),
    "vanishing-gradient": ONE_LAYER,
    "exploding-gradient": ONE_LAYER,
    "gradient-underflow": NOTHING,
    "dead-units": tables(model=config(depth=10, activation="tanh"), dead_fraction=0.9),
    "diverged": NOTHING,
    "stalled-loss": with_loss(FLAT[:20]),
    "rising-loss": with_loss(RISING, optimizer="Adam, Adam"),
    "signal-collapse": NOTHING,
    "signal-explosion": ONE_LAYER,
    "saturated-activations": tables(saturated_fraction=0.9),
    "updates-too-large": tables(steps=[]),
    "updates-too-small": tables(steps=[]),
    "learning-rate-too-high": NOTHING,
    "vanishing-weights": tables(steps=[0]),
    "eval-mode": modes(None, None),
    "batch-norm-drift": tables(evaluations=evaluated(2.3, 2.3)),
    "off-theory": SOUND,
}


@pytest.mark.parametrize("runs", [FIRES, SILENT, DOES_NOT_APPLY], ids=["fires", "silent", "does not apply"])
def test_no_rule_is_left_out(runs):
    assert set(runs) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_it_fires(rule):
    said = answer(rule, FIRES[rule])
    assert not isinstance(said, NotApplicable), said.reason
    assert [finding.rule for finding in said] == [rule]
    assert said[0].severity != "info"
    assert said[0].message


@pytest.mark.parametrize("rule", RULES)
def test_it_is_silent(rule):
    assert answer(rule, SILENT[rule]) == []


@pytest.mark.parametrize("rule", RULES)
def test_it_does_not_apply_and_says_why(rule):
    said = answer(rule, DOES_NOT_APPLY[rule])
    assert isinstance(said, NotApplicable), said
    assert said.reason[0].islower() or said.reason[0].isdigit() or said.reason[0] == "δ"


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("rule", RULES)
def test_the_scale_of_the_loss_does_not_matter(rule, factor):
    """A loss times a constant changes loss, δ and gradients by it; what a rule says of the run is the same."""
    if rule in ("gradient-underflow", "off-theory"):
        return  # the one is about a scale, the other about δ that theory gives relative to the output
    for runs, fires in ((FIRES, True), (SILENT, False)):
        if runs[rule].config is not None and rule in ("stalled-loss", "rising-loss", "batch-norm-drift"):
            continue  # a config says which loss it is
        assert bool(answer(rule, scaled(runs[rule], factor))) == fires


def scaled(run, factor):
    """The same training with a loss times a factor, and a learning rate divided by it."""
    by = {name: run.layers[name] * factor for name in ("delta_rms", "weight_gradient_norm", "parameter_gradient_norm")}
    return Tables(
        layers=run.layers.with_columns(**by),
        steps=run.steps.with_columns(loss=run.steps["loss"] * factor),
        evaluations=run.evaluations,
        theory=run.theory,
        config=run.config,
        summary=run.summary,
        status=run.status,
    )
