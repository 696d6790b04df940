"""Every kind of measure, against a second derivation in NumPy from the tables."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab.claims.measuring import at_moment, evaluations, measured, over_layers, predicted
from gradlab.statistics import LAYER_STATISTICS
from gradlab.tables import SCHEMAS
from tests.claims.vocabulary import INF, NAN, STEPS, claim, observed, write_run

DEPTH = 3
RANDOM = np.random.default_rng(0)
LAYERS = ("first", "last", "mean", "min", "max", 0, 1, -1, -3)
MOMENTS = ("start", "end", "mean", "min", "max", 0, 4, 6, 999)
EVALUATED = (0, 50, 100)
LOSS = {(step, split): float(RANDOM.normal()) for step in EVALUATED for split in ("train", "test")}
THEORY = [
    {
        "layer": layer,
        "preactivation_variance": 1.0 + layer,
        "activation_mean": 0.5 + layer,
        "activation_rms": 0.6 + layer,
        "activation_std": 0.7 + layer,
        "chi": 1.0,
        "delta_relative": 10.0 ** (-0.25 * (DEPTH - 1 - layer)),
    }
    for layer in range(DEPTH)
]


def value(run, measure):
    return measured(claim({"measure": measure}).expect[0].measure, run)


def finding(rule, steps):
    return {"rule": rule, "severity": "error", "message": "", "steps": steps}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Random numbers in every column, three layers and three records."""
    numbers = {(column, step, layer): 10.0 ** RANDOM.normal() for column in LAYER_STATISTICS for step in STEPS
               for layer in range(DEPTH + 1)}  # fmt: skip
    return write_run(
        tmp_path_factory.mktemp("runs"),
        columns={
            column: lambda step, layer, column=column: numbers[column, step, layer] for column in LAYER_STATISTICS
        },
        evaluations=[(step, split, loss, 0.25) for (step, split), loss in LOSS.items()],
        theory=THEORY,
        findings=[finding("dead-units", [40, 90]), finding("dead-units", [20, 30]), finding("stalled-loss", None)],
        test_accuracy=0.75,
        decades_per_layer_start=-0.5,
        train_loss=None,
    )


def table(run, column, kind):
    """Step × layer, cell by cell."""
    cells = {(row["step"], row["layer"]): row[column] for row in run.layers.filter(kind=kind).to_dicts()}
    layers = sorted({layer for _, layer in cells})
    return np.array([[cells[step, layer] for layer in layers] for step in STEPS])


def over_time(values_T, at, steps=STEPS):
    if at in ("mean", "min", "max"):
        return getattr(np, at)(values_T)
    nearest = {"start": 0, "end": len(steps) - 1}.get(at)
    nearest = min(range(len(steps)), key=lambda index: abs(steps[index] - at)) if nearest is None else nearest
    return values_T[nearest]


@pytest.mark.parametrize("at", MOMENTS)
@pytest.mark.parametrize("layers", LAYERS)
def test_layers_then_time(run, layers, at):
    values_TL = table(run, "activation_std", "activation")
    index = {"first": 0, "last": -1}.get(layers, layers)
    values_T = values_TL[:, index] if isinstance(index, int) else getattr(np, layers)(values_TL, axis=1)
    measure = {"column": "activation_std", "layers": layers, "at": at}
    assert value(run, measure) == pytest.approx(over_time(values_T, at), rel=1e-12)


@pytest.mark.parametrize("at", MOMENTS)
@pytest.mark.parametrize("column", ["delta_rms", "weight_gradient_norm", "activation_rms"])
def test_a_slope_is_the_line_through_the_logarithms_toward_the_input(run, column, at):
    kind = "weight" if column != "activation_rms" else "activation"
    slopes = [-np.polyfit(range(DEPTH), np.log10(values), 1)[0] for values in table(run, column, kind)]
    assert value(run, {"column": column, "layers": "slope", "at": at}) == pytest.approx(over_time(slopes, at), rel=1e-9)


@pytest.mark.parametrize("column", LAYER_STATISTICS)
@pytest.mark.parametrize("kind", ["weight", "activation", "output"])
def test_every_column_of_every_kind(run, column, kind):
    expected = table(run, column, kind)[-1, 0]
    assert value(run, {"column": column, "kind": kind, "layers": "first"}) == expected


