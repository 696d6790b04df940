import numpy as np
import pytest

from tests.diagnosis.tables import assert_clean, assert_not_applicable, config, found, tables

SMALL, LARGE = "updates-too-small", "updates-too-large"
STUCK = [2.3] * 20


def test_too_small():
    finding = found(SMALL, tables(update_ratio=1e-6, losses=STUCK))
    assert finding.measured["update_ratio"] == pytest.approx(1e-6)
    assert finding.remedies == ("train.learning_rate=50",)  # from 0.05, toward the usual 1e-3
    assert finding.layers == tuple(range(11))


def test_no_learning_rate_cures_layers_that_differ():
    ratios = np.logspace(-10, -3, 10)
    assert found(SMALL, tables(update_ratio=ratios, losses=STUCK)).remedies == ("model.batch_norm=before",)


def test_small_updates_of_a_small_loss_are_convergence():
    assert_clean(SMALL, tables(update_ratio=1e-6))


def test_too_large():
    finding = found(
        LARGE, tables(update_ratio=[0.3] + [1e-3] * 9, model=config(depth=10, train={"learning_rate": 1.0}))
    )
    assert finding.layers == (0,)
    assert finding.remedies == ("train.learning_rate=0.01", "train.clip_gradient_norm=1.0")


def test_the_first_step_alone_is_no_evidence():
    ratios = np.full((20, 10), 1e-3)
    ratios[0] = 10
    assert_clean(LARGE, tables(update_ratio=ratios))
    assert found(LARGE, tables(update_ratio=10.0, steps=[0]))


def test_usual_updates():
    run = tables(losses=STUCK)
    assert_clean(SMALL, run)
    assert_clean(LARGE, run)


def test_updates_must_have_been_recorded():
    for rule in (SMALL, LARGE):
        assert_not_applicable(rule, tables(steps=[]), "no update")


def test_layers_that_never_move_while_others_do():
    ratios = np.full(10, 1e-3)
    ratios[3] = 0.0
    finding = found(SMALL, tables(update_ratio=ratios))
    assert finding.modules == ("weight.3",)
    assert "get a gradient and never move" in finding.message


def test_layers_without_a_gradient_need_not_move():
    ratios, norms = np.full(10, 1e-3), np.full(10, 0.1)
    ratios[3] = norms[3] = 0.0
    assert_clean(SMALL, tables(update_ratio=ratios, weight_gradient_norm=norms))


def test_layers_that_move_in_some_steps_are_warming_up_or_take_turns():
    ratios = np.full((20, 10), 1e-3)
    ratios[:10, 3] = 0.0
    assert_clean(SMALL, tables(update_ratio=ratios))
