"""A trial: a config with some remedies applied, and what its runs came to; and the proof that it is better."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.errors import ConfigError
from gradlab.measures.intervals import Mean, mean_of
from gradlab.tables import SEVERITIES, Finding, Severity

COUNTED: tuple[Severity, ...] = ("error", "warning")
"""Severities of what is to be repaired."""
LARGER_IS_BETTER: Mapping[str, bool] = {"test_accuracy": True, "test_loss": False}
"""The headline numbers by which a repair is measured; the first one that the runs have is taken."""


@dataclass(frozen=True)
class Outcome:
    """What one run came to.

    Attributes:
        status: that of its run folder.
        findings: its errors and warnings, causes first.
        numbers: its headline numbers.
        reason: why it failed, in a line; empty where it did not.
    """

    status: str
    findings: tuple[Finding, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Change:
    """A remedy, and the finding that it was the remedy of."""

    remedy: str
    finding: Finding

    @property
    def overrides(self) -> list[str]:
        """The settings of the remedy, `KEY=VALUE` each."""
        return self.remedy.split()


@dataclass(frozen=True)
class Trial:
    """A config with remedies applied, on every seed that it was run on.

    Attributes:
        changes: the remedies, in the order in which they came; none for the config as it was given.
        configs: its config on each seed, those that were run first.
        outcomes: what those runs came to.
    """

    changes: tuple[Change, ...]
    configs: tuple[Config, ...]
    outcomes: tuple[Outcome, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        """What was changed, by dotted key. Of two changes of one setting the later counts."""
        overrides = [override.partition("=") for change in self.changes for override in change.overrides]
        return {key: value for key, _, value in overrides}

    @property
    def remedies(self) -> str:
        """What was changed, as one types it; empty where nothing was."""
        return " ".join(f"{key}={value}" for key, value in self.settings.items())

    @property
    def finished(self) -> bool:
        """Whether it was run on every seed."""
        return len(self.outcomes) == len(self.configs)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all its runs, one a rule, causes first: from the first run that has it, at its worst."""
        worst: dict[str, Finding] = {}
        for finding in (finding for outcome in self.outcomes for finding in outcome.findings):
            if finding.rule not in worst or _rank(finding) < _rank(worst[finding.rule]):
                worst[finding.rule] = finding
        return tuple(worst.values())

    @property
    def failure(self) -> str:
        """Why a run of it failed; empty where none did."""
        return next((outcome.reason or "it failed" for outcome in self.outcomes if outcome.status == "failed"), "")

    @property
    def errors(self) -> int:
        """How many of its findings are errors; a run that failed counts as one more."""
        return sum(finding.severity == "error" for finding in self.findings) + bool(self.failure)

    def mean(self, measure: str) -> Mean:
        """A headline number, over its runs."""
        return mean_of([outcome.numbers.get(measure) for outcome in self.outcomes])


@dataclass(frozen=True)
class Proof:
    """What speaks for a trial, beside the runs that it is to repair.

    Attributes:
        left: the rules whose findings it should have removed and which are there still.
        come: rules whose findings are new, or worse than before, and as severe as the worst of what was to be removed.
        gain: the difference that it makes, paired by seed: in the test accuracy, or in the loss with the sign turned.
        runs: seeds on which it was compared.
    """

    left: tuple[str, ...]
    come: tuple[str, ...]
    gain: Mean
    runs: int

    @property
    def proven(self) -> bool:
        """Whether what was to be removed is gone, nothing as bad has come, and the gain's 95 % interval is above 0."""
        value, half = self.gain.value, self.gain.half_width
        better = value is not None and half is not None and value - half > 0
        return better and self.gain.count == self.runs and not self.left and not self.come

    @property
    def undecided(self) -> bool:
        """Whether more seeds might prove it: it has a gain, and nothing else speaks against it."""
        gains = self.gain.value is not None and self.gain.value > 0 and self.gain.count == self.runs
        return gains and not self.proven and not self.left and not self.come


def prove(before: Trial, after: Trial) -> Proof:
    """Compare a trial with what it changes, on the seeds on which both were run.

    Args:
        before: the runs with fewer changes: the config as it was given, or a repair that is proven already.
        after: the trial.
    """
    new = after.changes[len(before.changes) :]
    removed = {change.finding.rule for change in new}
    limit = min((_rank(change.finding) for change in new), default=0)
    was = {finding.rule: _rank(finding) for finding in before.findings}
    come = [
        finding.rule
        for finding in after.findings
        if _rank(finding) <= limit and finding.rule not in removed and _rank(finding) < was.get(finding.rule, limit + 1)
    ]
    if after.failure:
        come.append("failed")
    pairs = list(zip(before.outcomes, after.outcomes, strict=False))
    left = tuple(finding.rule for finding in after.findings if finding.rule in removed)
    return Proof(left, tuple(come), mean_of([_gain(*pair) for pair in pairs]), len(after.configs))


def measure_of(outcomes: Sequence[Outcome]) -> str:
    """The number by which these runs are compared: the first of `LARGER_IS_BETTER` that all of them have, or a loss."""
    for measure in LARGER_IS_BETTER:
        if all(measure in outcome.numbers for outcome in outcomes):
            return measure
    return "test_loss"


def _gain(before: Outcome, after: Outcome) -> float | None:
    measure = measure_of((before, after))
    old, new = before.numbers.get(measure), after.numbers.get(measure)
    if old is None or new is None or not (math.isfinite(old) and math.isfinite(new)):
        return None
    return new - old if LARGER_IS_BETTER[measure] else old - new


def next_trials(trial: Trial, seeds: int) -> list[Trial]:
    """A trial for each remedy of a trial's findings, causes first, to be run on so many seeds.

    A remedy that makes no config, such as one in words, is left out.
    """
    trials: dict[str, Trial] = {}
    for finding in trial.findings:
        for remedy in finding.remedies:
            change = Change(remedy, finding)
            try:
                configs = tuple(load_config(config, change.overrides) for config in trial.configs[:seeds])
            except ConfigError:
                continue
            trials.setdefault(configs[0].id, Trial((*trial.changes, change), configs))
    return list(trials.values())


def _rank(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)
