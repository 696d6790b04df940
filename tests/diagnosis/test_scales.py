import numpy as np
import pytest

from gradlab.tables import Tables, rows_frame
from tests.diagnosis.tables import assert_clean, assert_not_applicable, evaluated, found, tables
from tests.diagnosis.test_losses import noisy, watched

INPUTS, WEIGHTS, RATE = "unscaled-inputs", "vanishing-weights", "learning-rate-too-high"


def reading(mean, std, disparity=1.0, losses=None):
    """A watched training with one first layer that reads this."""
    run = watched(noisy(np.linspace(2, 1, 200)) if losses is None else losses)
    numbers = {"input_mean": mean, "input_std": std, "input_disparity": disparity}
    row = {"step": 0, "module": "stem", "kind": "weight", "layer": 0, **numbers}
    return Tables(steps=run.steps, layers=rows_frame("layers", [row]), summary=run.summary)


# ------------------------------------------------------------------------------------------------------- inputs


def test_huge_inputs():
    finding = found(INPUTS, reading(1960.0, 1170.0, disparity=40.0))
    assert finding.severity == "warning"
    assert finding.modules == ("stem",)
    assert finding.message == (
        "what enters `stem` has the mean 1.96e+03 and the standard deviation 1.17e+03, where about 0 and 1 are "
        "expected; the largest feature is 40 times the median one"
    )


def test_large_inputs_are_a_warning_where_the_training_suffers():
    assert found(INPUTS, reading(120.0, 80.0)).severity == "info"
    assert found(INPUTS, reading(120.0, 80.0, losses=noisy([2.3] * 200))).severity == "warning"
    assert found(INPUTS, reading(0.0, 1e-6, losses=noisy([2.3] * 200))).severity == "warning"


@pytest.mark.parametrize("inputs", [(0.0, 1.0), (0.13, 0.31), (4.9, 6.0), (0.0, 0.03)])
def test_usual_inputs(inputs):
    assert_clean(INPUTS, reading(*inputs, losses=noisy([2.3] * 200)))


def test_no_first_layer():
    assert_not_applicable(INPUTS, tables(), "no first layer")


# ------------------------------------------------------------------------------------------------------ weights


def test_weights_that_decay_to_nothing():
    norms = np.ones((20, 10)) * 10
    norms[:, 3] = 10 * 0.5 ** np.arange(20)
    finding = found(WEIGHTS, tables(weight_norm=norms))
    assert finding.modules == ("weight.3",)
    assert finding.steps == (0, 19)  # they fall from the first record on
    assert "falls from 10 to" in finding.message


def test_weights_that_only_shrink():
    assert_clean(WEIGHTS, tables(weight_norm=(10 * 0.9 ** np.arange(20))[:, None]))
    assert_clean(WEIGHTS, tables(weight_norm=0.0))
    assert_not_applicable(WEIGHTS, tables(steps=[0]), "fewer than two times")


# ---------------------------------------------------------------------------------------------------- the steps


def test_large_steps_and_a_rising_loss():
    finding = found(RATE, watched(noisy(np.linspace(1, 4, 200)), update=0.1))
    assert finding.message.endswith("and the loss rises")
    assert finding.remedies == ("Divide the learning rate by 10.",)
    flat = found(RATE, tables(steps=range(0, 500, 25), evaluations=evaluated(2.3, 2.3, 2.3), update_ratio=0.1))
    assert flat.message.endswith("and the loss does not fall")
    assert flat.remedies == ("train.learning_rate=0.005",)


def test_large_steps_that_end_in_nan():
    losses = [1.0, 2.0, 50.0, float("nan")]
    assert "no longer finite in step 3" in found(RATE, watched(losses, update=0.5)).message


def test_large_steps_of_a_network_that_learns_are_no_trouble():
    assert_clean(RATE, watched(noisy(np.linspace(4, 1, 200)), update=0.1))
    assert_clean(RATE, watched(noisy(np.linspace(1, 4, 200)), update=1e-3))
    assert_not_applicable(RATE, Tables(), "no update")
