"""Every rule of the models, one claim that breaks it at a time."""

import pytest
from pydantic import ValidationError

from gradlab.claims.claim import (
    HEADLINES,
    THEORY_COLUMNS,
    Claim,
    Course,
    EvaluationMeasure,
    FindingMeasure,
    Headline,
    LayerMeasure,
    Quantity,
)
from gradlab.statistics import LAYER_STATISTICS
from gradlab.tables import SCHEMAS
from tests.claims.vocabulary import EXPECT, PANEL, claim

SLOPE = {"column": "delta_rms", "layers": "slope"}
PROFILE = {"draw": "profile", "column": "delta_rms", "title": "δ"}
COURSE = {"draw": "course", "title": "δ"}


def measure(value):
    return claim({"measure": value}).expect[0].measure


def test_a_claim_has_defaults():
    one = claim().expect[0]
    assert (one.role, one.of, one.minus, one.over, one.partner, one.below) == ("claim", {}, {}, {}, {}, None)
    assert claim().note == ""
    assert claim().reduced == {}


@pytest.mark.parametrize(
    ("value", "model", "words"),
    [
        ("test_accuracy", Headline, "test accuracy"),
        ("diverged", Headline, "diverged"),
        (SLOPE, LayerMeasure, "delta_rms, decades per layer toward the input, at the end"),
        ({**SLOPE, "at": "start", "theory": "difference"}, LayerMeasure,
         "delta_rms, decades per layer toward the input − theory, at the start"),
        ({"column": "delta_rms", "kind": "output", "layers": "first", "at": 50}, LayerMeasure,
         "delta_rms of output rows, first layer, at step 50"),
        ({"column": "zero_fraction", "layers": -1, "at": "mean"}, LayerMeasure,
         "zero_fraction, layer −1, mean over time"),
        ({"column": "zero_fraction", "kind": "activation", "layers": "max", "at": "min"}, LayerMeasure,
         "zero_fraction, largest layer, smallest in time"),
        ({"column": "zero_fraction", "layers": "mean", "at": "max"}, LayerMeasure,
         "zero_fraction, mean over layers, largest in time"),
        ({"split": "train", "column": "loss"}, EvaluationMeasure, "loss, train, at the end"),
        ({"split": "train", "versus": "test", "column": "accuracy", "at": "min"}, EvaluationMeasure,
         "accuracy, train − test, smallest in time"),
        ({"finding": "dead-units"}, FindingMeasure, "share of runs with dead-units"),
        ({"finding": "dead-units", "onset": True}, FindingMeasure, "first step of dead-units"),
    ],
)  # fmt: skip
def test_a_measure_is_told_by_its_keys_and_says_itself(value, model, words):
    assert type(measure(value)) is model
    assert str(measure(value)) == words


def test_every_headline_is_a_measure():
    assert {str(measure(name)) for name in HEADLINES} == {name.replace("_", " ") for name in HEADLINES}
    assert "diverged" in HEADLINES


def test_the_rows_of_a_column_are_those_that_carry_it():
    rows = {column: Quantity(column=column).rows for column in LAYER_STATISTICS}
    assert {column for column in rows if rows[column] == "weight"} == {
        "delta_rms", "delta_through_time", "weight_norm", "weight_gradient_norm", "update_ratio",
    }  # fmt: skip
    assert {rows[column] for column in rows} == {"weight", "activation"}
    assert Quantity(column="delta_rms", kind="activation").rows == "activation"


def test_what_theory_predicts_are_columns():
    assert set(THEORY_COLUMNS.values()) <= set(SCHEMAS["theory"])
    assert {column for column, _ in THEORY_COLUMNS} <= set(LAYER_STATISTICS)


