"""What a rule is, and what it returns.

    Tables ─► rule ─► [Finding, …], or NotApplicable and why

A rule is a pure function of the tables of a run. It opens no file, so its test is a tiny table and the expected answer.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

from gradlab.measures.spells import Spell
from gradlab.tables import Finding, Severity, Tables

LARGE_INPUT = 30.0
"""Initializers are made for inputs of size 1. Digits with pixels of 0 to 16 have the size 8, and are learned without
trouble; pixels of 0 to 255 have the size 100."""
BRIEF = 0.1
"""A trouble that went away within this share of the run has cost next to nothing."""


@dataclass(frozen=True)
class NotApplicable:
    """A rule has nothing to say about this run.

    Attributes:
        reason: why, in a few words.
        too_early: whether that is because too little has been seen yet.
    """

    reason: str
    too_early: bool = False


Answer = list[Finding] | NotApplicable
"""What a rule returns. An empty list means that the rule found nothing wrong."""


def numbers(**values: float | None) -> dict[str, float]:
    """Named numbers without those that are missing or not finite, which JSON cannot hold."""
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def begins_with(answer: Answer) -> bool:
    """Whether a rule has found something in the first step."""
    findings = [] if isinstance(answer, NotApplicable) else answer
    return any(finding.steps is not None and finding.steps[0] == 0 for finding in findings)


def severity_of(spell: Spell, severity: Severity) -> Severity:
    """The severity of a trouble, given when it was present.

    Present at the end: as severe as the rule says. Present at the start and gone later: a warning, or only information
    if it was gone soon. Come and gone in training: information.
    """
    if spell.at_end:
        return severity
    return "warning" if severity == "error" and spell.at_start and spell.share > BRIEF else "info"


@dataclass(frozen=True)
class Rule:
    """A named check of a run.

    Attributes:
        id: its name in findings and verdicts; it never changes.
        severity: the severity of its findings at worst.
        title: what is wrong, in a line.
        papers: where the trouble is described.
        check: the function; its docstring explains the rule to the user.
    """

    id: str
    severity: Severity
    title: str
    papers: tuple[str, ...]
    check: Callable[[Tables], Answer]

    @property
    def description(self) -> str:
        """The docstring of the check: what the rule looks at, what a finding means and what to try."""
        return inspect.getdoc(self.check) or ""
