"""Rules that read the graph of the step, on short trainings that are broken in one place, and on the repaired ones."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab.diagnosis import diagnose
from gradlab.tables import Tables
from tests.diagnosis.short_trainings import CLASSES, RULES, X, findings, net
from tests.diagnosis.tables import assert_not_applicable, tables, watched


class Branches(nn.Module):
    """Two branches whose sum goes to a head; one of them can be cut off in several ways."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(2)
        self.one, self.two, self.head, self.how = nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(6, 3), how
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        one = self.one(x)
        if self.how == "no_grad":
            with torch.no_grad():
                two = self.two(x)
        else:
            two = self.two(x)
        two = {
            "detached": two.detach,
            "times zero": lambda: two * 0,
            "replaced": lambda: torch.zeros_like(two),
            "rounded": two.round,
            "unused": lambda: one,
            "gate": lambda: two * self.gate,
        }.get(self.how, lambda: two)()
        return self.head(torch.tanh(one + two))


def cross_entropy(model):
    return lambda: functional.cross_entropy(model(X), CLASSES)


@pytest.mark.parametrize("how", ["detached", "no_grad", "times zero", "replaced", "rounded", "unused"])
def test_a_branch_without_a_gradient_is_named(how):
    model = Branches(how)
    model.gate.requires_grad_(False)
    finding = findings(model, cross_entropy(model))["no-gradient"]
    assert finding.modules == ("two",)
    assert finding.severity == "warning"


@pytest.mark.parametrize("how", ["whole", "gate"])
def test_a_branch_with_a_gradient_is_not(how):
    model = Branches(how)
    if how == "whole":
        model.gate.requires_grad_(False)
    assert findings(model, cross_entropy(model)) == {}


def test_frozen_parameters_need_no_gradient():
    model = Branches("detached")
    model.two.requires_grad_(False)
    model.gate.requires_grad_(False)
    assert findings(model, cross_entropy(model)) == {}


def test_a_loss_without_a_derivative():
    model = net()
    finding = findings(model, lambda: torch.round(model(X)).square().mean())["no-gradient"]
    assert finding.severity == "error"
    assert "no parameter gets a gradient other than 0; the loss is made by Mean of Pow of Round of" in finding.message


def test_the_scale_of_the_loss_does_not_matter():
    for scale in (1e-12, 1e6):
        model = Branches("detached")
        model.gate.requires_grad_(False)
        found = findings(model, lambda m=model, s=scale: s * functional.cross_entropy(m(X), CLASSES))
        assert set(found) == {"no-gradient"}


def test_parts_that_take_turns_get_their_gradients_in_some_steps():
    model = nn.ModuleDict({"a": net(), "b": net()})
    count = iter(range(100))

    def loss_of():
        part = model["ab"[next(count) % 2]]
        return functional.cross_entropy(part(X), CLASSES)

    assert findings(model, loss_of) == {}


# ------------------------------------------------------------------------------------------------------ not-optimized


def test_parameters_that_no_optimizer_holds_are_named():
    model = net()
    finding = findings(model, cross_entropy(model), parameters=model[0].parameters())["not-optimized"]
    assert finding.modules == ("2",)
    assert finding.severity == "warning"
    model[2].requires_grad_(False)
    assert findings(model, cross_entropy(model), parameters=model[0].parameters()) == {}


def test_an_optimizer_of_another_model():
    model, other = net(), net()
    both = [model, other]
    finding = findings(model, lambda: sum(cross_entropy(each)() for each in both), parameters=other.parameters())
    assert finding["not-optimized"].severity == "error"


# -------------------------------------------------------------------------------------------- unregistered-parameters


