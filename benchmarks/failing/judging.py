"""Runs a failing training and its repair, and judges what gradlab and other tools say of them."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import gradlab
from failing.case import Failure
from failing.other_tools import Watcher, alarms
from failing.registry import CASES
from gradlab.tables import Finding

GRADLAB = "gradlab"
SEEN = 2
"""A cause counts as found if it is the first or the second finding that is a warning or an error."""


@dataclass(frozen=True)
class Look:
    """A training and what was said of it.

    Attributes:
        reached: what the training returned.
        findings: gradlab's, in order, information among them.
        others: for each other tool, what it reports.
    """

    reached: float
    findings: tuple[Finding, ...]
    others: Mapping[str, set[str]]

    @property
    def serious(self) -> list[Finding]:
        """Warnings and errors."""
        return [finding for finding in self.findings if finding.severity != "info"]


@dataclass(frozen=True)
class Judged:
    """A case with one seed.

    Attributes:
        name: the name of the case.
        seed: what the weights and data were drawn with.
        broken: the training that fails.
        repaired: the one that does not.
    """

    name: str
    seed: int
    broken: Look
    repaired: Look

    @property
    def case(self) -> Failure:
        """The case."""
        return CASES[self.name]

    @property
    def as_meant(self) -> bool:
        """Whether the one failed and the other worked."""
        return self.case.as_meant(self.broken.reached, self.repaired.reached)

    @property
    def verdict(self) -> str:
        """`right`, `partly` or `missed`: whether gradlab finds the cause, something else, or nothing."""
        return verdict(self.case, self.broken.serious)

    @property
    def false_alarms(self) -> list[Finding]:
        """What gradlab says of the repaired training, without what is tolerated."""
        return [finding for finding in self.repaired.serious if finding.rule not in self.case.tolerated]

    def verdict_of(self, tool: str) -> str:
        """The same of another tool; it need name neither module nor phase, and the order of its reports is free."""
        said = self.broken.others[tool]
        return "right" if said & set(self.case.right) else "partly" if said else "missed"


def verdict(case: Failure, serious: Sequence[Finding]) -> str:
    """`right`, `partly` or `missed`, given the warnings and errors in their order."""
    if any(_fits(case, finding) for finding in serious[:SEEN]):
        return "right"
    return "partly" if serious else "missed"


def _fits(case: Failure, finding: Finding) -> bool:
    named = not case.modules or any(_names(word, finding) for word in case.modules)
    return finding.rule in case.right and named and case.phase in finding.message.lower()


def _names(word: str, finding: Finding) -> bool:
    """Whether a finding names a module or a part of it; where it lists no modules, its message counts."""
    if finding.modules:
        return any(f".{word}." in f".{name}." for name in finding.modules)
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", finding.message) is not None


def look(case: Failure, *, repaired: bool, seed: int) -> Look:
    """Train, and ask everybody."""
    torch.manual_seed(seed)
    watches: list[Any] = []
    watchers: list[Watcher] = []

    def watch(model: Any, optimizer: Any) -> Any:
        optimizers = optimizer if isinstance(optimizer, list | tuple) else [optimizer]
        watchers.append(Watcher(model, optimizers))
        watches.append(gradlab.watch(model, optimizer, strict=True))
        return watches[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the broken ones do wrong, PyTorch warns
        try:
            reached = case.train(repaired, watch)
        finally:
            for watcher in watchers:
                watcher.close()
    findings = tuple(finding for each in watches for finding in each.diagnose())
    tables = [each.tables for each in watches]
    losses = [loss for each in tables for loss in each.steps["loss"].drop_nulls()]
    traces = [trace for watcher in watchers for trace in watcher.traces(losses, float(reached <= case.works))]
    return Look(reached, findings, alarms(traces, tables, watchers[0].rate))


def judged(case: Failure, seed: int) -> Judged:
    """Both trainings of a case."""
    return Judged(case.name, seed, look(case, repaired=False, seed=seed), look(case, repaired=True, seed=seed))
