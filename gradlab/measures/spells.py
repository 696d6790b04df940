"""When a trouble was there: noise taken out of a course over time, and the first and the last step that show it.

Suffix T: recorded steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gradlab.measures.profiles import Flags, Floats, Numbers

WINDOW = 5
"""Records in a running median: the fewest that outvote two noisy ones."""


def smooth(values_T: Floats) -> Floats:
    """Centred running median over `WINDOW` records that passes over what is not finite; the first value stays.

    The first record is the network as it was initialized: no noise of training to outvote, and rules tell trouble
    that was there at the start from trouble that came.
    """
    if not len(values_T):
        return values_T
    padded = np.pad(np.where(np.isfinite(values_T), values_T, np.nan), WINDOW // 2, constant_values=np.nan)
    windows = np.sort(sliding_window_view(padded, WINDOW), axis=1)  # NaN last
    n_T = np.isfinite(windows).sum(1)
    rows = np.arange(len(values_T))
    medians = (windows[rows, np.maximum(n_T - 1, 0) // 2] + windows[rows, n_T // 2]) / 2
    medians[0] = values_T[0]
    return np.asarray(medians)


def lasting(values_T: Floats, threshold: float, cured: float) -> Flags:
    """Where a trouble is there: from a value of `threshold` or more until one below `cured`.

    Two limits, so that a value that creeps along the threshold is neither cured nor ill again at every step. NaN
    changes nothing.
    """
    present_T = np.zeros(len(values_T), dtype=bool)
    present = False
    for t, value in enumerate(values_T):
        present = bool(value >= threshold or (present and not value < cured))
        present_T[t] = present
    return present_T


@dataclass(frozen=True)
class Spell:
    """When a trouble was there. As a string it ends a sentence about it.

    Attributes:
        first: first step that shows it.
        last: last step that shows it.
        at_start: whether the first record shows it.
        at_end: whether the last record shows it.
        share: share of the records that show it.
        records: number of records looked at.
        quote: index of the record to quote: the first one if it shows the trouble, else the worst or last that does.
    """

    first: int
    last: int
    at_start: bool
    at_end: bool
    share: float
    records: int
    quote: int

    @property
    def steps(self) -> tuple[int, int]:
        """First and last step that show it."""
        return self.first, self.last

    def __str__(self) -> str:
        if self.records == 1:
            return f"in step {self.first}"
        if self.at_start and self.at_end:
            return "from the first recorded step to the last"
        if self.at_start:
            return f"at the start; gone after step {self.last}"
        if self.at_end:
            return f"not at the start, but since step {self.first}"
        return (
            f"in step {self.first} only" if self.first == self.last else f"from step {self.first} to {self.last} only"
        )


def spell(steps_T: Numbers, present_T: Flags, badness_T: Floats | None = None) -> Spell | None:
    """When a trouble was there; None where it never was.

    Args:
        steps_T: the recorded steps.
        present_T: whether each shows it.
        badness_T: how badly; the worst record is quoted for a trouble that came in training, else the last one.
    """
    shown = np.flatnonzero(present_T)
    if not len(shown):
        return None
    weight_T = np.arange(len(steps_T)) if badness_T is None else np.nan_to_num(badness_T, nan=-np.inf)
    return Spell(
        first=int(steps_T[shown[0]]),
        last=int(steps_T[shown[-1]]),
        at_start=bool(present_T[0]),
        at_end=bool(present_T[-1]),
        share=float(present_T.mean()),
        records=len(steps_T),
        quote=0 if present_T[0] else int(shown[np.argmax(weight_T[shown])]),
    )
