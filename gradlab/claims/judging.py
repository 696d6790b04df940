"""Expectations and runs ─► judgements ─► a verdict.

An expectation is about one configuration or several. For each of them, the runs of all seeds give a mean and its 95 %
interval (Student's t). The expectation holds if all of these intervals lie within its bounds. It fails if one of them
lies outside. Otherwise the runs do not decide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Literal

from gradlab.claims.claim import Claim, Compared, Expectation
from gradlab.claims.measuring import Observation, measured
from gradlab.measures.intervals import Mean, mean_of
from gradlab.measures.settings import configuration, differing, matches, partner

Outcome = Literal["holds", "fails", "undecided"]
WORST_FIRST: Sequence[Outcome] = ("fails", "undecided", "holds")
CONFIRMED = "confirmed"
CONDITIONAL = "confirmed with a condition"
PARTLY = "partly confirmed"
REFUTED = "not what we measured"
UNDECIDED = "not decided by these runs"


@dataclass(frozen=True)
class Judgement:
    """An expectation and what the runs say of it.

    Attributes:
        expectation: what was expected.
        outcome: `holds`, `fails` or `undecided`.
        mean: the measure in the configuration that is nearest to failing, or fails by most.
        settings: the settings that tell this configuration from the others that the expectation is about.
        configurations: how many configurations the expectation is about.
        seeds: runs of this configuration, whether they have the number or not.
    """

    expectation: Expectation
    outcome: Outcome
    mean: Mean
    settings: Mapping[str, Any]
    configurations: int
    seeds: int


@dataclass(frozen=True)
class Verdict:
    """A claim and the judgements of its expectations, in the order of the claim."""

    claim: Claim
    judgements: Sequence[Judgement]

    @property
    def word(self) -> str:
        """The verdict in words. A claim of which as many parts hold as fail, or more, is partly confirmed."""
        outcomes = [judged.outcome for judged in self.judgements if judged.expectation.role == "claim"]
        if "fails" in outcomes:
            return PARTLY if outcomes.count("holds") >= outcomes.count("fails") else REFUTED
        if "undecided" in outcomes or not outcomes:
            return UNDECIDED
        return CONDITIONAL if self.conditions else CONFIRMED

    @property
    def conditions(self) -> list[str]:
        """The limits of the claim that hold, in words."""
        return [
            judged.expectation.says
            for judged in self.judgements
            if judged.expectation.role == "condition" and judged.outcome == "holds"
        ]

    @property
    def failing(self) -> list[str]:
        """The parts of the claim that fail, in words."""
        parts = [judged for judged in self.judgements if judged.expectation.role == "claim"]
        return [judged.expectation.says for judged in parts if judged.outcome == "fails"]

    @property
    def confirmed(self) -> bool:
        """Whether all parts of the claim are confirmed, with or without a condition."""
        return self.word in (CONFIRMED, CONDITIONAL)


def judge(claim: Claim, observations: Sequence[Observation]) -> Verdict:
    """Judge a claim on the runs of its sweep."""
    return Verdict(claim, [_judged(expectation, observations) for expectation in claim.expect])


def compared_values(
    compared: Compared, chosen: Sequence[Observation], all_: Sequence[Observation]
) -> list[float | None]:
    """The measure of each run, minus or divided by the measure of its partner run.

    Args:
        compared: the measure, and the settings of the partner if there is one.
        chosen: the runs to measure.
        all_: the runs among which partners are looked for.

    Returns:
        a number for each run of `chosen`; None where the run or its partner has no number.
    """
    settings = [other.settings for other in all_]
    found: list[float | None] = []
    for one in chosen:
        value = measured(compared.measure, one.run)
        if compared.partner and value is not None:
            index = partner(one.settings, settings, compared.partner)
            beside = None if index is None else measured(compared.measure, all_[index].run)
            value = None if beside is None else _combined(value, beside, ratio=bool(compared.over))
        found.append(value)
    return found


def by_configuration(observations: Sequence[Observation]) -> list[list[Observation]]:
    """Groups of runs that differ in their seeds only."""
    groups: dict[Any, list[Observation]] = {}
    for observation in observations:
        groups.setdefault(configuration(observation.settings), []).append(observation)
    return list(groups.values())


def _combined(value: float, beside: float, *, ratio: bool) -> float | None:
    combined = value - beside if not ratio else value / beside if beside else inf
    return combined if isfinite(combined) else None


def _judged(expectation: Expectation, observations: Sequence[Observation]) -> Judgement:
    groups = by_configuration([one for one in observations if matches(one.settings, expectation.of)])
    keys = differing([group[0].settings for group in groups])
    low = -inf if expectation.above is None else expectation.above
    high = inf if expectation.below is None else expectation.below
    found: list[tuple[float, Outcome, Mean, list[Observation]]] = []
    for group in groups:
        mean = mean_of(compared_values(expectation, group, observations))
        found.append((*_inside(mean, low, high), mean, group))
    if not found:
        return Judgement(expectation, "undecided", Mean(None, None, 0), {}, 0, 0)
    _, outcome, mean, group = min(found, key=lambda item: (WORST_FIRST.index(item[1]), item[0]))
    settings = {key: group[0].settings[key] for key in keys if key in group[0].settings}
    return Judgement(expectation, outcome, mean, settings, len(groups), len(group))


def _inside(mean: Mean, low: float, high: float) -> tuple[float, Outcome]:
    """How far a 95 % interval is within the bounds, negative outside; and the outcome that follows from it."""
    if mean.value is None or mean.half_width is None:
        return -inf, "undecided"
    least, most = mean.value - mean.half_width, mean.value + mean.half_width
    if most <= low or least >= high:
        return min(most - low, high - least), "fails"
    return min(least - low, high - most), "holds" if low < least and most < high else "undecided"
