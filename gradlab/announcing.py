"""Findings while a model trains: each new one is handed on and logged, at moments that cost the training little."""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from gradlab.text import printable

if TYPE_CHECKING:
    from gradlab.tables import Finding

FIRST = (1, 14, 50)
"""Records after which the training is diagnosed first: the untrained network, and after units were looked at."""
GROWTH = 1.5
"""Then each time that there are so many times as many records."""
SHARE = 0.05
"""Diagnoses take at most this share of the time; one that comes too early is left out."""

logger = logging.getLogger("gradlab")
LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}

RANKS = {"info": 1, "warning": 2, "error": 3}
"""Severities as numbers, for loggers of numbers."""


class Announcer:
    """Hands on each new finding once: a rule that finds something, or something worse than before.

    Args:
        on_finding: is called with each new finding; None where nobody asked for them.
    """

    def __init__(self, on_finding: "Callable[[Finding], object] | None") -> None:
        self._on_finding = on_finding
        self._said: set[tuple[str, str]] = set()
        self._records = 0
        self._next = FIRST[0]
        self._cost = 0.0
        self._ended = perf_counter()
        self._not_finite = False

    @property
    def wanted(self) -> bool:
        """Whether anybody hears of findings: a function, or a log that shows information."""
        return self._on_finding is not None or logger.isEnabledFor(logging.INFO)

    def is_due(self, *, finite: bool) -> bool:
        """Whether the training is to be diagnosed now; asked once after each record.

        Args:
            finite: whether the loss of the record is finite, as far as that is known without waiting for a device.
        """
        self._records += 1
        if not self.wanted:
            return False
        if not finite and not self._not_finite:
            self._not_finite = True
            return True
        if self._records < self._next:
            return False
        later = (moment for moment in FIRST if moment > self._records)
        self._next = next(later, int(GROWTH * self._records) + 1)
        return self._cost <= SHARE * (perf_counter() - self._ended)

    def announce(self, diagnose: "Callable[[], list[Finding]]") -> None:
        """Diagnose, and hand on what is new.

        Raises:
            StopTraining: `on_finding` has raised it; whatever else it raises is raised, too.
        """
        start = perf_counter()
        new = [each for each in diagnose() if (each.rule, each.severity) not in self._said]
        self._ended = perf_counter()
        self._cost = self._ended - start
        for finding in new:
            self._said.add((finding.rule, finding.severity))
            logger.log(LEVELS[finding.severity], "%s: %s", finding.rule, printable(finding.message))
            if self._on_finding is not None:
                self._on_finding(finding)
