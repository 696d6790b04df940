import pytest
from torch import nn

from gradlab import choices
from gradlab.networks.activations import activation, module
from gradlab.recording.modules import find_modules
from tests.own import NAMED_ACTIVATIONS


def described(model):
    return [(found.name, found.kind) for found in find_modules(model)]


def test_kinds():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4), nn.GELU(), nn.Linear(4, 2)
    )
    assert described(model) == [
        ("0", "weight"),
        ("1", "norm"),
        ("2", "activation"),
        ("3", "other"),
        ("4", "weight"),
        ("5", "activation"),
        ("6", "weight"),
    ]


def test_a_single_module():
    assert described(nn.Linear(3, 2)) == [("", "weight")]
    assert described(nn.ReLU()) == [("", "activation")]


@pytest.mark.parametrize("name", NAMED_ACTIVATIONS)
def test_every_activation_is_known_with_its_saturation(name):
    choice = choices.ACTIVATIONS[name]()
    (found,) = find_modules(module(choice))
    assert found.kind == "activation"
    assert found.saturation == activation(choice).saturation


def test_parameters_of_activations_are_read_from_the_module():
    (found,) = find_modules(nn.LeakyReLU(0.001))
    assert found.saturation == activation(choices.LeakyReLU(negative_slope=0.001)).saturation != ()


def test_containers_are_left_out():
    assert described(nn.Sequential(nn.Sequential(nn.Flatten()), nn.ModuleList([nn.Dropout()]))) == [
        ("0.0", "other"),
        ("1.0", "other"),
    ]
