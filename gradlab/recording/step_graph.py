"""The graph of a step: the parameters that a loss reaches, layers that the model does not know, what makes the loss.

Autograd's graph is walked from the loss to the leaves, in a few steps only: what it says changes seldom.
"""

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gradlab.operations import WEIGHT_LAYERS
from gradlab.recording.module_graph import ModuleGraph
from gradlab.recording.numbering import Numbering
from gradlab.recording.shards import Shards
from gradlab.recording.structure import is_lazy
from gradlab.recording.torch_private import bare_name, is_compiled_operation, operation, output_shape

LOOKS = frozenset((0, 1, 2, *(10**power for power in range(1, 10))))
"""Records, by number, in which the graph is walked."""
LONGEST = 16
"""Operations before a loss that are told at most; a weight layer ends them earlier."""
MOST_CHAINS = 16
"""Chains of them; a loss that is a sum has several."""
DEEPEST = 3
"""How many lists and dicts within one another are searched for layers that a model does not know."""
OF_PYTORCH = frozenset(vars(nn.Module()))
"""Attributes in which PyTorch itself keeps what belongs to a module."""
ENDS = WEIGHT_LAYERS | {"Embedding"}
"""Operations before which nothing is told any more."""

Chain = list[tuple[str, list[int]]]
"""Operations from a loss toward a weight layer, with the shape of what each of them has computed."""


