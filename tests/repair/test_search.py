"""The search, in a laboratory in which what a config comes to is known."""

import pytest

from gradlab.config import Config
from gradlab.repair import search as searching
from gradlab.repair.search import search
from gradlab.repair.trial import Outcome
from gradlab.tables import Finding
from tests.repair.made_up import SMALL, STALLED, VANISHING, Laboratory, normalized


def test_a_healthy_config_is_left_alone():
    laboratory = Laboratory(lambda config: ([], 0.9))
    repair = search(Config(), 3, laboratory)
    assert repair.healthy_already
    assert not repair.proven
    assert [config.seed for config in laboratory.asked] == [0, 1, 2]


def test_the_remedy_that_gains_most_is_kept():
    def result(config):
        relu = config.model.activation.name == "relu" and config.model.initializer.name == "he_normal"
        better = 0.9 if normalized(config) else 0.5 if relu else None
        return ([], better) if better else ([VANISHING], 0.1)

    repair = search(Config(model={"activation": "sigmoid"}, seed=7), 3, Laboratory(result))
    assert repair.after.remedies == "model.batch_norm=before"
    assert [trial.finished for trial in repair.trials] == [True, True]
    assert [config.seed for config in repair.after.configs] == [7, 8, 9]


def test_a_trial_that_does_not_gain_on_the_first_seed_is_run_on_no_other():
    laboratory = Laboratory(lambda config: ([] if normalized(config) else [VANISHING], 0.1))
    repair = search(Config(), 3, laboratory)
    assert not repair.proven
    assert all(len(trial.outcomes) == 1 for trial in repair.trials)
    assert repair.runs == len(laboratory.asked)


def test_two_remedies_do_what_neither_does():
    def result(config):
        if not normalized(config):
            return [VANISHING], 0.1
        return ([], 0.9) if config.train.learning_rate == 0.5 else ([STALLED], 0.1)

    repair = search(Config(), 3, Laboratory(result))
    assert repair.after.remedies == "model.batch_norm=before train.learning_rate=0.5"
    assert [change.finding.rule for change in repair.after.changes] == ["vanishing-gradient", "stalled-loss"]
    assert repair.compared_with(repair.after) == repair.before


def test_what_remains_is_repaired_on_top_of_what_is_kept_if_that_is_proven_too():
    def result(config):
        if not normalized(config):
            return [VANISHING, SMALL], 0.1
        return ([], 0.9) if config.train.learning_rate == 0.5 else ([SMALL], 0.5)

    repair = search(Config(), 3, Laboratory(result))
    assert [trial.remedies for trial in repair.kept] == [
        "model.batch_norm=before",
        "model.batch_norm=before train.learning_rate=0.5",
    ]
    assert repair.compared_with(repair.kept[1]) == repair.kept[0]


def test_what_is_no_better_than_what_is_kept_is_not_kept():
    def result(config):
        if not normalized(config):
            return [VANISHING], 0.1
        return ([] if config.train.learning_rate == 0.5 else [SMALL], 0.9)

    assert search(Config(), 3, Laboratory(result)).after.remedies == "model.batch_norm=before"


def test_where_only_the_interval_is_in_the_way_both_sides_run_on_as_many_seeds_again():
    def result(config):
        noise = [0.0, 0.3, 0.1, 0.05, 0.15, 0.2][config.seed]
        return ([], 0.9) if normalized(config) else ([VANISHING], 0.75 - noise * 1.5)

    laboratory = Laboratory(result)
    repair = search(Config(), 3, laboratory)
    assert repair.proven
    assert len(repair.before.outcomes) == len(repair.after.outcomes) == 6
    assert len({(config.id, config.seed) for config in laboratory.asked}) == len(laboratory.asked), "nothing runs twice"


def test_a_trial_that_brings_something_as_bad_is_not_kept():
    exploding = Finding("exploding-gradient", "error", "δ grows")
    repair = search(Config(), 3, Laboratory(lambda config: ([exploding if normalized(config) else VANISHING], 0.5)))
    assert not repair.proven
    assert repair.closest is not None


def test_a_config_that_fails_is_not_searched():
    repair = search(Config(), 2, lambda todo: [Outcome("failed", reason="it raised")] * len(todo))
    assert repair.before.failure == "it raised"
    assert not repair.trials
    assert not repair.healthy_already


@pytest.mark.parametrize("most", [1, 3])
def test_the_search_ends(monkeypatch, most):
    """Every config has a finding with a remedy that makes another config: without a limit it would never end."""
    monkeypatch.setattr(searching, "MOST_TRIALS", most)

    def result(config):
        rates = tuple(f"train.learning_rate={config.train.learning_rate * factor:.3g}" for factor in (1.1, 1.2))
        return [Finding("stalled-loss", "error", "nothing was learned", remedies=rates)], 0.1

    assert len(search(Config(), 2, Laboratory(result)).trials) <= most
