"""Short keys, and what is said of keys and values that one types by mistake."""

import pytest

from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.config.keys import in_full, setting_keys, short_keys
from gradlab.errors import ConfigError
from gradlab.measures.settings import settings_of


def said(*overrides, source=None):
    with pytest.raises(ConfigError) as caught:
        load_config(source or {}, list(overrides))
    return [str(problem) for problem in caught.value.problems]


def test_every_setting_of_a_config_is_a_key():
    assert set(settings_of(Config())) <= {*setting_keys()}


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("depth", "model.depth"),
        ("activation", "model.activation"),
        ("activation.negative_slope", "model.activation.negative_slope"),
        ("optimizer.momentum", "train.optimizer.momentum"),
        ("every", "record.every"),
        ("seed", "seed"),
        ("model.depth", "model.depth"),
        ("momentum", "momentum"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_key_may_leave_out_the_part_that_it_stands_in_where_no_other_part_has_it(short, full):
    assert in_full(short) == full


def test_short_keys_are_overrides_as_full_ones_are():
    full = load_config({}, ["model.depth=3", "model.activation=tanh", "train.epochs=2"])
    assert load_config({"train": {"steps": 9}}, ["depth=3", "activation=tanh", "epochs=2"]) == full
    assert load_config({}, {"depth": 3, "activation": "tanh", "epochs": 2}) == full


def test_what_short_keys_were_taken_for_is_said_once_each():
    assert (
        short_keys(["depth=3", "model.width=4", "depth=5", "steps=7"]) == "depth is model.depth, steps is train.steps"
    )
    assert short_keys(["model.depth=3", "seed=1"]) == ""


def test_a_key_that_several_parts_have_is_told_with_all_of_them():
    assert said("momentum=0.9") == [
        "momentum=0.9: momentum: unknown key; a config has model.normalization.momentum and train.optimizer.momentum"
    ]


def test_a_key_in_the_wrong_part_or_misspelt_is_told_where_it_belongs():
    assert said("model.learning_rate=1", "optimiser=adam") == [
        "model.learning_rate=1: model.learning_rate: unknown key; a config has train.learning_rate",
        "optimiser=adam: optimiser: unknown key; a config has train.optimizer",
    ]


@pytest.mark.parametrize("typed", ["model.depth=5,10", "depth=5,10", "seed=range(0,3)", "model.activation=relu,tanh"])
def test_several_values_are_told_to_be_for_a_sweep(typed):
    (problem,) = said(typed)
    assert "; gradlab sweep tries each of several values" in problem


def test_nothing_is_said_of_sweeps_where_one_value_is_wrong_or_a_comma_is_right():
    assert "sweep" not in said("model.depth=ten")[0]
    assert "sweep" not in said("model.width=[1, x]")[0]
    assert load_config({}, ["notes=first, second"]).notes == "first, second"


def test_a_sweep_file_is_told_from_a_config():
    assert said(source={"base": {}, "grid": {}}) == [
        f"{key}: unknown key; sweep files have it, and gradlab sweep runs them" for key in ("base", "grid")
    ]


def test_of_a_dataset_that_is_not_there_it_is_said_where_it_can_be_had():
    (problem,) = said("data=mnist")
    assert "'mnist' is not a dataset; openml has MNIST" in problem
    assert "{name: openml, dataset: mnist_784}" in problem
    assert "file reads your own" in problem
