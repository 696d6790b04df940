import pytest

from gradlab.config.files import load_config
from gradlab.measures.settings import (
    configuration,
    differing,
    known_settings,
    label_of,
    matches,
    partner,
    settings_of,
    value_of,
    without,
)

LEAKY = {"name": "leaky_relu", "negative_slope": 0.2}


def settings(**model):
    """Of a config with this model; `seed`, `name`, `data` and `train` are those of the config."""
    outside = {key: model.pop(key) for key in ("seed", "name", "data", "train") if key in model}
    return settings_of(load_config({"name": "x", "model": {"depth": 2, **model}, **outside}))


@pytest.mark.parametrize(
    ("wanted", "yes"),
    [
        ({}, True),
        ({"model.depth": 2}, True),
        ({"model.depth": 3}, False),
        ({"model.depth": [3, 2]}, True),
        ({"model.depth": []}, False),
        ({"model.depth": 2, "seed": 1}, False),
        ({"model.depth": 2.0}, True),
        ({"model.activation": "leaky_relu"}, True),
        ({"model.activation": ["relu", "leaky_relu"]}, True),
        ({"model.activation": LEAKY}, True),
        ({"model.activation": {**LEAKY, "negative_slope": 0.1}}, False),
        ({"model.activation": {"negative_slope": 0.2}}, True),
        ({"model.activation": ["tanh", LEAKY]}, True),
        ({"model.activation.negative_slope": 0.2}, True),
        ({"model.activation.negative_slope": [0.1, 0.3]}, False),
        ({"model.width": [5, 3]}, False),
        ({"model.width": [[5, 3]]}, True),
        ({"model.width": [[3, 5], [5, 3]]}, True),
        ({"model.residual": False}, True),
        ({"model.residual": 0}, False),
        ({"seed": False}, False),
        ({"train.clip_gradient_norm": None}, True),
        ({"data": "wine"}, True),
        ({"data": {"name": "wine", "batch_size": 16}}, True),
    ],
)
def test_which_runs_are_meant(wanted, yes):
    one = settings(activation=LEAKY, width=[5, 3], data={"name": "wine", "batch_size": 16})
    assert matches(one, wanted) is yes


def test_the_value_of_a_choice_is_its_name_and_its_options():
    plain, leaky = settings(activation="relu"), settings(activation=LEAKY)
    assert value_of(plain, "model.activation") == "relu"
    assert value_of(leaky, "model.activation") == ("leaky_relu", ("model.activation.negative_slope", 0.2))
    assert value_of(leaky, "model.activation.negative_slope") == 0.2
    assert value_of(settings(width=[5, 3]), "model.width") == (5, 3)
    assert value_of(plain, "model.activation.negative_slope") is None
    hash(value_of(leaky, "model.activation"))


def test_labels_say_what_tells_values_apart():
    found = [
        value_of(settings(initializer=one), "model.initializer")
        for one in ("he_normal", {"name": "normal", "std": 0.01}, {"name": "normal", "std": 0.1})
    ]
    assert [label_of(one, found) for one in found] == ["he_normal", "normal 0.01", "normal 0.1"]
    assert [label_of(one, found[:2]) for one in found[:2]] == ["he_normal", "normal"]
    assert [label_of(one, ()) for one in (None, True, (5, 3), 0.1, 30)] == ["null", "true", "[5, 3]", "0.1", "30"]


def test_a_configuration_is_all_but_seed_and_name():
    one = settings(activation=LEAKY)
    assert configuration(one) == configuration(settings(activation=LEAKY, seed=3, name="other"))
    assert configuration(one) != configuration(settings(activation={**LEAKY, "negative_slope": 0.1}))
    hash(configuration(settings(width=[5, 3])))
    assert configuration(dict(reversed(list(one.items())))) == configuration(one)


def test_without_leaves_out_options_too():
    left = without(settings(activation=LEAKY), ["model.activation"])
    assert not [key for key in left if key.startswith("model.activation")]
    assert "model.initializer" in left
    assert not {"seed", "name"} & set(left)


def sweep():
    return [
        settings(activation=activation, depth=depth, seed=seed)
        for activation in ("relu", LEAKY, {**LEAKY, "negative_slope": 0.1})
        for depth in (2, 3)
        for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"model.activation": "relu"}, {"model.activation": "relu"}),
        ({"model.activation": LEAKY}, {"model.activation": "leaky_relu", "model.activation.negative_slope": 0.2}),
        ({"model.depth": 2}, {"model.depth": 2}),
        ({"model.depth": 2, "model.activation": "relu"}, {"model.depth": 2, "model.activation": "relu"}),
    ],
)
def test_a_partner_differs_in_what_is_changed_alone(changed, expected):
    runs = sweep()
    for one in runs:
        other = runs[partner(one, runs, changed)]
        assert {key: other[key] for key in expected} == expected
        assert other["seed"] == one["seed"]
        roots = tuple(changed)
        assert without(one, roots) == without(other, roots)


