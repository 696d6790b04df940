"""Outputs that do not fit their loss, read off the operations between them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import polars as pl

from gradlab.diagnosis.gradients import exploding_gradient
from gradlab.diagnosis.graph import classes_of_loss, graph_of
from gradlab.diagnosis.rule import LARGE_INPUT, Answer, NotApplicable, begins_with, numbers
from gradlab.diagnosis.signal import signal_explosion
from gradlab.measures.network import is_own
from gradlab.operations import ONE_OF_MANY, SHAPE_ONLY, WEIGHT_LAYERS
from gradlab.tables import Finding, Severity, Tables

NEGATIVE_LOG_LIKELIHOOD = {"NllLoss", "NllLoss2D", "NllLossNd"}
ON_LOGITS = {"BinaryCrossEntropyWithLogits"}
DISTANCES = {"MseLoss": 2, "HuberLoss": 1, "SmoothL1Loss": 1}
"""Losses that compare numbers, and the power of the distance that they do not exceed."""
RANGES = {"Softmax": 1.0, "Sigmoid": 1.0, "Tanh": 2.0}
"""Activations whose outputs, and targets of which they are capable, differ by no more than this."""
COMBINING = {"Add", "Sub", "Mul", "Div", "Neg"}
"""What makes one loss of several, and is no loss itself, where it computes a single number."""
FAR_OFF = 4.0
"""A first loss of so many times that of a constant prediction: logits that differ by 10 and more before any training.
The untrained networks of usual initializers are below 1.5."""
WORDS = {
    "Softmax": "a softmax", "Sigmoid": "a sigmoid", "Relu": "a ReLU", "Tanh": "a tanh", "LogSoftmax": "a log-softmax",
}  # fmt: skip

NAMES = {
    **dict.fromkeys(NEGATIVE_LOG_LIKELIHOOD, "negative log-likelihood, nats"),
    "BinaryCrossEntropyWithLogits": "binary cross-entropy, nats",
    "BinaryCrossEntropy": "binary cross-entropy, nats",
    "MseLoss": "mse",
    "HuberLoss": "Huber loss",
    "SmoothL1Loss": "smooth L1",
}
"""What losses are called; a cross-entropy and squared errors as in a config."""
NO_LOGITS = {
    "Softmax": "whose values lie between 0 and 1",
    "Sigmoid": "whose values lie between 0 and 1",
    "Tanh": "whose values lie between −1 and 1",
    "Relu": "which cannot say that a class is unlikely",
}
"""Activations whose outputs are no logits, and why."""

Chain = Sequence[tuple[str, Sequence[int]]]


def output_mismatch(tables: Tables) -> Answer:
    """What the network returns is not what its loss expects.

    A cross-entropy takes logits, and applies the softmax or sigmoid itself: with one before it, the loss is nearly flat
    and learns slowly or not at all. A negative log-likelihood takes log-probabilities. A regression cannot reach
    targets that lie outside of what the last activation returns. And an output of shape (n, 1) against targets of shape
    (n,) is compared with all n of them. Logits that are large before any training make a first cross-entropy far above
    that of a constant prediction, and training begins with making them small.

    What to try: leave the last activation out, or take the loss that fits it; give targets the shape of the output;
    smaller weights in the last layer.
    """
    graph = graph_of(tables)
    if not is_own(tables) or graph is None:
        return NotApplicable("nobody has looked at the graph of a step")
    chains: Sequence[Chain] = graph["chains"]
    found: dict[str, Finding] = {}
    for chain in chains:
        for finding in (_wrong_shape(_part_of_a_sum(chain)), _wrong_activation(chain), _out_of_reach(chain, tables)):
            if finding is not None:
                found.setdefault(finding.message, finding)
    alone = [_far_off(tables), _below_zero(chains[0], tables)] if len(chains) == 1 else []
    return [*found.values(), *(finding for finding in alone if finding is not None)]


def loss_names(tables: Tables) -> Sequence[str]:
    """What the losses of a watched model are called, each once; none where the graph of a step does not tell."""
    graph = graph_of(tables)
    names = []
    for chain in graph["chains"] if graph else ():
        part = _part_of_a_sum(chain)
        after = None if not part else _next_computed(part, 0)
        name = None if not part else NAMES.get(part[0][0])
        if part and part[0][0] in NEGATIVE_LOG_LIKELIHOOD and after is not None and part[after][0] == "LogSoftmax":
            name = "cross_entropy"
        names.append(name)
    return [] if None in names else [name for name in dict.fromkeys(names) if name]


def _finding(message: str, remedy: str, severity: Severity = "warning", **measured: float) -> Finding:
    return Finding("output-mismatch", severity, message, measured=numbers(**measured), remedies=(remedy,))


def _next_computed(chain: Chain, place: int) -> int | None:
    """The next operation that computes something, after that in a place."""
    return next((n for n in range(place + 1, len(chain)) if chain[n][0] not in SHAPE_ONLY), None)


def _wrong_activation(chain: Chain) -> Finding | None:
    for place, (name, _) in enumerate(chain):
        if name in WEIGHT_LAYERS:
            return None
        before = _next_computed(chain, place)
        if before is None:
            return None
        what = chain[before][0]
        above = {operation for operation, _ in chain[:place]}
        likelihood = place == 0 or chain[place - 1][0] in NEGATIVE_LOG_LIKELIHOOD or "Mul" in above
        if name == "LogSoftmax" and likelihood and what in NO_LOGITS:
            why = NO_LOGITS[what]
            return _finding(
                f"the cross-entropy, which takes logits, gets the output of {WORDS[what]}, {why}",
                "Leave the last activation out: the cross-entropy applies a softmax itself.",
            )
        if name in ON_LOGITS and what in NO_LOGITS:
            return _finding(
                f"the binary cross-entropy with logits gets the output of {WORDS[what]}, {NO_LOGITS[what]}",
                "Leave the last activation out: this loss applies a sigmoid itself.",
            )
        if name in NEGATIVE_LOG_LIKELIHOOD and (what in ("Softmax", "Sigmoid", "Relu") or what in WEIGHT_LAYERS):
            what = WORDS.get(what, "a weight layer")
            return _finding(
                f"the negative log-likelihood, which takes log-probabilities, gets the output of {what}",
                "Apply log_softmax to the output, or take the cross-entropy on logits.",
                "error",
            )
        if name == "BinaryCrossEntropy" and (what == "Relu" or what in WEIGHT_LAYERS):
            return _finding(
                f"the binary cross-entropy, which takes probabilities, gets the output of "
                f"{WORDS.get(what, 'a weight layer')}",
                "Take the binary cross-entropy with logits on the output without an activation.",
                "error",
            )
    return None


def _part_of_a_sum(chain: Chain) -> Chain:
    """A chain without the sums, differences and factors by which several losses become one number."""
    first = next((n for n, (name, shape) in enumerate(chain) if name not in COMBINING or shape), 0)
    return chain[first:]


def _wrong_shape(chain: Chain) -> Finding | None:
    """An output that is compared with each of the targets: (n, 1) against (n,) is (n, n)."""
    if not chain or (
        chain[0][0] not in DISTANCES and chain[0][0] not in ("Mean", "Sum", "BinaryCrossEntropy", *ON_LOGITS)
    ):
        return None
    for (name, now), (_, before) in pairwise(chain):
        if name in WEIGHT_LAYERS:
            return None
        if name in ("Expand", "Sub", *DISTANCES) and len(now) == 2 and now[0] == now[1] > 1:
            n = now[0]
            if list(before) in ([n, 1], [1, n], [n]):
                return _finding(
                    f"the output of shape ({', '.join(map(str, before))}{',' if len(before) == 1 else ''}) and the "
                    f"targets are spread out to ({n}, {n}): every output is compared with every target",
                    "Give the targets the shape of the output, as by y.reshape(-1, 1), or squeeze the output.",
                    "error",
                )
    return None


def _below_zero(chain: Chain, tables: Tables) -> Finding | None:
    """A loss that is negative, which it cannot be with targets and outputs as it expects them."""
    losses = tables.steps["loss"].drop_nulls()
    if not losses.len() or not float(losses.tail(max(1, losses.len() // 4)).max()) < 0:  # type: ignore[arg-type]
        return None
    names = [name for name, _ in chain if name not in ("Mean", "Sum", "Div")]
    if names[:1] == ["BinaryCrossEntropy"] or (names and names[0] in ON_LOGITS):
        return _finding(
            "the binary cross-entropy is negative: targets lie outside of 0 and 1",
            "Scale the targets into 0 to 1, or take a loss for numbers.",
            loss=float(losses[-1]),
        )
    if names[:2] == ["Sub", "Mul"] and names[2:3] in (["Softmax"], ["Sigmoid"]):
        return _finding(
            f"the divergence from the targets, which takes log-probabilities, gets the output of {WORDS[names[2]]}: it "
            "is negative, which no divergence is",
            "Apply log_softmax to the output in front of kl_div.",
            loss=float(losses[-1]),
        )
    return None


def _far_off(tables: Tables) -> Finding | None:
    """A cross-entropy that begins far above that of a constant prediction."""
    classes = classes_of_loss(tables)
    if classes is None:
        return None
    constant, loss = math.log(classes), float(tables.steps.filter(pl.col("step") == 0)["loss"][0])
    if loss < FAR_OFF * constant:
        return None
    if any(begins_with(check(tables)) for check in (exploding_gradient, signal_explosion)) or _unscaled(tables):
        return None  # they say why
    return replace(
        _finding(
            f"the first loss is {loss:.3g}, where a constant prediction of {classes} classes has {constant:.3g}: the "
            "logits are large before any training",
            "Start with smaller weights in the last layer, or divide its output by the square root of its width.",
            loss=loss,
        ),
        steps=(0, 0),
        threshold=numbers(loss=FAR_OFF * constant),
    )


def _unscaled(tables: Tables) -> bool:
    size = (tables.layers["input_mean"] ** 2 + tables.layers["input_std"] ** 2).sqrt().drop_nulls()
    return bool((size > LARGE_INPUT).any())


def _out_of_reach(chain: Chain, tables: Tables) -> Finding | None:
    """A regression whose targets the last activation cannot reach."""
    if not chain or chain[0][0] not in DISTANCES:
        return None
    before = _next_computed(chain, 0)
    if before is None or chain[before][0] not in RANGES:
        return None
    what = chain[before][0]
    if what == "Softmax" and any(name in ONE_OF_MANY for name, _ in chain[:before]):
        return _finding(
            "a regression is made on single entries of a softmax, which lie between 0 and 1 and add up to 1",
            "Leave the softmax out: values to regress on need no bounds.",
        )
    losses = tables.steps["loss"].drop_nulls()
    most = RANGES[what] ** DISTANCES[chain[0][0]]
    if losses.len() and float(losses.tail(max(1, losses.len() // 4)).min()) > most:  # type: ignore[arg-type]
        return _finding(
            f"the targets lie outside of what {WORDS[what]} can return: the loss never falls below {most:g}",
            "Leave the last activation out, or scale the targets into its range.",
            loss=float(losses[-1]),
        )
    return None
