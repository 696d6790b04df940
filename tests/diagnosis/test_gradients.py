import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab.diagnosis import diagnose
from gradlab.diagnosis.gradients import RANGE_DECADES
from gradlab.tables import Tables, rows_frame, verdict_of
from tests.diagnosis.tables import (
    assert_clean,
    assert_not_applicable,
    config,
    found,
    geometric,
    tables,
    watched,
)

VANISHING, EXPLODING, UNDERFLOW = "vanishing-gradient", "exploding-gradient", "gradient-underflow"
SIGMOID = config(depth=20, activation="sigmoid", initializer="glorot_uniform")


def course(*slopes, depth=20, records=10):
    """δ of a run whose slope is each of `slopes` for some records."""
    return np.concatenate([np.tile(geometric(depth, value), (records, 1)) for value in slopes])


def run_of(*slopes, depth=20, records=10, **options):
    steps = range(records * len(slopes))
    return tables(depth, steps, delta_rms=course(*slopes, depth=depth, records=records), **options)


# ------------------------------------------------------------------------------------------------- across depth


def test_vanishing():
    finding = found(VANISHING, run_of(-0.63, model=SIGMOID))
    assert finding.severity == "error"
    assert finding.message == (
        "the gradient signal δ shrinks toward the input, ÷ 4.3 per layer (0.63 decades, R² 1.00): 12.0 decades "
        "over 20 layers, from `weight.19` back to `weight.0`, from the first recorded step to the last"
    )
    assert finding.measured["range_decades"] == pytest.approx(-0.63 * 19)
    assert finding.threshold["range_decades"] == -RANGE_DECADES
    assert finding.steps == (0, 9)
    assert finding.remedies == ("model.batch_norm=before", "model.activation=relu model.initializer=he_normal")


def test_exploding():
    finding = found(EXPLODING, run_of(0.15, model=config(depth=20, activation="identity", initializer="he_normal")))
    assert finding.severity == "error"
    assert "δ grows toward the input, × 1.4 per layer (0.15 decades" in finding.message
    assert finding.remedies[0] == "model.initializer=glorot_uniform"


@pytest.mark.parametrize(
    ("factor", "depth", "rule"),
    [  # factor a layer toward the input, from the literature (reference.md §3)
        (0.7071, 20, VANISHING),  # relu + glorot
        (0.5709, 10, VANISHING),  # tanh + U(±1/√n)
        (0.2359, 6, VANISHING),  # sigmoid + glorot
        (1.4142, 20, EXPLODING),  # identity + he
        (0.9327, 20, None),  # tanh + glorot
        (1.0352, 30, None),  # selu + lecun
        (1.2162, 20, None),  # relu with BatchNorm
        (1.0, 100, None),  # relu + he
    ],
)
def test_networks_of_the_literature(factor, depth, rule):
    flat = 0.1  # the weight gradient says nothing
    run = run_of(np.log10(factor), depth=depth, weight_gradient_norm=flat)
    assert [finding.rule for finding in diagnose(run)] == ([rule] if rule else [])


def test_what_came_in_training_has_other_remedies():
    finding = found(VANISHING, run_of(0.0, -0.2))
    assert "not at the start, but since step 10" in finding.message
    assert finding.remedies == ("train.learning_rate=0.005", "train.clip_gradient_norm=1.0")


def test_what_cured_itself_weighs_less():
    late, soon = run_of(-0.2, 0.0), run_of(-0.2, *[0.0] * 20)
    assert found(VANISHING, late).severity == "warning"
    assert "at the start; gone after step 9" in found(VANISHING, late).message
    assert found(VANISHING, soon).severity == "info"
    assert verdict_of(diagnose(soon)) == "healthy"


def test_what_came_and_went_is_only_worth_knowing():
    finding = found(VANISHING, run_of(0.0, -0.2, 0.0))
    assert finding.severity == "info"
    assert finding.measured["decades_per_layer"] == pytest.approx(-0.2)


def test_a_range_that_creeps_along_the_limit_is_not_cured():
    assert found(VANISHING, run_of(-0.15, -0.1, -0.09)).severity == "error"


def test_an_explosion_at_the_start_leaves_its_mark():
    assert found(EXPLODING, run_of(0.2, *[0.0] * 20)).severity == "warning"


def test_one_noisy_step_is_no_verdict():
    delta = course(0.0)
    delta[5] = geometric(20, -1.0)
    assert_clean(VANISHING, tables(20, range(10), delta_rms=delta))


def test_small_everywhere_is_convergence_not_vanishing():
    assert_clean(VANISHING, tables(20, delta_rms=1e-20))


def test_one_odd_layer_is_no_slope():
    delta = np.ones(20)
    delta[2] = 1e-12
    assert_clean(VANISHING, tables(20, delta_rms=delta))


def test_overflow_on_the_way_to_the_input_explodes():
    delta = np.array([np.inf, np.inf, np.inf, np.inf, 1e-2])
    finding = found(EXPLODING, tables(5, delta_rms=np.stack([delta, geometric(5, 0.0)])[[0, 1, 1, 1]], steps=range(4)))
    assert "overflows" in finding.message


def test_the_last_records_before_divergence_are_no_evidence():
    assert_clean(EXPLODING, run_of(0.0, 3.0, records=5, status="diverged"))
    assert found(EXPLODING, run_of(0.0, 3.0, records=5, status="interrupted"))


