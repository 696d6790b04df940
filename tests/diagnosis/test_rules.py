import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradlab.choices import INITIALIZERS
from gradlab.config.files import load_config
from gradlab.diagnosis import RULES, Diagnosed, NotApplicable, diagnose, examine, judge, remedies
from gradlab.statistics import LAYER_STATISTICS
from gradlab.tables import HEALTHY, SEVERITIES, UNKNOWN, Finding, Source, Tables, rows_frame, verdict_of
from tests.diagnosis.tables import ACTIVATION, WEIGHT, config, evaluated, geometric, tables
from tests.own import NAMED_ACTIVATIONS

ISSUE = {
    "no-steps", "skipped-steps", "gradients-not-cleared", "rising-loss",
    "no-gradient", "not-optimized", "unregistered-parameters", "output-mismatch",
    "unscaled-inputs", "learning-rate-too-high", "vanishing-weights", "eval-mode",
    "vanishing-gradient", "exploding-gradient", "gradient-underflow", "dead-units", "saturated-activations",
    "signal-collapse", "signal-explosion", "symmetric-units", "diverged", "stalled-loss", "updates-too-small",
    "updates-too-large", "batch-norm-drift", "off-theory",
}  # fmt: skip


def test_every_rule_is_there():
    assert set(RULES) == ISSUE


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_can_be_read(rule):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert rule.severity in SEVERITIES
    assert rule.papers
    assert all(re.search(r"(19|20)\d\d", paper) for paper in rule.papers)
    assert rule.title[0].islower() or rule.title.startswith("δ")
    assert not rule.title.endswith(".")
    assert "What to try" in rule.description


def test_a_healthy_run():
    assert diagnose(tables()) == []
    assert verdict_of([]) == HEALTHY


def test_worst_first_and_causes_before_symptoms():
    run = tables(20, delta_rms=geometric(20, -0.2), update_ratio=1e-7, losses=[2.3] * 20, across_samples_std=1e-4)
    assert [finding.rule for finding in diagnose(run)] == ["vanishing-gradient", "updates-too-small", "signal-collapse"]
    assert diagnose(run)[1].message.endswith("; follows from vanishing-gradient")
    assert verdict_of(diagnose(run)) == "vanishing-gradient"


@pytest.mark.parametrize("run", [tables(20, delta_rms=geometric(20, -0.5)), tables(dead_fraction=0.9)])
def test_findings_name_modules_and_not_numbers(run):
    for finding in diagnose(run):
        assert finding.modules
        assert f"`{finding.modules[0]}`" in finding.message


def test_nothing_judged_is_unknown_and_not_healthy():
    nothing = Tables(layers=rows_frame("layers", []))
    assert judge(nothing).verdict == UNKNOWN
    assert set(judge(nothing).not_judged) == set(RULES)
    assert judge(tables(evaluations=evaluated(2.3, 1.0))).verdict == HEALTHY
    assert Tables(Diagnosed(Source())).verdict == UNKNOWN
    found = judge(tables(1, model=config(depth=1, activation="tanh"), saturated_fraction=0.9))
    assert (found.verdict, "vanishing-gradient" in found.not_judged) == ("saturated-activations", True)


def test_info_leaves_a_run_healthy():
    assert verdict_of([Finding("dead-units", "info", "revived")]) == HEALTHY
    assert verdict_of([Finding("dead-units", "info", "a"), Finding("diverged", "error", "b")]) == "diverged"


finite = st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False))
findings = st.builds(
    Finding,
    rule=st.sampled_from(list(RULES)),
    severity=st.sampled_from(SEVERITIES),
    message=st.text(),
    modules=st.lists(st.text()).map(tuple),
    layers=st.lists(st.integers(0, 100)).map(tuple),
    steps=st.none() | st.tuples(st.integers(0, 100), st.integers(0, 100)),
    measured=finite,
    threshold=finite,
    predicted=finite,
    remedies=st.lists(st.text()).map(tuple),
)


@given(findings)
def test_findings_survive_json(finding):
    assert Finding.from_json(json.loads(json.dumps(finding.to_json(), allow_nan=False))) == finding


# ------------------------------------------------------------------------------------------------- odd tables

odd = st.sampled_from([0.0, 1e-300, 1e-38, 1e-5, 0.5, 1.0, 1e30, np.inf, -np.inf, np.nan, None])