class Hidden(nn.Module):
    """Layers in a container of some kind."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(3)
        self.head = nn.Linear(8, 3)
        layers = [nn.Linear(8, 8), nn.Linear(8, 8)]
        self.layers = {
            "list": lambda: layers,
            "tuple": lambda: tuple(layers),
            "dict": lambda: dict(enumerate(layers)),
            "list in a dict": lambda: {"all": layers},
            "parameters": lambda: [layer.weight for layer in layers],
            "module list": lambda: nn.ModuleList(layers),
        }[kind]()

    def forward(self, x):
        layers = self.layers
        if isinstance(layers, dict):
            layers = layers["all"] if "all" in layers else list(layers.values())
        for layer in layers:
            x = torch.tanh(layer(x) if isinstance(layer, nn.Module) else functional.linear(x, layer))
        return self.head(x)


@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "list in a dict", "parameters"])
def test_layers_in_plain_containers_are_named(kind):
    model = Hidden(kind)
    finding = findings(model, cross_entropy(model))["unregistered-parameters"]
    assert finding.modules == ("layers",)
    assert finding.severity == "error"


def test_layers_in_modules_or_in_an_optimizer_are_not():
    model = Hidden("module list")
    assert findings(model, cross_entropy(model)) == {}
    model = Hidden("list")
    parameters = [*model.parameters(), *(p for layer in model.layers for p in layer.parameters())]
    assert findings(model, cross_entropy(model), parameters=parameters) == {}


def test_layers_that_are_made_anew_in_each_step():
    class Fresh(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, x):
            return self.head(torch.tanh(nn.Linear(8, 6)(x)))

    model = Fresh()
    finding = findings(model, cross_entropy(model))["unregistered-parameters"]
    assert "2 parameters that are made anew in each step" in finding.message
    assert any(f"(shapes: {shapes})" in finding.message for shapes in ("6 × 8, 6", "6, 6 × 8"))


def test_parameters_of_a_loss_or_of_another_model_are_nobodys_fault():
    model, weight = net(), nn.Parameter(torch.zeros(1))
    other = net()
    assert findings(model, lambda: weight.exp() * cross_entropy(model)() + cross_entropy(other)()) == {}
    x = X.clone().requires_grad_()
    assert findings(model, lambda: functional.cross_entropy(model(x), CLASSES)) == {}


@pytest.mark.parametrize("rule", RULES)
def test_configured_runs_and_runs_without_a_graph_are_not_judged(rule):
    reason = "configured" if rule == "no-gradient" else "nobody has looked"
    assert_not_applicable(rule, tables(), reason)
    if rule != "no-gradient":
        assert_not_applicable(rule, watched(tables().layers), reason)


GRAPH = {
    "trained": 10, "unreached": {"a.weight": 4}, "not_optimized": {"b.weight": 4}, "strangers": [False],
    "outside": {"cells": 3}, "fresh": [[2, 3]], "chains": [[["NllLoss", []], ["Addmm", [4, 3]]]],
}  # fmt: skip


def of_graph(graph):
    return Tables(layers=watched(tables().layers).layers, steps=tables().steps, summary={"graph": graph})


def test_a_summary_from_elsewhere_is_read_and_a_wrong_one_is_none():
    assert {finding.rule for finding in diagnose(of_graph(GRAPH))} >= set(RULES)
    for name in GRAPH:
        for wrong in (
            None,
            3.5,
            "text",
            [None],
            [[["NllLoss"]]],
            [[[1, [2]]]],
            {"a": "b"},
            [{"a": 1}],
            [[["A", ["b"]]]],
        ):
            if isinstance(wrong, list) and name == "strangers":
                continue  # any list of flags is one
            for graph in ({**GRAPH, name: wrong}, {key: value for key, value in GRAPH.items() if key != name}, wrong):
                assert not {finding.rule for finding in diagnose(of_graph(graph))} & set(RULES), (name, wrong)


def without_gradients(backward_and_step):
    """What is said of a training whose loss is handed to a function that goes backward and steps."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(6):
            backward_and_step(functional.cross_entropy(model(X), CLASSES), optimizer)
    return {finding.rule: finding for finding in recorder.diagnose()}


def test_a_loss_that_was_made_anew_has_lost_its_graph():
    def backward_and_step(loss, optimizer):
        torch.tensor(loss.item(), requires_grad=True).backward()
        optimizer.step()

    finding = without_gradients(backward_and_step)["no-gradient"]
    assert finding.severity == "error"
    assert finding.message == "no backward pass reaches the model: the loss does not depend on its parameters"


def test_gradients_that_are_cleared_before_the_step():
    def backward_and_step(loss, optimizer):
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()

    finding = without_gradients(backward_and_step)["no-gradient"]
    assert "no parameter has a gradient when the optimizer steps" in finding.message
    assert "Clear the gradients before the backward pass" in finding.remedies[0]


def test_gradients_in_time_are_there():
    def backward_and_step(loss, optimizer):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert "no-gradient" not in without_gradients(backward_and_step)


def test_an_optimizer_of_copies_needs_no_gradients_of_the_model():
    model = net()
    copies = [each.detach().clone().requires_grad_() for each in model.parameters()]
    optimizer = torch.optim.SGD(copies, lr=0.1)
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(6):
            functional.cross_entropy(model(X), CLASSES).backward()
            for copy, own in zip(copies, model.parameters(), strict=True):
                copy.grad, own.grad = own.grad, None
            optimizer.step()
    assert "no-gradient" not in {finding.rule for finding in recorder.diagnose()}