def test_a_layer_that_is_not_there(run):
    assert value(run, {"column": "delta_rms", "layers": 3}) is None
    assert value(run, {"column": "delta_rms", "layers": -4}) is None
    assert value(run, {"column": "delta_rms", "kind": "norm", "layers": "mean"}) is None


def test_theory_is_subtracted(run):
    start = {"at": "start", "theory": "difference"}
    slope = -np.polyfit(range(DEPTH), np.log10(table(run, "delta_rms", "weight")[0]), 1)[0]
    assert value(run, {"column": "delta_rms", "layers": "slope", **start}) == pytest.approx(slope + 0.25, rel=1e-9)
    for column, first in (("activation_mean", 0.5), ("activation_rms", 0.6), ("activation_std", 0.7)):
        found = table(run, column, "activation")[0]
        assert value(run, {"column": column, "layers": -1, **start}) == pytest.approx(found[-1] - first - 2, rel=1e-9)
        mean = value(run, {"column": column, "layers": "mean", **start})
        assert mean == pytest.approx(found.mean() - first - 1, rel=1e-9)
    rms = value(run, {"column": "activation_rms", "kind": "weight", "layers": -1, **start})
    assert rms == pytest.approx(table(run, "activation_rms", "weight")[0, -1] - np.sqrt(3), rel=1e-9)


@pytest.mark.parametrize("theory", [[], [{**row, "activation_rms": None} for row in THEORY]])
def test_theory_that_says_nothing(tmp_path, theory):
    silent = write_run(tmp_path, columns={"activation_rms": 1.0}, theory=theory)
    measure = {"column": "activation_rms", "layers": "mean", "at": "start"}
    assert value(silent, measure) == 1.0
    assert value(silent, {**measure, "theory": "difference"}) is None


@pytest.mark.parametrize("at", MOMENTS)
def test_evaluations(run, at):
    train, test = (np.array([LOSS[step, split] for step in EVALUATED]) for split in ("train", "test"))
    assert value(run, {"split": "test", "column": "loss", "at": at}) == over_time(test, at, EVALUATED)
    versus = value(run, {"split": "train", "versus": "test", "column": "loss", "at": at})
    assert versus == over_time(train - test, at, EVALUATED)
    assert value(run, {"split": "test", "column": "accuracy", "at": at}) == 0.25


def test_a_split_that_was_not_evaluated(run):
    assert value(run, {"split": "train_batch_statistics", "column": "loss"}) is None
    for pair in (("train", "train_batch_statistics"), ("train_batch_statistics", "train")):
        assert value(run, {"split": pair[0], "versus": pair[1], "column": "loss", "at": "max"}) is None


def test_splits_are_compared_where_both_were_evaluated(tmp_path):
    rows = [(0, "train", 1.0, 0.5), (5, "train", 2.0, 0.5), (9, "train", 7.0, 0.5), (0, "test", 4.0, 0.5),
            (9, "test", 2.0, None)]  # fmt: skip
    one = write_run(tmp_path, evaluations=rows)
    steps, values = evaluations(one, "loss", "train", "test")
    assert (steps.tolist(), values.tolist()) == ([0, 9], [-3.0, 5.0])
    assert value(one, {"split": "train", "versus": "test", "column": "accuracy"}) is None


def test_headlines(run, tmp_path):
    assert value(run, "test_accuracy") == 0.75
    assert value(run, "decades_per_layer_start") == -0.5
    assert value(run, "step_ms") == pytest.approx(10.0)
    assert value(run, "train_loss") is None
    assert value(run, "train_accuracy") is None
    assert value(run, "diverged") == 0.0
    assert value(write_run(tmp_path, status="diverged"), "diverged") == 1.0


