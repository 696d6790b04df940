"""What proves a trial, against the definition worked out by hand and by SciPy."""

import math

import numpy as np
import pytest
from scipy import stats

from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.repair.trial import Change, Outcome, Trial, measure_of, next_trials, prove
from gradlab.tables import Finding
from tests.repair.made_up import SMALL, STALLED, VANISHING

BETTER = Change("model.batch_norm=before", VANISHING)


def trial(accuracies, findings=(), changes=(), measure="test_accuracy"):
    configs = tuple(load_config(Config(), {"seed": seed}) for seed in range(len(accuracies)))
    outcomes = [
        Outcome("completed", tuple(findings), {} if accuracy is None else {measure: accuracy})
        for accuracy in accuracies
    ]
    return Trial(tuple(changes), configs, tuple(outcomes))


@pytest.mark.parametrize("seed", range(20))
def test_the_gain_is_the_paired_t_interval_of_scipy(seed):
    generator = np.random.default_rng(seed)
    old, new = generator.random(4), generator.random(4) + generator.choice([0.0, 0.5])
    proof = prove(trial(old, [VANISHING]), trial(new, [], [BETTER]))
    interval = stats.ttest_rel(new, old).confidence_interval(0.95)
    assert proof.gain.value == pytest.approx(float(np.mean(new - old)))
    assert proof.gain.value - proof.gain.half_width == pytest.approx(interval.low)
    assert proof.proven == (interval.low > 0)


def test_a_finding_that_is_still_there_is_no_proof():
    proof = prove(trial([0.1] * 3, [VANISHING]), trial([0.9] * 3, [VANISHING], [BETTER]))
    assert proof.left == ("vanishing-gradient",)
    assert not proof.proven
    assert not proof.undecided


def test_a_finding_on_one_seed_is_still_there():
    before, after = trial([0.1] * 3, [VANISHING]), trial([0.9] * 3, [], [BETTER])
    one = Outcome("completed", (VANISHING,), {"test_accuracy": 0.9})
    assert prove(before, after).proven
    after = Trial(after.changes, after.configs, (*after.outcomes[:2], one))
    assert not prove(before, after).proven


def test_another_finding_as_severe_is_no_proof_and_a_lesser_one_is_no_hindrance():
    before = trial([0.1] * 3, [VANISHING])
    assert prove(before, trial([0.9] * 3, [STALLED], [BETTER])).come == ("stalled-loss",)
    assert prove(before, trial([0.9] * 3, [SMALL], [BETTER])).proven
    lesser = trial([0.1] * 3, [SMALL])
    assert not prove(lesser, trial([0.9] * 3, [STALLED], [Change("train.learning_rate=0.5", SMALL)])).proven


def test_a_finding_that_was_there_before_has_not_come_unless_it_is_worse():
    before = trial([0.1] * 3, [VANISHING, STALLED])
    assert prove(before, trial([0.9] * 3, [STALLED], [BETTER])).proven
    mild = Finding("stalled-loss", "warning", "it learned little")
    before = trial([0.1] * 3, [VANISHING, mild])
    assert prove(before, trial([0.9] * 3, [STALLED], [BETTER])).come == ("stalled-loss",)


def test_a_failed_run_is_no_proof():
    after = trial([0.9] * 3, [], [BETTER])
    after = Trial(after.changes, after.configs, (*after.outcomes[:2], Outcome("failed", reason="out of memory")))
    assert not prove(trial([0.1] * 3, [VANISHING]), after).proven


def test_without_accuracies_a_smaller_loss_is_the_gain():
    before = trial([2.0, 2.1, 2.2], [VANISHING], measure="test_loss")
    after = trial([1.0, 1.0, 1.0], [], [BETTER], measure="test_loss")
    assert prove(before, after).gain.value == pytest.approx(1.1)
    assert measure_of(after.outcomes) == "test_loss"


@pytest.mark.parametrize("lost", [None, math.nan, math.inf])
def test_a_pair_without_its_number_cannot_be_proven(lost):
    assert not prove(trial([0.1, 0.1, lost], [VANISHING]), trial([0.9, 0.9, 0.9], [], [BETTER])).proven


def test_one_seed_proves_nothing():
    assert not prove(trial([0.1], [VANISHING]), trial([0.9], [], [BETTER])).proven


def test_next_trials_are_the_remedies_causes_first_each_once_without_those_that_make_no_config():
    impossible = Finding("dead-units", "warning", "dead", remedies=("model.depth=0", "Use another network."))
    trials = next_trials(trial([0.1] * 3, [VANISHING, STALLED, SMALL, impossible]), seeds=2)
    assert [each.remedies for each in trials] == [
        "model.batch_norm=before",
        "model.activation=relu model.initializer=he_normal",
        "train.learning_rate=0.5",
    ]
    assert trials[2].changes[0].finding.rule == "stalled-loss"
    assert [config.seed for config in trials[0].configs] == [0, 1]
    assert all(config.model.normalization.where == "before" for config in trials[0].configs)


def test_of_two_changes_of_one_setting_the_later_counts():
    both = trial(
        [0.1], changes=[Change("train.learning_rate=0.5 seed=3", VANISHING), Change("train.learning_rate=1", SMALL)]
    )
    assert both.settings == {"train.learning_rate": "1", "seed": "3"}
    assert both.remedies == "train.learning_rate=1 seed=3"
