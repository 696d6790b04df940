"""The graph of a step as a snapshot has it (`Tables.modules`): which module feeds which, and the chains.

A table from somewhere else may hold anything. What is wrong in it makes the graph unknown, which is None here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from gradlab.tables import Tables

LAYERS = ("weight", "output")
"""Kinds of modules that are layers with weights."""
MOST_MODULES = 20_000
MOST_EDGES = 200_000


@dataclass(frozen=True)
class Node:
    """A module in the graph of a step; see the table `modules`.

    Attributes:
        name: of the module.
        kind: as in `layers`.
        entries: of the outputs of all its calls in a step; None where that is not known.
        chain: the number of its chain; None where no loss depends on it.
        before: the modules that feed it and, for each, how many of its entries become one on the way.
        last: whether the loss uses its output with no other recorded module between.
        losses: which backward passes of a step reach it.
        recurrent: whether it is called with what an earlier call of it has returned.
    """

    name: str
    kind: str
    entries: int | None
    chain: int | None
    before: Mapping[str, float]
    last: bool
    losses: frozenset[int]
    recurrent: bool


@dataclass(frozen=True)
class Network:
    """The modules of a network by name, in the order in which they computed something first."""

    nodes: Mapping[str, Node]

    @cached_property
    def after(self) -> Mapping[str, Mapping[str, float]]:
        """For each module, the modules that it feeds, and how many entries become one on the way."""
        after: dict[str, dict[str, float]] = {name: {} for name in self.nodes}
        for node in self.nodes.values():
            for name, averaged in node.before.items():
                after[name][node.name] = averaged
        return after

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The modules behind which a further layer comes on the way to the loss."""
        stack = [
            name for node in self.nodes.values() if node.kind in LAYERS for name in node.before if name != node.name
        ]
        hidden = set(stack)
        while stack:
            for name in self.nodes[stack.pop()].before:
                if name not in hidden:
                    hidden.add(name)
                    stack.append(name)
        return frozenset(hidden)

    @cached_property
    def joined(self) -> frozenset[str]:
        """The modules whose output is used together with that of another module only: gates, and other branches."""
        return frozenset(
            name
            for name, users in self.after.items()
            if users and all(len(self.nodes[user].before) > 1 for user in users)
        )

    @cached_property
    def chains(self) -> Mapping[int, tuple[Node, ...]]:
        """The modules of each chain, from the input to the loss."""
        chains: dict[int, list[Node]] = {}
        for node in self.nodes.values():
            if node.chain is not None:
                chains.setdefault(node.chain, []).append(node)
        return {number: tuple(nodes) for number, nodes in chains.items()}


def is_own(tables: Tables) -> bool:
    """Whether the network is one of the user's own: no config lists its layers, only the graph of a step shows them."""
    return tables.config is None or tables.config.model.hidden_widths is None


def network_of(tables: Tables) -> Network | None:
    """The graph of a step.

    Args:
        tables: the run.

    Returns:
        the network; None where no graph was walked, or where the table is not one that gradlab could have written.
    """
    frame = tables.modules
    if not 0 < frame.height <= MOST_MODULES or frame["module"].null_count() or frame["module"].is_duplicated().any():
        return None
    if frame["before"].list.len().sum() > MOST_EDGES:
        return None
    names = set(frame["module"])
    nodes = [_node(row, names) for row in frame.iter_rows(named=True)]
    if None in nodes or all(node is None or node.chain is None for node in nodes):
        return None
    return Network({node.name: node for node in nodes if node is not None})


def _node(row: Mapping[str, Any], names: set[str]) -> Node | None:
    before, averaged = row["before"] or [], row["averaged"] or []
    entries = row["entries"]
    fits = (
        len(before) == len(averaged)
        and all(share is not None and isfinite(share) and share >= 1 for share in averaged)
        and (entries is None or entries > 0)
        and row["kind"] is not None
    )
    if not fits:
        return None
    return Node(
        name=row["module"],
        kind=row["kind"],
        entries=entries,
        chain=row["chain"],
        before={name: share for name, share in zip(before, averaged, strict=True) if name in names},
        last=row["last"] is True,
        losses=frozenset(row["losses"] or ()),
        recurrent=row["recurrent"] is True,
    )
