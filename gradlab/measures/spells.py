"""When a run showed a trouble: courses over time without noise, and the first and last step that show the trouble.

Suffix T: recorded steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gradlab.measures.profiles import Flags, Floats, Numbers

WINDOW = 5
"""Records in a running median: the smallest number in which two noisy records are outvoted."""


def smooth(values_T: Floats) -> Floats:
    """The centred running median over `WINDOW` records; values that are not finite are left out of it.

    The first value is not changed. It belongs to the network as it was initialized, before training made any noise; and
    rules distinguish trouble at the start from trouble that came later.
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
    """Where a trouble is present: from a value of `threshold` or more until a value below `cured`.

    With two limits, a value that stays near the threshold does not come and go with every step. NaN changes nothing.
    """
    present_T = np.zeros(len(values_T), dtype=bool)
    present = False
    for t, value in enumerate(values_T):
        present = bool(value >= threshold or (present and not value < cured))
        present_T[t] = present
    return present_T


@dataclass(frozen=True)
class Spell:
    """The time in which a run showed a trouble. As a string it is the end of a sentence: `…, since step 20`.

    Attributes:
        first: the first step that shows the trouble.
        last: the last step that shows it.
        at_start: whether the first record shows it.
        at_end: whether the last record shows it.
        share: share of the records that show it.
        records: number of records in all.
        quote: index of the record whose numbers a message quotes: the first record if it shows the trouble, else the
            worst or the last record that does.
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
        """The first and the last step that show the trouble."""
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
    """The time in which a run showed a trouble; None where it never did.

    Args:
        steps_T: the recorded steps.
        present_T: whether each step shows the trouble.
        badness_T: how bad it is in each step. For trouble that came in training, the worst record is quoted; without
            this argument, the last one.
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
