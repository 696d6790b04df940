"""The walk of autograd's graph, against what `torch.autograd.grad` says of each parameter."""

import pytest
import torch
from torch import nn

import gradlab
from gradlab.recording.step_graph import LOOKS, StepGraph, hidden_layers
from tests.recording.fuzz.loops import Loop
from tests.recording.fuzz.pieces import PIECES, WRAPPERS
from tests.recording.fuzz.spy import is_lazy


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.filterwarnings("ignore:Initializing zero-element", "ignore:Lazy modules", "ignore:Using padding")
def test_what_a_loss_reaches_is_what_has_a_gradient(seed):
    loop = Loop(seed, pieces=[*(piece for piece in PIECES if piece != "sparse"), *WRAPPERS[:1]], actions=[])
    loss = loop.loss(*loop.batch())
    graph = StepGraph(loop.model, loop.optimizers)
    graph.walk(0, [loss])
    named = {name: p for name, p in loop.model.named_parameters() if p.requires_grad and not is_lazy(p)}
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    without = {name for name, gradient in zip(named, gradients, strict=True) if gradient is None}
    assert set(graph.found()["unreached"]) == without


def test_a_loss_that_is_a_sum_has_a_chain_for_each_part():
    model = nn.Linear(4, 3)
    y = model(torch.randn(5, 4))
    graph = StepGraph(model, [torch.optim.SGD(model.parameters())])
    graph.walk(0, [nn.functional.cross_entropy(y, torch.zeros(5, dtype=torch.long)) + y.square().mean()])
    chains = [[name for name, _ in chain] for chain in graph.found()["chains"]]
    assert chains == [["Add", "NllLoss", "LogSoftmax", "Addmm"], ["Add", "Mean", "Pow", "Addmm"]]
    assert graph.found()["chains"][1][2] == ("Pow", [5, 3])


def test_a_graph_of_many_branches_is_walked_once():
    x = torch.ones(1, requires_grad=True)
    total = x
    for _ in range(200):  # 2^200 ways, 400 nodes
        total = total + total * 0.1
    graph = StepGraph(nn.Linear(1, 1), [])
    graph.walk(0, [total])
    assert len(graph.found()["chains"]) <= 32


def test_the_graph_is_walked_in_few_steps_and_nothing_is_kept_of_it():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    walked = []
    with pytest.MonkeyPatch.context() as patch:
        original = StepGraph.walk
        patch.setattr(StepGraph, "walk", lambda self, step, roots: (walked.append(step), original(self, step, roots)))
        with gradlab.watch(model, optimizer, every=2):
            for _ in range(60):
                optimizer.zero_grad()
                model(torch.randn(3, 4)).square().mean().backward()
                optimizer.step()
    assert walked == [2 * record for record in range(30) if record in LOOKS]


def test_hidden_layers_are_found_and_registered_ones_are_not():
    model = nn.Sequential(nn.Linear(2, 2))
    model.known, model.cache = [model[0]], {"mean": torch.zeros(3)}
    assert hidden_layers(model) == []
    model._private = [nn.Linear(2, 3, bias=False)]
    assert [path for path, _ in hidden_layers(model)] == ["_private"]
    del model._private
    model[0].extra = [{"deep": (nn.Linear(2, 1),)}]
    ((path, parameters),) = hidden_layers(model)
    assert (path, [list(each.shape) for each in parameters]) == ("0.extra", [[1, 2], [1]])
    model[0].extra.append(model[0].extra)  # contains itself
    assert len(hidden_layers(model)) == 1
