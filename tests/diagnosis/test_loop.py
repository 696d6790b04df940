import pytest

from gradlab.tables import Tables, rows_frame
from tests.diagnosis.tables import assert_clean, assert_not_applicable, found, tables


def loop(rows=(), *, status="completed", steps=None, passes=0, skipped=0):
    """A watched training of which only the loop is known: the rows of the table `steps`, and what came after them."""
    frame = rows_frame("steps", [{"step": step, **row} for step, row in enumerate(rows)])
    summary = {
        "steps": frame.height if steps is None else steps,
        "unfinished": {"passes": passes, "skipped": skipped},
    }
    return Tables(steps=frame, layers=rows_frame("layers", []), status=status, summary=summary)


def skips(*counts, **after):
    return loop([{"skipped": float(count)} for count in counts], **after)


def left(*shares):
    return loop([{"gradients_left": share} for share in shares])


# ------------------------------------------------------------------------------------------------------- no steps


def test_backward_passes_without_a_step():
    finding = found("no-steps", loop(passes=100))
    assert finding.severity == "error"
    assert finding.message == "100 backward passes were seen, and no step of the optimizer: no weight has moved"


def test_nothing_at_all_and_another_model():
    assert "neither a backward pass" in found("no-steps", loop()).message
    assert "no module of the watched model" in found("no-steps", loop(steps=7)).message


def test_steps_are_no_trouble():
    assert_clean("no-steps", loop([{"loss": 1.0}]))
    assert_not_applicable("no-steps", tables(), "configured run")
    assert_not_applicable("no-steps", loop(status="running", passes=8), "not ended yet")
    assert_not_applicable("no-steps", Tables(), "nobody counted")


# -------------------------------------------------------------------------------------------------- skipped steps


def test_every_step_is_skipped():
    run = loop(passes=120, skipped=120)
    finding = found("skipped-steps", run)
    assert finding.severity == "error"
    assert "120 of 120 attempts" in finding.message
    assert "no step has been done at all" in finding.message
    assert_clean("no-steps", run)


def test_training_that_stops_in_the_middle():
    finding = found("skipped-steps", skips(*[0] * 100, passes=15, skipped=15))
    assert finding.severity == "error"
    assert "none has been done after step 99" in finding.message


@pytest.mark.parametrize(("every", "severity"), [(1, "error"), (5, "warning")])
def test_steps_that_are_skipped_again_and_again(every, severity):
    finding = found("skipped-steps", skips(*[2 * (step % every == 0) for step in range(200)]))
    assert finding.severity == severity


def test_a_scaler_finds_its_scale_and_now_and_then_tries_a_larger_one():
    assert_clean("skipped-steps", skips(16, *[0] * 100))
    assert_clean("skipped-steps", skips(0, 2, 1, *[0] * 100, 1, *[0] * 100, 1))
    assert_clean("skipped-steps", skips(passes=16, skipped=16))


def test_too_few_attempts_and_no_count():
    assert_not_applicable("skipped-steps", skips(passes=30, skipped=30), "30 attempts are too few")
    assert_not_applicable("skipped-steps", tables(), "nobody counted")


# ------------------------------------------------------------------------------------------ gradients not cleared


def test_gradients_that_are_never_cleared():
    finding = found("gradients-not-cleared", left(None, 1.0, 1.0, 1.0))
    assert finding.severity == "error"
    assert finding.message == (
        "backward passes add to gradients that the step before has used: they were not cleared in 3 of the 3 steps "
        "that were looked at"
    )


def test_one_of_two_optimizers_forgets_it():
    assert "50% of the gradients" in found("gradients-not-cleared", left(None, 0.5, 0.5)).message


def test_gradients_that_are_cleared():
    assert_clean("gradients-not-cleared", left(None, 0.0, 0.0, 0.0))
    assert_clean("gradients-not-cleared", left(None, 0.0, 1.0, 0.0, 0.0))
    assert_not_applicable("gradients-not-cleared", left(None, 1.0), "fewer than two")


# ------------------------------------------------------------------------------------------------------------ the mode


def modes(*shares):
    return loop([{"evaluating": share} for share in shares])


def test_evaluation_mode_from_the_start_is_information():
    assert found("eval-mode", modes(1.0, 1.0, 1.0)).severity == "info"


def test_evaluation_mode_that_stays_after_an_evaluation_is_a_warning():
    finding = found("eval-mode", modes(0.0, 0.0, 1.0, 1.0))
    assert finding.severity == "warning"
    assert finding.message.endswith("compute as in evaluation, not at the start, but since step 2")


def test_training_mode_and_a_few_frozen_modules():
    assert_clean("eval-mode", modes(0.0, 0.0, 0.25))
    assert_not_applicable("eval-mode", modes(None, None), "another thing in evaluation")