class StepGraph:
    """What the graphs of the steps that were walked say.

    Args:
        model: the watched model.
        optimizers: what updates it.
        numbering: its recorded modules; without them, nothing is said of modules.

    Attributes:
        walks: steps whose graph was walked.
        modules: what the graphs say of the modules.
        has_compiled: whether compiled code has computed a part of what was walked.
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer], numbering: Numbering | None = None) -> None:
        self._model = model
        self.modules = ModuleGraph(numbering or Numbering(model, (), lambda module: None))
        self._optimizers = optimizers
        self.walks = 0
        self.has_compiled = False
        self._reached: set[str] = set()
        self._outside_reached: set[int] = set()
        self._chains: list[Chain] = []
        self._others: dict[int, weakref.ref[Tensor]] = {}
        self._fresh: list[list[int]] = []
        self._last = -1

    def walk(self, step: int, roots: Iterable[Any]) -> None:
        """Walk the graph of a backward pass.

        Args:
            step: the number of the step.
            roots: what the pass was called on.
        """
        shards = Shards(self._model)
        if shards.old:
            return  # other parameters are in the place of those that the model names
        nodes = [root.grad_fn for root in roots if isinstance(root, Tensor) and root.grad_fn is not None]
        if self._last != step:
            self.walks += 1
            self._chains = []
        self._last = step
        names = {id(parameter): name for name, parameter in shards.named_parameters().items()}
        names |= {id(whole): names[id(shard)] for whole, shard in shards.stand_ins().items()}
        others = []
        inputs, users_first = _order(nodes)
        self.has_compiled = any(map(is_compiled_operation, users_first))
        for leaf in _leaves(users_first):
            if id(leaf) in names:
                self._reached.add(names[id(leaf)])
            elif isinstance(leaf, nn.Parameter):
                others.append(leaf)
        self._note_others(others)
        for node in nodes:
            self._chains += _chains(node)[: MOST_CHAINS - len(self._chains)]
        self.modules.walk(inputs, users_first, nodes)

    def _note_others(self, others: Sequence[nn.Parameter]) -> None:
        """Parameters that the model does not have. Those that are made anew in each step cannot learn."""
        optimized = self._optimized()
        self._outside_reached |= {id(each) for each in others}
        unknown = [each for each in others if id(each) not in optimized]
        if self.walks > 1 and unknown and not any(self._was_there(each) for each in unknown):
            self._fresh = [list(each.shape) for each in unknown]
        elif self.walks > 1:
            self._fresh = []
        self._others |= {id(each): weakref.ref(each) for each in others}

    def _was_there(self, parameter: nn.Parameter) -> bool:
        known = self._others.get(id(parameter))
        return known is not None and known() is parameter

    def _optimized(self) -> set[int]:
        return {id(each) for one in self._optimizers for group in one.param_groups for each in group["params"]}

    def found(self) -> Mapping[str, Any] | None:
        """What is known by now, as JSON can hold it; None where no graph was walked.

        Returns:
            trained: how many entries the trained parameters have.
            unreached: trained parameters that no loss has reached, with their entries.
            not_optimized: trained parameters that no watched optimizer holds, with their entries.
            strangers: for each optimizer, whether it holds none of the model's parameters.
            outside: layers in plain lists or dicts that the loss reaches and no watched optimizer holds, with entries.
            fresh: shapes of parameters that were made anew in each step.
            chains: the operations before the losses of the last walk.
        """
        if not self.walks:
            return None
        optimized = self._optimized()
        named = {
            name: each
            for name, each in Shards(self._model).named_parameters().items()
            if each.requires_grad and not is_lazy(each)
        }
        own = {id(each) for each in named.values()} | {id(each) for each in self._model.parameters()}
        return {
            "trained": sum(each.numel() for each in named.values()),
            "unreached": {name: each.numel() for name, each in named.items() if name not in self._reached},
            "not_optimized": {name: each.numel() for name, each in named.items() if id(each) not in optimized},
            "strangers": [
                not any(id(each) in own for group in one.param_groups for each in group["params"])
                for one in self._optimizers
            ],
            "outside": {
                path: sum(each.numel() for each in parameters)
                for path, parameters in hidden_layers(self._model)
                if any(id(each) in self._outside_reached and id(each) not in optimized for each in parameters)
            },
            "fresh": self._fresh,
            "chains": self._chains,
        }


def leaves(loss: Tensor) -> list[Tensor]:
    """The tensors from which a loss was computed, and which get a gradient."""
    return list(_leaves(_order([loss.grad_fn])[1]))


def _leaves(nodes: Iterable[Any]) -> Iterator[Tensor]:
    return (node.variable for node in nodes if hasattr(node, "variable"))


def _order(roots: Iterable[Any]) -> tuple[dict[Any, list[Any]], list[Any]]:
    """The graph of some nodes: what enters each node, and all nodes, each after those that use what it computes."""
    stack = list(roots)
    inputs: dict[Any, list[Any]] = {}
    placed: dict[Any, None] = {}
    while stack:
        node = stack[-1]
        if node not in inputs:
            inputs[node] = [each for each, _ in node.next_functions if each is not None]
            stack += [each for each in inputs[node] if each not in inputs]
        else:
            placed.setdefault(stack.pop())
    return inputs, list(reversed(placed))


def _chains(root: Any) -> list[Chain]:
    """The operations before a loss, up to the weight layers: a chain for each way there."""
    found: list[Chain] = []
    ways: list[tuple[Any, Chain]] = [(root, [])]
    while ways and len(found) < MOST_CHAINS:
        node, before = ways.pop()
        chain = [*before, (operation(node), output_shape(node))]
        following = [each for each, _ in node.next_functions if each is not None and not hasattr(each, "variable")]
        if not following or chain[-1][0] in ENDS or len(chain) == LONGEST or len(ways) > MOST_CHAINS:
            found.append(chain)
        else:
            ways += [(each, chain) for each in reversed(following)]
    return found


def hidden_layers(model: nn.Module) -> list[tuple[str, list[nn.Parameter]]]:
    """What modules of a model keep in plain lists, dicts and the like, where PyTorch does not find it.

    Args:
        model: the model.

    Returns:
        For each such attribute, its path and the parameters in it that the model does not have.
    """
    own = {id(each) for each in model.parameters()}
    found = []
    for path, module in [(bare_name(path), module) for path, module in model.named_modules()]:
        for name, value in vars(module).items():
            if name in OF_PYTORCH or not isinstance(value, list | tuple | dict | set):
                continue
            hidden = [each for each in _parameters_in(value, DEEPEST) if id(each) not in own and each.requires_grad]
            if hidden:
                found.append((f"{path}.{name}" if path else name, hidden))
    return found


def _parameters_in(value: Any, depth: int) -> Iterator[nn.Parameter]:
    if isinstance(value, nn.Parameter):
        yield value
    elif isinstance(value, nn.Module):
        yield from (each for each in value.parameters() if not is_lazy(each))
    elif depth and isinstance(value, list | tuple | dict | set):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _parameters_in(each, depth - 1)
