"""From a run's tables to its findings and its verdict."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl

from gradlab.config import Config
from gradlab.diagnosis.causes import in_causal_order
from gradlab.diagnosis.rule import Answer, NotApplicable, Rule
from gradlab.diagnosis.rules import RULES
from gradlab.tables import HEALTHY, UNKNOWN, Finding, Source, Tables, verdict_of

VITAL = ("vanishing-gradient", "stalled-loss")
"""If none of these rules can judge a run, nothing is known of its health: neither whether the gradient signal reaches
the first layers, nor whether anything is learned. If one of them has seen too little, it is too early to say."""


class Diagnosis(NamedTuple):
    """What the rules say of a run.

    Attributes:
        findings: what is wrong, in the order of causes.
        not_judged: the rules that had nothing to say, and why.
        verdict: the rule of the worst finding, `healthy`, or `unknown` where nothing can be said.
    """

    findings: list[Finding]
    not_judged: Mapping[str, str]
    verdict: str


def examine(tables: Tables, *, trusted: bool = True) -> dict[str, Answer]:
    """The answer of every rule about a run, by id: its findings, or why it does not apply.

    Args:
        tables: a run's tables, complete or cut off.
        trusted: whether gradlab itself has just recorded them. Of a folder nobody knows who wrote it: a rule that fails
            on numbers that no training measures cannot judge them, and the others still can.
    """
    with np.errstate(all="ignore"):  # NaN and infinity are what a diverged network measures
        return {id: (rule.check if trusted else partial(_safely, rule))(tables) for id, rule in RULES.items()}


def _safely(rule: Rule, tables: Tables) -> Answer:
    try:
        return rule.check(tables)
    except (Exception, pl.exceptions.PanicException) as error:
        return NotApplicable(f"it cannot judge what is in these tables: {type(error).__name__}: {error}")


def judge(tables: Tables, *, trusted: bool = True) -> Diagnosis:
    """Examine a run, and put together what the rules say.

    Args:
        tables: a run's tables, complete or cut off.
        trusted: whether gradlab itself has just recorded them.
    """
    answers = examine(tables, trusted=trusted)
    not_judged = {id: answer.reason for id, answer in answers.items() if isinstance(answer, NotApplicable)}
    found = [finding for answer in answers.values() if not isinstance(answer, NotApplicable) for finding in answer]
    findings = in_causal_order(found, list(RULES))
    verdict = verdict_of(findings)
    vital = [answer for id in VITAL if isinstance(answer := answers[id], NotApplicable)]
    if verdict == HEALTHY and (len(vital) == len(VITAL) or any(answer.too_early for answer in vital)):
        verdict = UNKNOWN
    return Diagnosis(findings, not_judged, verdict)


def diagnose(tables: Tables) -> list[Finding]:
    """What is wrong with a run, in the order of causes.

    Args:
        tables: a run's tables, complete or cut off.

    Returns:
        The findings of all rules; empty for a run that nothing is wrong with, or of which nothing can be said.
    """
    return judge(tables).findings


class Diagnosed(Source):
    """A source of tables whose findings are those of today's rules, instead of findings that were written down.

    Args:
        source: the source of everything else.
        trusted: whether gradlab itself has just recorded its tables.
    """

    def __init__(self, source: Source, *, trusted: bool = True) -> None:
        self._source = source
        self._trusted = trusted
        self._diagnosis: tuple[Tables, Diagnosis] | None = None

    def table(self, name: str) -> pl.DataFrame:
        """A table of the source."""
        return self._source.table(name)

    def config(self) -> Config | None:
        """The config of the source."""
        return self._source.config()

    def problems(self) -> Sequence[str]:
        """What the source says could not be written or read."""
        return self._source.problems()

    def findings(self, tables: Tables) -> list[Finding]:
        """What the rules find."""
        return self._judged(tables).findings

    def verdict(self, tables: Tables) -> str:
        """The findings in a word."""
        return self._judged(tables).verdict

    def not_judged(self, tables: Tables) -> Mapping[str, str]:
        """The rules that had nothing to say, and why."""
        return self._judged(tables).not_judged

    def _judged(self, tables: Tables) -> Diagnosis:
        if self._diagnosis is None or self._diagnosis[0] is not tables:
            self._diagnosis = tables, judge(tables, trusted=self._trusted)
        return self._diagnosis[1]
