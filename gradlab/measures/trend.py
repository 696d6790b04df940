"""The course of a loss against its own noise: whether it fell, rose, or did neither as far as anybody can tell."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from gradlab.measures.profiles import Floats

BEGINNING = 5
"""Records whose median is the loss at the start. More would miss a loss that falls at once, fewer are noise."""
WINDOWS = 10
"""The course is cut into so many windows; each stands for its median."""
ERRORS = 3.0
"""A difference of so many standard errors is no accident; from the start, which is a median of few, 2 are enough to say
that a loss has fallen."""
MATTERS = 0.05
"""A loss that changes by a smaller share of its start than this has not changed."""


@dataclass(frozen=True)
class Trend:
    """The course of a loss.

    Attributes:
        start: median of the first `BEGINNING` records.
        first: the median of the first window.
        lowest: the lowest median of a window.
        end: the median of the last window.
        error: standard error of the difference between two windows.
        start_error: standard error of the difference between the start and a window.
        records: how many records there are.
    """

    start: float
    first: float
    lowest: float
    end: float
    error: float
    start_error: float
    records: int

    @property
    def fell(self) -> bool:
        """Whether the loss was clearly lower for a while than at the start, or in the first window."""
        return self.start - self.lowest > max(2 * self.start_error, MATTERS * abs(self.start)) or (
            self.first - self.lowest > max(ERRORS * self.error, MATTERS * abs(self.first))
        )

    @property
    def rose(self) -> bool:
        """Whether the loss is clearly higher at the end than it was at the start."""
        return self.end - self.start > max(ERRORS * self.start_error, MATTERS * abs(self.start))

    @property
    def certain(self) -> bool:
        """Whether the noise would let a change be seen that matters."""
        return self.error <= MATTERS * abs(self.first)


def trend(losses_T: Floats) -> Trend | None:
    """The trend of a loss, over its finite values; None for fewer than two windows' worth of records.

    The noise is taken from the differences of neighbours, which a slow trend does not change: their median absolute
    deviation, made a standard deviation (× 1.4826) of single losses (÷ √2). A median of n values has the standard error
    √(π/2) σ/√n.
    """
    values_T = losses_T[np.isfinite(losses_T)]
    if len(values_T) < 2 * BEGINNING:
        return None
    steps_T = np.diff(values_T)
    sigma = 1.4826 * float(np.median(np.abs(steps_T - np.median(steps_T)))) / sqrt(2)
    length = max(BEGINNING, len(values_T) // WINDOWS)
    windows = [values_T[end - length : end] for end in range(len(values_T), length - 1, -length)]
    medians = [float(np.median(window)) for window in windows]
    return Trend(
        start=float(np.median(values_T[:BEGINNING])),
        first=float(np.median(values_T[:length])),
        lowest=min(medians),
        end=medians[0],
        error=sqrt(np.pi / 2) * sigma * sqrt(2 / length),
        start_error=sqrt(np.pi / 2) * sigma * sqrt(1 / BEGINNING + 1 / length),
        records=len(values_T),
    )