def test_what_was_written_is_read_again():
    written = claim({"measure": SLOPE, "minus": {"seed": 1}}, picture=[PANEL, PROFILE]).model_dump(mode="json")
    assert Claim.model_validate(written).model_dump(mode="json") == written


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"above": None}, "has no bound; say above, below or both"),
        ({"above": 1.0, "below": 1.0}, "nothing is above 1 and below 1"),
        ({"above": float("inf")}, "finite"),
        ({"above": True}, "valid number"),
        ({"says": ""}, "at least 1 character"),
        ({"role": "limit"}, "'claim' or 'condition'"),
        ({"minus": {"seed": 1}, "over": {"seed": 2}}, "minus and over exclude each other; keep one"),
        ({"measure": "accuracy"}, "'accuracy' is not a number of a run; did you mean 'test_accuracy'?"),
        ({"measure": {"column": "delta", "layers": "slope"}}, "'delta' is not a column of layers"),
        ({"measure": {"column": "delta_rms"}}, "Field required"),
        ({"measure": {**SLOPE, "at": -1}}, "greater than or equal to 0"),
        ({"measure": {**SLOPE, "layers": 1.5}}, "valid integer"),
        ({"measure": {**SLOPE, "kind": "linear"}}, "'weight', 'norm', 'activation', 'output' or 'block'"),
        ({"measure": {**SLOPE, "theory": "difference"}}, "theory is about the start: at: start"),
        ({"measure": {"column": "zero_fraction", "layers": "mean", "at": "start", "theory": "difference"}},
         "theory does not predict zero_fraction of activation  (it does: delta_rms of weight, "),
        ({"measure": {"column": "delta_rms", "layers": "first", "at": "start", "theory": "difference"}},
         "theory predicts how δ changes from layer to layer, not its size: layers: slope"),
        ({"measure": {"split": "valid", "column": "loss"}}, "'train', 'test' or"),
        ({"measure": {"split": "train", "column": "error"}}, "'loss' or 'accuracy'"),
        ({"measure": {"finding": "dead-unit"}}, "'dead-unit' is not a rule; did you mean 'dead-units'?"),
    ],
)  # fmt: skip
def test_wrong_expectations_are_refused(wrong, message):
    with pytest.raises(ValidationError) as caught:
        claim(wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({**PANEL, "title": ""}, "at least 1 character"),
        ({**PANEL, "draw": "bars"}, "'profile', 'course', 'points', 'histograms'"),
        ({**PANEL, "minus": {"seed": 1}, "over": {"seed": 2}}, "exclude each other"),
        ({**PANEL, "scale": "cubic"}, "'log' or 'linear'"),
        ({**PROFILE, "column": "delta"}, "'delta' is not a column of layers"),
        ({**PROFILE, "at": "mean"}, "'start' or 'end'"),
        ({**PROFILE, "column": "zero_fraction", "theory": True}, "theory does not predict zero_fraction of activation"),
        ({**COURSE, "column": "delta_rms"}, "say how layers become one number (layers: …), or draw each of them"),
        ({**COURSE, "column": "delta_rms", "layers": "mean", "lines": "layer"}, "say how layers become one number"),
        ({**COURSE, "column": "loss", "layers": "mean"}, "'loss' is not a column of layers"),
        ({**COURSE, "column": "delta_rms", "split": "test"}, "'delta_rms' is not a column of evaluations"),
        ({**COURSE, "column": "loss", "split": "test", "lines": "layer"}, "evaluations (split: …) have no layers"),
        ({**COURSE, "column": "loss", "split": "test", "layers": "mean"}, "evaluations (split: …) have no layers"),
        ({"draw": "histograms", "title": "h", "quantity": "bias"}, "'activation', 'delta', 'weight' or"),
    ],
)
def test_wrong_panels_are_refused(wrong, message):
    with pytest.raises(ValidationError) as caught:
        claim(picture=[wrong])
    assert message in str(caught.value)


@pytest.mark.parametrize("part", ["title", "sentence", "expect", "picture"])
def test_no_part_is_empty(part):
    data = {"title": "T", "sentence": "S.", "expect": [EXPECT], "picture": [PANEL]}
    with pytest.raises(ValidationError, match=part):
        Claim.model_validate({**data, part: type(data[part])()})
    del data[part]
    with pytest.raises(ValidationError, match=part):
        Claim.model_validate(data)


def test_a_picture_has_four_panels_at_most():
    assert len(claim(picture=[PANEL] * 4).picture) == 4
    with pytest.raises(ValidationError, match="at most 4"):
        claim(picture=[PANEL] * 5)


def test_a_course_of_layers_knows_its_rows():
    course = claim(picture=[{**COURSE, "column": "delta_rms", "lines": "layer"}]).picture[0]
    assert isinstance(course, Course)
    assert course.quantity.rows == "weight"
