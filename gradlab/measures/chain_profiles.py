"""δ along the chains of a network, in a form that can be compared from layer to layer.

**Size.** Between two layers the number of entries may change: by a pool, a stride, a reshaping, a choice of some
entries, another width. RMS δ per entry changes with it by arithmetic. What does not is

    Q = √(Σ δ² · a),    a: how many entries become one by averaging, on the way from here to the loss.

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
    scale = _scales(network, sizes)
    found = []
    for chain in network.chains.values():
        factors = _averaged(chain)
        hidden = [
            (node, factor)
            for node, factor in zip(chain, factors, strict=True)
            if node.kind in LAYERS and node.name in sizes and node.name in network.hidden
        ]
        if hidden:
            values_TL = np.stack(
                [
                    _divided(sizes[behind_normalization(network, node, sizes)] * np.sqrt(factor), scale[node.name])
                    for node, factor in hidden
                ],
                axis=1,
            )
            names = tuple(node.name for node, _ in hidden)
            found.append(Profiles(delta.steps, np.arange(len(hidden)), values_TL, names))
    return found


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


def _averaged(chain: Sequence[Node]) -> list[float]:
    """For each module of a chain, how many entries become one on the way to its end."""
    factors = [1.0] * len(chain)
    for place in reversed(range(len(chain) - 1)):
        factors[place] = factors[place + 1] * chain[place + 1].before.get(chain[place].name, 1.0)
    return factors


def _scales(network: Network, sizes: Mapping[str, Floats]) -> dict[str, Floats]:
    """For each module, √Σ δ² of the largest of the outputs to which it leads; NaN where none is known."""
    following = {node.name: later.name for chain in network.chains.values() for node, later in pairwise(chain)}
    place = {name: number for number, name in enumerate(network.nodes)}
    scales: dict[str, Floats] = {}
    for name, node in reversed(list(network.nodes.items())):
        users = [each for each in network.after[name] if place[each] > place[name]]
        users += {following.get(name, name)} - {*users, name}  # a module that is called in several places is between
        same = frozenset().union(*(network.nodes[each].losses for each in users)) <= node.losses
        sources = [scales[each] for each in users if each in scales] if same else []
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
