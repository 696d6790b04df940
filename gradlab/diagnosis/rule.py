"""What a rule gives back.

    Tables ─► rule ─► [Finding, …], or NotApplicable and why

A rule is a pure function of the tables of a run. It opens no file, so that its test is a tiny table and an answer.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

from gradlab.measures.spells import Spell
from gradlab.tables import Finding, Severity, Tables

BRIEF = 0.1
"""A trouble that went away within this share of the run cost next to nothing."""


@dataclass(frozen=True)
class NotApplicable:
    """A rule has nothing to say about this run.

    Attributes:
        reason: why, in a few words.
    """

    reason: str


Answer = list[Finding] | NotApplicable
"""What a rule returns; an empty list is a clean bill."""


def numbers(**values: float | None) -> dict[str, float]:
    """The finite ones among some named numbers: JSON has no others, and neither has evidence."""
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def severity_of(spell: Spell, severity: Severity) -> Severity:
    """How bad a trouble is, seen over the run.

    One that was there at the start and went away weighs less, the sooner the less. One that came and went in training
    is only worth knowing.
    """
    if spell.at_end:
        return severity
    return "warning" if severity == "error" and spell.at_start and spell.share > BRIEF else "info"


@dataclass(frozen=True)
class Rule:
    """A check with a name.

    Attributes:
        id: what findings and verdicts call it; never changes.
        severity: of its findings at worst.
        title: one line.
        papers: where the trouble is described.
        check: the rule itself; its docstring is the long form of the message.
    """

    id: str
    severity: Severity
    title: str
    papers: tuple[str, ...]
    check: Callable[[Tables], Answer]

    @property
    def description(self) -> str:
        """The long form: what the rule looks at, what it means and what to do."""
        return inspect.getdoc(self.check) or ""
