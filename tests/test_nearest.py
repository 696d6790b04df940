"""Names that were perhaps meant."""

import pytest

from gradlab import choices
from gradlab.choices import ACTIVATIONS, INITIALIZERS
from gradlab.config import Config
from gradlab.config.keys import CHOICES
from gradlab.nearest import LISTED, did_you_mean, named, nearest
from gradlab.views.listing import REGISTRIES


def test_near_names_are_offered():
    assert did_you_mean("rleu", ["relu", "tanh"]) == "; did you mean 'relu'?"
    assert did_you_mean("RELU", ["relu"]) == "; did you mean 'relu'?"
    assert did_you_mean("xyz", ["relu"]) == ""


def test_few_names_are_all_listed_and_of_many_the_five_nearest():
    assert named("befor", ["none", "before", "after"]) == "; did you mean 'before'?  (choices: none, before, after)"
    assert named("x", []) == "  (choices: none)"
    many = [f"layer{number}" for number in range(LISTED + 1)]
    said = named("layer7", many, "modules", "gradlab list modules")
    assert said.startswith("; did you mean 'layer7'?  (nearest of 11 modules: layer7, ")
    assert said.endswith("; all of them: gradlab list modules)")
    assert said.count("layer") == 1 + 5


def test_the_nearest_come_first_whatever_their_case():
    assert nearest("KAIMING", INITIALIZERS)[:1] != nearest("xavier", INITIALIZERS)[:1]
    assert nearest("Softpluss", ACTIVATIONS, 1) == ["softplus"]


@pytest.mark.parametrize("key", [key for key, one_of in CHOICES.items() if len(one_of.names) > LISTED])
def test_where_the_nearest_names_are_listed_the_command_that_lists_all_is_one(key):
    assert f"{CHOICES[key].noun.split()[-1]}s" in REGISTRIES


@pytest.mark.parametrize("key", CHOICES)
def test_no_two_names_are_the_same_but_for_how_they_are_written(key):
    bare = [name.replace("_", "").lower() for name in CHOICES[key].names]
    assert len(set(bare)) == len(bare)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("ReLU", "relu"), ("LeakyReLU", "leaky_relu"), ("SiLU", "silu"), ("Hardtanh", "hard_tanh"), ("Swish", "silu")],
)
def test_an_activation_may_be_named_as_pytorch_writes_it_and_makes_no_other_run(written, meant):
    config = Config.model_validate({"model": {"activation": written}})
    assert config.model.hidden_activation.name == meant
    assert config.id == Config.model_validate({"model": {"activation": meant}}).id


def test_optimizers_and_initializers_too():
    config = Config.model_validate({"model": {"initializer": "HeNormal"}, "train": {"optimizer": "AdamW"}})
    assert isinstance(config.train.optimizer, choices.AdamW)
    assert config.model.initializer == choices.HeNormal()