@settings(max_examples=150)
@given(
    cells=st.lists(st.lists(odd, min_size=len(LAYER_STATISTICS), max_size=len(LAYER_STATISTICS)), max_size=8),
    places=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["weight", "norm", "activation", "output"])),
        min_size=8,
        max_size=8,
        unique=True,
    ),
    losses=st.lists(odd, max_size=4),
    evaluations=st.lists(st.tuples(st.sampled_from(["train", "train_batch_statistics"]), odd, odd), max_size=4),
    theory=st.lists(odd, max_size=4),
    status=st.sampled_from(["running", "completed", "diverged", "interrupted", "failed"]),
    model=st.sampled_from([None, config(depth=1), config(depth=4, activation="tanh", batch_norm="before")]),
)
def test_no_table_is_too_odd(cells, places, losses, evaluations, theory, status, model):
    rows = [
        {
            "step": step,
            "layer": layer,
            "module": str(number),
            "kind": kind,
            **dict(zip(LAYER_STATISTICS, row, strict=True)),
        }
        for number, (row, (step, layer, kind)) in enumerate(zip(cells, places, strict=False))
    ]
    run = Tables(
        layers=rows_frame("layers", rows),
        steps=rows_frame("steps", [{"step": step, "loss": loss} for step, loss in enumerate(losses)]),
        evaluations=rows_frame(
            "evaluations",
            [{"step": 100 * n, "split": s, "loss": a, "accuracy": b} for n, (s, a, b) in enumerate(evaluations)],
        ),
        theory=rows_frame(
            "theory", [{"layer": k, "delta_relative": x, "activation_rms": x} for k, x in enumerate(theory)]
        ),
        config=model,
        status=status,
    )
    for finding in diagnose(run):
        json.dumps(finding.to_json(), allow_nan=False)
        assert finding.rule in RULES
        assert SEVERITIES.index(finding.severity) >= SEVERITIES.index(RULES[finding.rule].severity)


def test_nothing_recorded_applies_to_no_rule():
    empty = Tables(layers=rows_frame("layers", []))
    assert all(isinstance(said, NotApplicable) for said in examine(empty).values())
    assert diagnose(empty) == []


def test_a_watched_model_gets_no_overrides():
    run = Tables(layers=tables(20, delta_rms=geometric(20, -0.5)).layers)
    (finding,) = diagnose(run)
    assert finding.rule == "vanishing-gradient"
    assert all(re.fullmatch(r"[A-Z][^=]+\.", remedy) for remedy in finding.remedies)
    weights_only = Tables(layers=run.layers.filter(pl.col("kind") == "weight").with_columns(pl.col("layer") * 3 + 2))
    assert [finding.rule for finding in diagnose(weights_only)] == ["vanishing-gradient"]


# --------------------------------------------------------------------------------------------------- remedies


@pytest.mark.parametrize("activation", NAMED_ACTIVATIONS.values())
def test_every_activation_has_initializers(activation):
    assert activation.traits.initializers
    assert set(activation.traits.initializers) <= set(INITIALIZERS)


def test_clipping_is_no_remedy_for_a_watched_model_whose_signal_fades():
    assert remedies.smaller_steps(None) == ["Divide the learning rate by 10."]
    assert len(remedies.training(None)) == 2


@pytest.mark.parametrize("activation", NAMED_ACTIVATIONS)
@pytest.mark.parametrize("batch_norm", ["none", "before"])
def test_remedies_are_overrides_that_change_something(activation, batch_norm):
    for initializer in ("pytorch_default", "he_normal", "glorot_uniform", "lecun_normal"):
        now = config(depth=20, activation=activation, initializer=initializer, batch_norm=batch_norm)
        for remedy in (*remedies.start(now), *remedies.training(now), *remedies.learning_rate(now, 1000)):
            assert load_config(now, remedy.split()).id != now.id


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", [*WEIGHT, *ACTIVATION, "all"])
def test_a_column_without_a_number_raises_no_warning(column, value):
    """As in a network that diverged in its first step; warnings are errors here."""
    columns = dict.fromkeys([*WEIGHT, *ACTIVATION] if column == "all" else [column], value)
    for steps in ([0], [0, 1], range(20)):
        for status in ("completed", "diverged"):
            run = tables(
                4, steps, losses=[value] * len(steps), evaluations=evaluated(value, value), status=status, **columns
            )
            for finding in diagnose(run):
                json.dumps(finding.to_json(), allow_nan=False)
