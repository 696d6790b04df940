"""What is wrong with a network, as far as one can know without the rules: labels, and what they are made of.

A label is True, False, or None where this network cannot be labelled; those are left out and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log10, sqrt
from typing import Literal

from diagnosis_grid import Case
from diagnosis_runs import Trained, Units

from gradlab.diagnosis import RULES
from gradlab.theory import Prediction

Kind = Literal["vanish", "explode", "healthy", "gap", "none", "rate"]

TROUBLE = 2.0
"""Predicted decades of δ over the hidden layers from which on it vanishes or explodes: a hundredfold."""
HEALTH = 1.0
"""Predicted decades below which it does not. Those in between are called either way in the literature."""
LOOSE = ("gelu", "silu", "mish")
"""Activations next to a half-stable point, where theory itself says it is loose."""
MARGIN = 0.2
"""Training accuracy that may be missing to the best plain network of the same depth and data to count as learned."""
UNSETTLED = ("rate ×10", "rate ×100", "BatchNorm, rate ×30", "Adam, large rate")
"""Theory speaks of the start; what these learning rates do to the network later it cannot know."""

DEAD = 0.7
FLAT = 0.5
INDISTINCT = 0.01
DRIFT = 0.05


@dataclass(frozen=True)
class Evidence:
    """What the labels of one network are made of.

    Attributes:
        kind: of the predicted range of δ.
        predicted_range: log10 of predicted RMS δ, first hidden layer over last; NaN without a prediction.
        predicted_signal: the same of the activations, last over first.
        accuracy: best training accuracy in any evaluation.
        stuck: whether the accuracy at the end is no better than guessing the most frequent class, by three standard
            deviations; False where it is twice that of a guess, or more, and None in between.
        diverged: whether the loss was NaN or infinite.
        dead: the largest share of a layer's units that are 0 on every training sample, at the start and at the end.
        flat: the largest share of a layer's outputs where |φ'| is small, at the start and at the end.
        distinct: the least variation from sample to sample of a layer, at the start and at the end.
        test_gap: test accuracy lost to BatchNorm's running statistics.
        underflowed: whether a weight gradient of step 0 is all zero in float32 and not in float64.
    """

    kind: Kind
    predicted_range: float
    predicted_signal: float
    accuracy: float
    stuck: bool | None
    diverged: bool
    dead: tuple[float, float]
    flat: tuple[float, float]
    distinct: tuple[float, float]
    test_gap: float
    underflowed: bool
    group: tuple[int, str, bool]


def evidence(case: Case, trained: Trained) -> Evidence:
    """Gather it from a trained network."""
    predicted_range, predicted_signal = _ranges(trained.prediction)
    if case.config.model.activation.name in LOOSE:
        predicted_range = predicted_signal = float("nan")
    diverged = not all(map(isfinite, trained.trace.losses))
    guess = trained.chance + 3 * sqrt(trained.chance * (1 - trained.chance) / trained.samples)
    last = trained.last_accuracy
    start, end = trained.trace.units
    return Evidence(
        kind="rate" if case.group in UNSETTLED else _kind(predicted_range),
        predicted_range=predicted_range,
        predicted_signal=predicted_signal,
        accuracy=trained.accuracy,
        stuck=True if last <= guess else False if last >= 2 * trained.chance else None,
        diverged=diverged,
        dead=(max(start.dead), max(end.dead)),
        flat=(max(start.flat), max(end.flat)),
        distinct=(_least(start), _least(end)),
        test_gap=trained.test_gap,
        underflowed=trained.underflowed,
        group=(case.config.model.depth, case.config.data.name, case.group == "plain"),
    )


def _least(units: Units) -> float:
    """Without the layers that are all zero, where there is nothing to vary."""
    return min((value for value in units.distinct if isfinite(value)), default=float("nan"))


def _ranges(prediction: Prediction) -> tuple[float, float]:
    layers = prediction.layers
    if len(layers) < 2 or not 0 < layers[0].delta_relative < float("inf"):
        return float("nan"), float("nan")
    return log10(layers[0].delta_relative), log10(layers[-1].activation_rms / layers[0].activation_rms)


def _kind(predicted_range: float) -> Kind:
    if not isfinite(predicted_range):
        return "none"
    if abs(predicted_range) < HEALTH:
        return "healthy"
    if abs(predicted_range) < TROUBLE:
        return "gap"
    return "vanish" if predicted_range < 0 else "explode"


def reached(all_evidence: Sequence[Evidence]) -> list[bool]:
    """Whether each network learned what the best plain one of its depth on its data learned, up to `MARGIN`."""
    best: dict[tuple[int, str], float] = {}
    for one in all_evidence:
        *place, plain = one.group
        if plain:
            best[tuple(place)] = max(best.get(tuple(place), 0.0), one.accuracy)
    return [one.accuracy >= best.get(one.group[:2], 1.0) - MARGIN and not one.diverged for one in all_evidence]


def labels(case: Case, one: Evidence, learned: bool) -> dict[str, bool | None]:
    """Rule ─► whether the network has that trouble; None where it cannot be told."""
    model = case.config.model
    plain = case.group == "plain"
    by_kind = {
        "vanishing-gradient": {"vanish": True, "healthy": False}.get(one.kind),
        "exploding-gradient": {"explode": True, "healthy": False}.get(one.kind),
    }
    shrinks = _by_range(-one.predicted_signal) if one.kind != "rate" else None
    grows = _by_range(one.predicted_signal) if one.kind != "rate" else None
    indistinct = min(one.distinct) < INDISTINCT
    made = {
        **by_kind,
        "symmetric-units": case.group == "equal units",
        "gradient-underflow": one.underflowed,
        "dead-units": max(one.dead) >= DEAD if model.activation.name == "relu" else None,
        "diverged": one.diverged,
        "stalled-loss": None if one.diverged else one.stuck,
        "signal-collapse": True if indistinct or shrinks else (None if shrinks is None else False),
        "signal-explosion": grows,
        "saturated-activations": (
            max(one.flat) >= FLAT if model.activation.name in ("tanh", "hard_tanh", "sigmoid", "softsign") else None
        ),
        "updates-too-large": True if case.group == "rate ×100" else (False if plain and learned else None),
        "updates-too-small": True if case.group == "rate ×1e-4" else (False if plain and learned else None),
        "batch-norm-drift": None if model.normalization.where == "none" or case.built else one.test_gap >= DRIFT,
        "rising-loss": False if plain and learned else None,
        "vanishing-weights": False if plain and learned else None,
        "unscaled-inputs": False,
        "learning-rate-too-high": True if case.group == "rate ×100" else (False if plain and learned else None),
        "off-theory": True if case.group == "another network" else (False if plain and one.kind != "none" else None),
    }
    assert set(made) <= set(RULES)
    return {**dict.fromkeys(RULES), **made}  # of loops, modes and graphs that a configured run does not have, nothing


def _by_range(decades: float) -> bool | None:
    if not isfinite(decades):
        return None
    return True if decades >= TROUBLE else (False if decades < HEALTH else None)