def test_findings(run):
    assert value(run, {"finding": "dead-units"}) == 1.0
    assert value(run, {"finding": "dead-units", "onset": True}) == 20.0
    assert value(run, {"finding": "exploding-gradient"}) == 0.0
    assert value(run, {"finding": "exploding-gradient", "onset": True}) is None
    assert value(run, {"finding": "stalled-loss"}) == 1.0
    assert value(run, {"finding": "stalled-loss", "onset": True}) is None


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_what_is_not_finite_is_no_number(tmp_path, bad):
    """In the last record, as a diverged run has it."""
    course = lambda step, layer: bad if step == 20 and layer else 2.0 + step  # noqa: E731
    one = write_run(tmp_path, columns={"activation_max": course}, status="diverged", test_loss=None)
    for layers in ("last", "mean", -1):
        measure = {"column": "activation_max", "layers": layers}
        assert value(one, {**measure, "at": "end"}) is None
        assert value(one, {**measure, "at": 20}) is None
        assert [value(one, {**measure, "at": at}) for at in ("start", "min", "max", "mean")] == [2.0, 2.0, 12.0, 7.0]
    assert value(one, "test_loss") is None


@pytest.mark.parametrize("layers", ["slope", "first", "mean", "max"])
@pytest.mark.parametrize("at", ["start", "end", "mean", 3])
def test_columns_and_runs_without_a_number(tmp_path, layers, at):
    measure = {"column": "dead_fraction", "layers": layers, "at": at}
    assert value(write_run(tmp_path / "null"), measure) is None
    assert value(write_run(tmp_path / "empty", steps=()), measure) is None
    assert value(write_run(tmp_path / "nan", columns={"dead_fraction": NAN}), measure) is None


def test_opposite_infinities_are_no_number_and_no_warning(tmp_path):
    one = write_run(tmp_path, columns={"activation_mean": lambda step, layer: INF if layer else -INF})
    assert value(one, {"column": "activation_mean", "layers": "mean"}) is None
    huge = write_run(tmp_path / "huge", columns={"activation_mean": 1.5e308})
    assert value(huge, {"column": "activation_mean", "layers": "mean", "at": "mean"}) is None


def test_a_column_that_is_recorded_now_and_then_ends_with_its_own_last_record(tmp_path):
    one = write_run(tmp_path, columns={"dead_fraction": lambda step, layer: 0.25 if step == 10 else None})
    assert [value(one, {"column": "dead_fraction", "layers": "mean", "at": at}) for at in ("start", "end")] == [
        0.25
    ] * 2


def test_slopes_pass_over_layers_that_are_exactly_0(tmp_path):
    one = write_run(tmp_path, {"model.depth": 4}, columns={"delta_rms": lambda step, layer: 10.0**layer * (layer != 1)})
    assert value(one, {"column": "delta_rms", "layers": "slope"}) == pytest.approx(-1, rel=1e-12)


def test_predicted_is_empty_without_theory(run):
    quantity = claim({"measure": {"column": "activation_rms", "layers": "mean"}}).expect[0].measure
    assert predicted(quantity, run)[0].tolist() == [0, 1, 2]
    empty = type("Run", (), {"theory": pl.DataFrame(schema=SCHEMAS["theory"])})()
    assert [len(part) for part in predicted(quantity, empty)] == [0, 0]


def test_an_observation_knows_its_settings(tmp_path):
    one = observed(tmp_path, {"model.activation": {"name": "leaky_relu", "negative_slope": 0.3}, "seed": 4})
    assert one.settings["model.activation"] == "leaky_relu"
    assert one.settings["model.activation.negative_slope"] == 0.3
    assert (one.settings["seed"], one.settings["name"]) == (4, "made-up")


FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(st.lists(FLOATS, min_size=1, max_size=6), st.sampled_from(MOMENTS))
def test_a_moment_lies_among_the_values(values, at):
    found = at_moment(np.arange(len(values)), np.array(values), at)
    finite = [number for number in values if np.isfinite(number)]
    if at in ("start", "end") or isinstance(at, int):
        assert found in values or np.isnan(found)
    elif not finite:
        assert found is None
    elif np.isfinite(found):
        assert min(finite) <= found <= max(finite) or found == pytest.approx(np.clip(found, min(finite), max(finite)))


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=6), st.floats(1e-3, 1e3))
def test_a_slope_is_the_same_of_all_scaled_alike(values, factor):
    layers = np.arange(len(values))
    slopes = [float(over_layers(layers, np.array([values]) * scale, "slope")[0]) for scale in (1, factor)]
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-9)
