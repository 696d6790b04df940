"""A made-up activation is recognized by its traits, in modules and in calls of functions."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab import choices
from gradlab.networks.activations import activation

ADDED = '''
from typing import Literal
from types import MappingProxyType
from gradlab.choices import activations as named
from gradlab.networks import activations as computed

class HardSwish(named.Activation):
    """x · clip(x/6 + 1/2, 0, 1)."""

    name: Literal["hard_swish"] = "hard_swish"
    traits = named.Traits(torch_module="Hardswish", torch_functions=("hardswish",))

class Shrink(named.Activation):
    """x where |x| > λ, else 0."""

    name: Literal["shrink"] = "shrink"
    traits = named.Traits(torch_module="Hardshrink", torch_functions=("hardshrink",))
    lambd: float = 0.5

# What an edit of the two files would do.
named.ACTIVATIONS = MappingProxyType({**named.ACTIVATIONS, "hard_swish": HardSwish, "shrink": Shrink})
computed._FUNCTIONS = {
    **computed._FUNCTIONS,
    "hard_swish": lambda _: computed.ActivationFunction(abs, abs, ((float("-inf"), -3.0),)),
    "shrink": lambda choice: computed.ActivationFunction(abs, abs, ((-choice.lambd, choice.lambd),)),
}

import torch
from torch import nn
from torch.nn import functional
import gradlab

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(1, 4), nn.Linear(4, 1)
        self.act, self.shrink = nn.Hardswish(), nn.Hardshrink(2.0)
        with torch.no_grad():
            self.first.weight.zero_()
            self.first.bias.copy_(torch.tensor([-4.0, -1.0, 1.0, 4.0]))

    def forward(self, x):
        h = self.first(x)
        return self.last(self.act(h) + self.shrink(h) + functional.hardswish(h) + functional.hardshrink(h, 0.1))

model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with gradlab.watch(model, optimizer) as recorder:
    model(torch.ones(3, 1)).sum().backward()
    optimizer.step()
rows = recorder.rows()
found = {row["module"]: (row["kind"], row["saturated_fraction"]) for row in rows.iter_rows(named=True)}
assert found["act"] == ("activation", 0.25), found
assert found["shrink"] == ("activation", 0.5), found
assert found[":hardswish"] == ("activation", 0.25), found
assert found[":hardshrink"] == ("activation", 0.0), found
'''


def test_a_made_up_activation():
    subprocess.run([sys.executable, "-c", ADDED], check=True)


def saturated(function, h):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1, bias=False)

        def forward(self, x):
            return function(self.layer(x))

    model = Net()
    nn.init.ones_(model.layer.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer) as recorder:
        model(torch.tensor(h)[:, None]).sum().backward()
        optimizer.step()
    (row,) = recorder.rows().filter(kind="activation").iter_rows(named=True)
    return row["saturated_fraction"]


@pytest.mark.parametrize(
    ("function", "choice"),
    [
        (lambda h: functional.leaky_relu(h, 0.001), choices.LeakyReLU(negative_slope=0.001)),
        (lambda h: functional.leaky_relu(h, negative_slope=0.3), choices.LeakyReLU(negative_slope=0.3)),
        (lambda h: functional.elu(h, 2), choices.ELU(alpha=2.0)),
        (lambda h: functional.celu(input=h, alpha=0.5), choices.CELU(alpha=0.5)),
        (lambda h: functional.softplus(h, 3), choices.Softplus(beta=3.0)),
        (lambda h: functional.gelu(h, approximate="tanh"), choices.GELU(approximate="tanh")),
        (lambda h: functional.relu(h, True), choices.ReLU()),
        (torch.selu, choices.SELU()),
        (lambda h: h.sigmoid_(), choices.Sigmoid()),
    ],
)
def test_options_of_functions(function, choice):
    h = [k / 4 for k in range(-40, 41)]
    inside = sum(low < x < high for low, high in activation(choice).saturation for x in h)
    assert saturated(function, h) == pytest.approx(inside / len(h))


@pytest.mark.parametrize(
    "function",
    [
        lambda h: functional.hardtanh(h, -2.0, 2.0),
        lambda h: functional.elu(h, -1.0),
        lambda h: functional.softplus(h, math.inf),
        functional.hardtanh,  # its limits are always given: PyTorch itself hands on the defaults
        functional.hardswish,
        functional.logsigmoid,
        lambda h: functional.threshold(h, 0.1, 0.0),
    ],
)
def test_saturation_that_is_not_known_is_null(function):
    assert saturated(function, [-1.0, 0.5, 2.0]) is None
