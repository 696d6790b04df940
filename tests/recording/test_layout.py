import pytest
from torch import nn

from gradlab import choices
from gradlab.networks.activations import activation, module
from gradlab.recording.layout import layout


def described(model):
    return [(place.layer, place.name, place.kind) for place in layout(model)]


def test_norms_and_activations_carry_the_number_of_the_weight_layer_before_them():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4), nn.GELU(), nn.Linear(4, 2)
    )
    assert described(model) == [
        (0, "0", "weight"),
        (0, "1", "norm"),
        (0, "2", "activation"),
        (1, "4", "weight"),
        (1, "5", "activation"),
        (2, "6", "output"),
    ]


def test_a_single_weight_layer_is_no_output():
    assert described(nn.Linear(3, 2)) == [(0, "", "weight")]
    assert described(nn.ReLU()) == [(0, "", "activation")]


@pytest.mark.parametrize("name", choices.ACTIVATIONS)
def test_every_activation_is_known_with_its_saturation(name):
    choice = choices.ACTIVATIONS[name]()
    (place,) = layout(module(choice))
    assert place.kind == "activation"
    assert place.saturation == activation(choice).saturation


def test_parameters_of_activations_are_read_from_the_module():
    (place,) = layout(nn.LeakyReLU(0.001))
    assert place.saturation == activation(choices.LeakyReLU(negative_slope=0.001)).saturation != ()


def test_modules_that_compute_nothing_of_their_own_are_left_out():
    assert described(nn.Sequential(nn.Dropout(), nn.Sequential(nn.Flatten()))) == []