def test_not_applicable_without_depth_or_delta():
    for rule in (VANISHING, EXPLODING):
        assert_not_applicable(rule, tables(depth=1), "one hidden layer")
        assert_not_applicable(rule, tables(steps=[]), "no δ")
        assert_not_applicable(rule, tables(delta_rms=0.0), "zero or not finite")
        assert_not_applicable(rule, tables(delta_rms=np.nan), "zero or not finite")


def test_prediction_is_told_beside_the_measurement():
    theory = [{"layer": k, "delta_relative": value} for k, value in enumerate(geometric(20, -0.6, at_output=1.0))]
    finding = found(VANISHING, run_of(-0.63, theory=theory))
    assert finding.predicted["decades_per_layer"] == pytest.approx(-0.6)


@given(
    scale=st.floats(-8, 8),
    decades=st.floats(-0.5, 0.5),
    depth=st.integers(2, 30),
    noise=st.lists(st.floats(-0.3, 0.3), min_size=30, max_size=30),
)
def test_no_scale_of_the_loss_changes_a_verdict(scale, decades, depth, noise):
    delta = geometric(depth, decades) * 10 ** np.array(noise[:depth])
    plain, scaled = (
        [(f.rule, f.severity, f.steps) for f in diagnose(tables(depth, range(3), delta_rms=delta * factor))]
        for factor in (1.0, 10**scale)
    )
    near = abs(abs(decades_over(delta)) - RANGE_DECADES) < 1e-6
    assert near or plain == scaled


def decades_over(delta):
    return np.polyfit(np.arange(len(delta)), np.log10(delta), 1)[0] * (len(delta) - 1)


# --------------------------------------------------------------------------------------------------- underflow


def test_underflow():
    delta = np.float64(np.float32(geometric(100, -0.63)))  # float32 runs out
    assert (delta == 0).any()
    finding = found(UNDERFLOW, tables(100, delta_rms=delta))
    assert finding.layers == tuple(np.flatnonzero(delta == 0))
    assert finding.severity == "error"
    assert "float32 ran out" in finding.message
    assert found(VANISHING, tables(100, delta_rms=delta))


def test_underflow_of_the_product_alone():
    finding = found(UNDERFLOW, tables(3, delta_rms=[1e-36, 1e-30, 1e-20], weight_gradient_norm=[0.0, 1e-40, 1e-20]))
    assert finding.layers == (0,)


def test_zeros_beside_healthy_numbers_have_another_cause():
    assert_clean(UNDERFLOW, tables(4, delta_rms=[0.0, 0.0, 1e-3, 1e-3]))


def test_float64_has_room():
    roomy = config(depth=100).model_copy(update={"dtype": "float64"})
    assert_clean(UNDERFLOW, tables(100, delta_rms=geometric(100, -0.63), model=roomy))


def test_underflow_needs_delta():
    assert_not_applicable(UNDERFLOW, tables(steps=[]), "no δ")


def conv_net(delta_weight, delta_norm, share=1.0):
    """A watched network in which convolutions have a normalization behind them, and the δ at both."""
    rows = []
    for step in range(20):
        for layer, (weight, norm) in enumerate(zip(delta_weight, delta_norm, strict=True)):
            rows.append({"step": step, "layer": layer, "module": f"conv{layer}", "kind": "weight", "delta_rms": weight})
            if layer < share * len(delta_weight):
                rows.append({"step": step, "layer": layer, "module": f"bn{layer}", "kind": "norm", "delta_rms": norm})
    return watched(rows_frame("layers", rows))


def test_delta_in_front_of_a_normalization_says_nothing():
    falling, flat = np.geomspace(1e-5, 1e-2, 12), np.full(12, 1e-3)
    assert not [f for f in diagnose(conv_net(falling, flat)) if f.rule == "vanishing-gradient"]
    assert [f for f in diagnose(conv_net(flat, falling)) if f.rule == "vanishing-gradient"]
    assert [f for f in diagnose(conv_net(falling, flat, share=0.3)) if f.rule == "vanishing-gradient"]


def half_precision(delta, scale=1.0):
    """A watched network in float16, with the δ of its layers from the first to the output."""
    kinds = ["weight"] * (len(delta) - 1) + ["output"]
    rows = [
        {"step": step, "layer": n, "module": f"m{n}", "kind": kind, "delta_rms": value, "dtype": "float16"}
        for step in range(20)
        for n, (kind, value) in enumerate(zip(kinds, delta, strict=True))
    ]
    steps = [{"step": step, "loss": 1.0, "gradient_scale": scale} for step in range(20)]
    return Tables(layers=rows_frame("layers", rows), steps=rows_frame("steps", steps))


def test_float16_runs_out_far_earlier():
    finding = found(UNDERFLOW, half_precision([0.0, 4e-8, 5e-8]))
    assert finding.modules == ("m0", "m1", "m2")
    assert "float16 ran out" in finding.message
    assert "GradScaler" in finding.remedies[0]


def test_a_scaler_keeps_float16_from_running_out():
    assert_clean(UNDERFLOW, half_precision([4e-8, 4e-8, 5e-8], scale=2.0**16))


def test_zeros_beside_healthy_numbers_have_another_cause_in_float16_too():
    assert_clean(UNDERFLOW, half_precision([0.0, 1e-3, 1e-3]))
