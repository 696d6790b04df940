import inspect

import pytest
from pydantic import ValidationError

from gradlab import choices
from gradlab.choices import (
    ACTIVATIONS,
    ALIASES,
    DATASETS,
    INITIALIZERS,
    MODELS,
    NORMALIZATIONS,
    OPTIMIZERS,
    SCHEDULES,
    Choice,
)

REGISTRIES = {
    "activations": ACTIVATIONS,
    "initializers": INITIALIZERS,
    "normalizations": NORMALIZATIONS,
    "datasets": DATASETS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
}
EVERY = [choice for registry in REGISTRIES.values() for choice in registry.values()]
REQUIRED = {"file": {"path": "x.csv"}, "openml": {"dataset": "mnist_784"}}


def build(choice, **options):
    code = {choice.code: "a.py:f"} if choice.code else {}
    return choice(**REQUIRED.get(choice.model_fields["name"].default, {}), **code, **options)


def test_the_names_are_those_that_are_promised():
    assert set(ACTIVATIONS) == {
        "identity", "sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softsign", "softplus", "relu", "relu6",
        "leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish", "python",
    }  # fmt: skip
    assert set(INITIALIZERS) == {
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "orthogonal",
        "truncated_normal", "normal", "uniform", "zeros", "constant", "variance_scaling", "xavier_uniform",
        "xavier_normal", "kaiming_uniform", "kaiming_normal", "pytorch_default", "lsuv", "python",
    }  # fmt: skip
    assert (set(NORMALIZATIONS), set(MODELS)) == (
        {"none", "batch_norm", "layer_norm", "rms_norm"},
        {"mlp", "cnn", "python"},
    )
    assert set(DATASETS) == {
        "digits", "breast_cancer", "wine", "gaussian", "spirals", "shapeset", "teacher", "function", "file", "openml",
        "python",
    }  # fmt: skip


def test_every_choice_is_in_one_registry():
    concrete = {
        member
        for _, member in inspect.getmembers(choices, inspect.isclass)
        if issubclass(member, Choice) and not member.model_fields["name"].is_required()
    }
    assert concrete == set(EVERY)
    schedules = set(SCHEDULES.values())  # as torch, they have a constant and a linear one
    names = [choice.model_fields["name"].default for choice in EVERY if not choice.code and choice not in schedules]
    assert len(names) == len(set(names)), "a name is in two registries"


def test_aliases_stand_for_activations_and_hide_none():
    assert set(ALIASES.values()) <= set(ACTIVATIONS)
    assert not set(ALIASES) & {name for key, registry in REGISTRIES.items() if key != "schedules" for name in registry}


@pytest.mark.parametrize("choice", EVERY, ids=lambda choice: choice.__name__)
def test_a_choice_says_what_it_is_and_what_its_options_are(choice):
    line = choice.__doc__.splitlines()[0]
    assert line.endswith((".", '"')) and len(line) <= 120  # noqa: PT018
    for option, field in choice.model_fields.items():
        assert option == "name" or field.description, f"{option} has no docstring"


@pytest.mark.parametrize("choice", EVERY, ids=lambda choice: choice.__name__)
def test_a_choice_survives_json_and_takes_no_other_option(choice):
    whole = build(choice)
    written = whole.model_dump(mode="json")
    assert choice.model_validate({"name": written} if isinstance(written, str) else written) == whole
    assert isinstance(written, str) == (set(choice.model_fields) == {"name"}), "the bare name where there is no option"
    with pytest.raises(ValidationError, match="extra_forbidden"):
        build(choice, nonsense=1)
    with pytest.raises(ValidationError, match="frozen"):
        whole.name = "other"


@pytest.mark.parametrize(
    ("choice", "options"),
    [
        (choices.Normal, {"std": 0}),
        (choices.Normal, {"std": "0.1"}),
        (choices.Normal, {"std": float("inf")}),
        (choices.VarianceScaling, {"mode": "fan"}),
        (choices.LSUV, {"max_iterations": 1.0}),
        (choices.Digits, {"batch_size": 0}),
        (choices.Digits, {"test_fraction": 1.0}),
        (choices.Digits, {"standardize": 1}),
        (choices.Gaussian, {"classes": 1}),
        (choices.Adam, {"betas": [0.9, 1.0]}),
        (choices.SGD, {"momentum": -0.1}),
        (choices.SGD, {"nesterov": True}),
    ],
)
def test_impossible_values_are_refused(choice, options):
    with pytest.raises(ValidationError):
        choice(**options)
