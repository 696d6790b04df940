"""The order of findings: causes first, and what follows from a cause right after it.

    unscaled-inputs (warning)
      └─ saturated-activations (warning)
           └─ vanishing-gradient (error)
                └─ stalled-loss (error)
    updates-too-large (warning)

A finding follows from another one if its rule is known to be a consequence of the other's (`CONSEQUENCES`), and the
other trouble was there first. Of several possible causes, the one that was there first counts, or the last link of the
chain that begins with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gradlab.tables import SEVERITIES, Finding

CONSEQUENCES: Mapping[str, tuple[str, ...]] = {
    "skipped-steps": ("stalled-loss",),
    "unregistered-parameters": ("stalled-loss",),
    "not-optimized": ("updates-too-small", "stalled-loss"),
    "output-mismatch": ("no-gradient", "saturated-activations", "dead-units", "vanishing-gradient", "stalled-loss"),
    "no-gradient": ("gradient-underflow", "updates-too-small", "stalled-loss"),
    "unscaled-inputs": (
        "saturated-activations",
        "vanishing-gradient",
        "signal-explosion",
        "updates-too-large",
        "dead-units",
        "diverged",
        "rising-loss",
        "stalled-loss",
    ),
    "learning-rate-too-high": (
        "updates-too-large",
        "dead-units",
        "saturated-activations",
        "signal-explosion",
        "diverged",
        "rising-loss",
        "stalled-loss",
    ),
    "vanishing-weights": ("signal-collapse", "vanishing-gradient", "updates-too-large", "stalled-loss"),
    "eval-mode": ("rising-loss",),
    "gradients-not-cleared": (
        "saturated-activations",
        "updates-too-large",
        "dead-units",
        "signal-explosion",
        "diverged",
        "rising-loss",
        "stalled-loss",
    ),
    "symmetric-units": ("no-gradient", "dead-units", "vanishing-gradient", "updates-too-small", "stalled-loss"),
    "saturated-activations": ("vanishing-gradient", "signal-collapse", "updates-too-small", "stalled-loss"),
    "vanishing-gradient": ("gradient-underflow", "updates-too-small", "stalled-loss"),
    "gradient-underflow": ("updates-too-small", "stalled-loss"),
    "exploding-gradient": ("updates-too-large", "diverged", "stalled-loss"),
    "signal-explosion": ("saturated-activations", "diverged", "stalled-loss"),
    "updates-too-large": ("dead-units", "saturated-activations", "signal-explosion", "diverged", "rising-loss"),
    "dead-units": ("no-gradient", "signal-collapse", "updates-too-small", "stalled-loss"),
    "signal-collapse": ("stalled-loss",),
    "updates-too-small": ("stalled-loss",),
}
"""For each rule, the rules whose findings may follow from its findings. There is no circle in it."""
WHOLE_RUN = ("stalled-loss", "rising-loss", "updates-too-small")
"""Rules that judge the run as a whole: what came at any time in the run may be the cause."""


def in_causal_order(findings: Sequence[Finding], rules: Sequence[str]) -> list[Finding]:
    """Put causes before what follows from them.

    Findings that follow from no other come in the order of the worst that came of them, then of the time at which they
    began, then of the rules; each is followed by its consequences, in the same order.

    Args:
        findings: what was found.
        rules: the ids of the rules, those about causes first.

    Returns:
        The findings; the message of one that follows from another one ends by saying so.
    """
    rank = {rule: place for place, rule in enumerate(rules)}
    places = range(len(findings))

    def order(place: int) -> tuple[int, int]:
        return _began(findings[place]), rank.get(findings[place].rule, len(rank))

    causes = _causes(findings, sorted(places, key=order))
    children = {place: [child for child in places if causes[child] == place] for place in places}

    def worst(place: int) -> int:
        return min([SEVERITIES.index(findings[place].severity), *map(worst, children[place])])

    def tree(place: int) -> list[int]:
        below = sorted(children[place], key=lambda child: (worst(child), *order(child)))
        return [place, *(each for child in below for each in tree(child))]

    roots = sorted((place for place in places if causes[place] is None), key=lambda root: (worst(root), *order(root)))
    sequence = [place for root in roots for place in tree(root)]
    return [_explained(findings[place], causes[place], findings) for place in sequence]


def _causes(findings: Sequence[Finding], by_time: Sequence[int]) -> dict[int, int | None]:
    """For each finding, by number, the finding that it follows from."""
    possible = {
        effect: [cause for cause in by_time if _may_follow(findings[effect], findings[cause])] for effect in by_time
    }
    causes: dict[int, int | None] = {}

    def chain(place: int | None) -> list[int]:
        """A finding, its cause, the cause of that, and so on."""
        return [] if place is None else [place, *chain(cause(place))]

    def cause(effect: int) -> int | None:
        if effect not in causes:
            first = next(iter(possible[effect]), None)
            links = [chain(other) for other in possible[effect]]
            causes[effect] = max((link for link in links if first in link), key=len, default=[None])[0]
        return causes[effect]

    return {effect: cause(effect) for effect in by_time}


def _may_follow(effect: Finding, cause: Finding) -> bool:
    latest = effect.steps[1] if effect.rule in WHOLE_RUN and effect.steps else _began(effect)
    known = effect.rule in CONSEQUENCES.get(cause.rule, ())
    return known and cause.severity != "info" and _began(cause) <= latest


def _began(finding: Finding) -> int:
    return finding.steps[0] if finding.steps else 0


def _explained(finding: Finding, cause: int | None, findings: Sequence[Finding]) -> Finding:
    if cause is None:
        return finding
    return replace(finding, message=f"{finding.message}; follows from {findings[cause].rule}")
