"""Whether a model has changed, against a full comparison of what its modules hold."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from gradlab.recording import python_hooks
from gradlab.recording.native import LIBRARY
from gradlab.recording.structure import Structure
from gradlab.recording.torch_private import parts


def model() -> nn.Sequential:
    """Modules with parameters and without, with children and without; what comes first and last is among both."""
    inner = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    return nn.Sequential(nn.Identity(), inner, nn.BatchNorm1d(2), nn.Sequential(), nn.Linear(2, 1))


def homes(network: nn.Module) -> list[dict[str, object]]:
    """The dicts in which modules keep their parameters and children."""
    return [home for module in network.modules() for home in parts(module)]


@pytest.fixture(params=["python", "native"])
def hooks(request):
    """The functions that compare, of either kind."""
    if request.param == "python":
        return python_hooks
    if LIBRARY is None:
        pytest.skip("there is no native library")
    return LIBRARY.hooks


COUNT = len(homes(model()))
MOVES = [(a, b) for a, b in itertools.permutations(range(COUNT), 2) if homes(model())[a]]


def test_a_model_that_nobody_touches_has_not_changed(hooks):
    network = model()
    structure = Structure(network, hooks)
    network(next(network.parameters()).new_ones(4, 2)).sum().backward()
    assert not structure.has_changed()


@pytest.mark.parametrize(("source", "target"), MOVES)
def test_an_object_that_moves_is_a_change_though_the_number_of_objects_is_the_same(hooks, source, target):
    network = model()
    structure = Structure(network, hooks)
    places = homes(network)
    _, moved = places[source].popitem()
    places[target]["moved"] = moved
    assert structure.has_changed()


@pytest.mark.parametrize("place", range(COUNT))
def test_whatever_is_added_removed_or_replaced_is_a_change(hooks, place):
    network = model()
    structure = Structure(network, hooks)
    home = homes(network)[place]
    home["new"] = new = nn.Identity()
    assert structure.has_changed()
    del home["new"]
    assert not structure.has_changed()
    if home:
        name, old = home.popitem()
        assert structure.has_changed()
        home[name] = new
        assert structure.has_changed()
        home[name] = old
        assert not structure.has_changed()


def test_freezing_and_unfreezing_are_changes(hooks):
    network = model()
    structure = Structure(network, hooks)
    network[4].weight.requires_grad_(False)
    assert structure.has_changed()
    assert not Structure(network, hooks).has_changed()


def test_a_new_name_in_the_same_place_is_a_change(hooks):
    network = nn.ModuleDict({"first": nn.Linear(2, 2)})
    structure = Structure(network, hooks)
    places = parts(network)[1]
    places["second"] = places.pop("first")
    assert structure.has_changed()


def test_identities_tell_which_object_an_attribute_is(hooks):
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    parameters[1].grad = torch.ones(2)
    before = hooks.identities(parameters, "grad")
    assert np.frombuffer(before, dtype=np.uintp).tolist() == [id(each.grad) for each in parameters]
    assert hooks.identities(parameters, "grad") == before
    parameters[2].grad = parameters[1].grad
    assert hooks.identities(parameters, "grad") != before
    assert hooks.identities([], "grad") == b""
    with pytest.raises(AttributeError):
        hooks.identities(parameters, "no_such_attribute")
