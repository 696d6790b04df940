"""δ along the chains of a network, in a form that can be compared from layer to layer.

**Size.** Between two layers the number of entries may change: by a pool, a stride, a reshaping, a choice of some
entries, another width. RMS δ per entry changes with it by arithmetic. What does not is

    Q = √(Σ δ² · a),    a: how many entries become one by averaging, on the way to the loss where fewest do.

For y = W x with weights of variance 1/fan_in, E Σ δ_x² = Σ δ_y² (each of the n_in entries of x gets σ² Σ δ_y²,
σ² = 1/n_in), whatever the widths, strides and kernels are. A reshaping, a permutation, a choice of entries
and a max pool move the entries of δ and leave Σ δ² as it is. A mean over k entries hands 1/k of δ to each of them, so
that Σ δ² falls by k; but all k are alike and what a layer below learns from them is their sum, the whole δ. The factor
a = k makes up for that. Q belongs to the whole batch: all modules see the same one.

**Scale.** Each loss has a scale of its own. Q of a module is divided by that of the largest of the outputs to which it
leads, so that a layer is compared with the loss from which most of its δ comes. A loss that weighs a thousandth of
another one then changes nothing: its own branch is measured by its own output, and the common trunk by the other one.

**Place.** δ in front of a normalization is ∝ 1/σ, and σ says how large the weights are, which nothing behind the
normalization notices. A layer whose output enters a normalization and nothing else is judged at the output of that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl

from gradlab.measures.network import LAYERS, Network, Node
from gradlab.measures.profiles import Floats, Profiles, by_module

KINDS = ("weight", "output", "norm", "activation", "block", "other")


def delta_over_chains(network: Network, layers: pl.DataFrame) -> list[Profiles]:
    """The profile of Q over the hidden layers of each chain, relative to the outputs of the network.

    Args:
        network: the graph of a step.
        layers: the table `layers`.

    Returns:
        A profile for each chain with a hidden layer, in the order of chains. Its `layers` are 0, 1, … from the input to
        the loss. The layers behind which there is no further one are outputs and are left out.
    """
    delta = by_module(layers, "delta_rms", KINDS)
    sizes = {
        name: delta.values_TL[:, column] * np.sqrt(network.nodes[name].entries or np.nan)
        for column, name in enumerate(delta.modules)
        if name in network.nodes
    }
    users = _users(network)
    scale, averaged = _scales(network, users, sizes), _averaged(network, users)
    found = []
    for chain in network.chains.values():
        hidden = [node for node in chain if node.kind in LAYERS and node.name in sizes and node.name in network.hidden]
        if hidden:
            judged = [sizes[behind_normalization(network, node, sizes)] * averaged[node.name] ** 0.5 for node in hidden]
            scales = [scale[node.name] for node in hidden]
            values_TL = np.stack([_divided(own, of) for own, of in zip(judged, scales, strict=True)], axis=1)
            names = tuple(node.name for node in hidden)
            found.append(Profiles(delta.steps, np.arange(len(hidden)), values_TL, names))
    return found


def past_branches(delta: Profiles, sign: int) -> Profiles:
    """The profile of Q without the layers past which most of δ goes: gates, and branches beside others.

    δ does not vanish on its way to a layer where one further down gets more of it, and it does not explode where it
    grows back to what the output, or a layer further up, has had.

    Args:
        delta: a profile of `delta_over_chains`.
        sign: −1 for δ that shrinks toward the input, +1 for δ that grows.
    """
    values_TL = delta.values_TL
    if sign < 0:
        values_TL = np.fmax.accumulate(values_TL, axis=1)
    else:
        known_TL = np.where(np.isnan(values_TL), np.nan, np.fmax(values_TL, 1.0))
        values_TL = np.fmax.accumulate(known_TL[:, ::-1], axis=1)[:, ::-1]
    return replace(delta, values_TL=values_TL)


def behind_normalization(network: Network, node: Node, known: Mapping[str, object]) -> str:
    """Where δ of a layer is judged: at the normalization that alone gets its output, and nothing else; else itself."""
    name = node.name
    while len(network.after[name]) == 1:
        (following,) = (network.nodes[each] for each in network.after[name])
        if len(following.before) != 1 or following.kind not in ("norm", "other") or following.name == name:
            break
        name = following.name
        if following.kind == "norm":
            return name if name in known else node.name
    return node.name


def _users(network: Network) -> dict[str, list[str]]:
    """For each module, the modules that use its output and that computed something later: without circles."""
    following = {node.name: later.name for chain in network.chains.values() for node, later in pairwise(chain)}
    place = {name: number for number, name in enumerate(network.nodes)}
    users = {}
    for name in network.nodes:
        later = [each for each in network.after[name] if place[each] > place[name]]
        # between the two, there may be a module that is called in several places
        users[name] = [*later, *({following[name]} - {*later} if name in following else ())]
    return users


def _averaged(network: Network, users: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """For each module, how many entries become one on the way to the loss on which fewest do.

    A squeeze-and-excitation averages all pixels for its gates, while most of δ goes past it.
    """
    factors: dict[str, float] = {}
    for name in reversed(list(users)):
        ways = [network.after[name].get(user, 1.0) * factors[user] for user in users[name]]
        factors[name] = min(ways, default=1.0)
    return factors


def _scales(network: Network, users: Mapping[str, Sequence[str]], sizes: Mapping[str, Floats]) -> dict[str, Floats]:
    """For each module, √Σ δ² of the largest of the outputs to which it leads; NaN where none is known."""
    scales: dict[str, Floats] = {}
    for name, node in reversed(list(network.nodes.items())):
        same = frozenset().union(*(network.nodes[each].losses for each in users[name])) <= node.losses
        sources = [scales[each] for each in users[name] if each in scales] if same else []
        own = sizes.get(name)
        if own is not None and (not sources or node.last):
            sources.append(np.where(np.isfinite(own) & (own > 0), own, np.nan))
        if sources:
            scales[name] = _largest(sources)
    return scales


def _largest(sources: Sequence[Floats]) -> Floats:
    largest = sources[0]
    for each in sources[1:]:
        largest = np.fmax(largest, each)
    return largest


def _divided(values_T: Floats, scale_T: Floats) -> Floats:
    """Values relative to a scale, where there is one."""
    return values_T / np.where(np.isfinite(scale_T), scale_T, 1.0)