def test_partners_within_a_choice():
    runs = sweep()
    for one in runs:
        index = partner(one, runs, {"model.activation.negative_slope": 0.1})
        if one["model.activation"] == "relu":
            assert index is None
        else:
            assert runs[index]["model.activation.negative_slope"] == 0.1


def test_no_partner_where_there_are_none_or_several():
    runs = sweep()
    assert partner(runs[0], runs, {"model.activation": "tanh"}) is None
    assert partner(runs[0], runs, {"model.activation": "leaky_relu"}) is None, "two slopes"
    assert partner(runs[0], runs, {"model.depth": [2, 3]}) is None
    assert partner(settings(seed=7), runs, {"model.depth": 3}) is None, "no run of that seed"
    assert partner(settings(width=7), runs, {"model.depth": 3}) is None, "another width"


def test_a_run_may_be_its_own_partner():
    runs = sweep()
    assert partner(runs[0], runs, {"model.activation": "relu"}) == 0


def test_differing_tells_true_from_1_and_knows_options():
    assert differing(sweep()) == ["model.depth", "model.activation", "model.activation.negative_slope"]
    assert differing([{"a": 1, "seed": 1}, {"a": True, "seed": 2}]) == ["a"]
    assert differing([{"a": 1}, {"a": 1, "b": None}]) == []
    assert differing([]) == []


def test_an_alias_means_what_it_stands_for():
    logistic = settings(activation="sigmoid")
    assert matches(logistic, {"model.activation": "logistic"})
    assert matches(logistic, {"model.activation": ["relu", "logistic"]})
    assert not matches(logistic, {"model.activation": "swish"})
    assert not matches(settings(name="sigmoid"), {"name": "logistic"})


# ------------------------------------------------------------------------------------------------------------ shorthand


def normalized():
    return [settings(batch_norm=place, seed=seed) for place in ("none", "before", "after") for seed in (0, 1)]


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ({"model.batch_norm": "before"}, {"before"}),
        ({"model.batch_norm": True}, {"before"}),
        ({"model.batch_norm": False}, {"none"}),
        ({"model.batch_norm": ["before", "after"]}, {"before", "after"}),
        ({"model.batch_norm": "under"}, set()),
        ({"model.normalization": "batch_norm"}, {"before", "after"}),
        ({"model.normalization": {"name": "batch_norm", "place": "after"}}, {"after"}),
        ({"model.normalization": "none"}, {"none"}),
        ({"model.normalization.place": "after"}, {"after"}),
    ],
)
def test_batch_norm_may_be_wanted_in_short(wanted, places):
    assert {one["model.batch_norm"] for one in normalized() if matches(one, wanted)} == places


def test_the_shorthand_is_looked_up_and_never_listed():
    one = settings(batch_norm="after")
    assert (one["model.batch_norm"], one.get("model.batch_norm"), "model.batch_norm" in one) == ("after", "after", True)
    assert "model.batch_norm" not in list(one)
    assert "model.batch_norm" in known_settings([one])
    assert "model.batch_norm" not in known_settings([settings_of({"watch": {}})])
    assert value_of(one, "model.batch_norm") == "after"
    assert label_of(value_of(one, "model.batch_norm"), ()) == "after"
    assert differing(normalized()) == ["model.normalization", "model.normalization.place"]


def test_options_at_their_default_are_told_by_the_name_of_the_choice():
    one = settings(batch_norm="before")
    assert differing([settings(batch_norm="none"), one]) == ["model.normalization"]
    scaled = settings(normalization={"name": "batch_norm", "gamma": 0.5})
    assert differing([settings(batch_norm="none"), one, scaled]) == ["model.normalization", "model.normalization.gamma"]
    assert differing([settings(batch_norm="none"), scaled]) == ["model.normalization", "model.normalization.gamma"]


@pytest.mark.parametrize("changed", [{"model.batch_norm": "none"}, {"model.normalization": "none"}])
def test_partners_without_a_normalization(changed):
    runs = normalized()
    for one in runs:
        other = runs[partner(one, runs, changed)]
        assert (other["model.normalization"], other["seed"]) == ("none", one["seed"])


def test_tags_and_notes_make_no_configuration():
    one, other = settings(), settings_of(load_config({"model": {"depth": 2}, "tags": ["a"], "notes": "n"}))
    assert (other["tags"], other["notes"]) == (("a",), "n")
    assert configuration(one) == configuration(other)
    assert differing([one, other]) == []
    assert partner(one, [other], {}) == 0
