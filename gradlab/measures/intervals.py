"""A mean over runs with its 95 % interval.

The interval is Student's: mean ± t(0.975, n − 1) · s / √n with the sample standard deviation s, n ≥ 2. In 95 % of
cases it covers the mean over all seeds, if runs are independent and roughly normally distributed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mean:
    """A mean over runs.

    Attributes:
        value: the mean; None where no run has the number.
        half_width: half the width of the 95 % interval; None for fewer than two runs.
        count: how many runs have the number. A diverged run, for example, has no final loss.
    """

    value: float | None
    half_width: float | None
    count: int


def mean_of(numbers: Sequence[float | None]) -> Mean:
    """The mean of the numbers that are there, with its 95 % interval."""
    values = [number for number in numbers if number is not None]
    n = len(values)
    if not n:
        return Mean(None, None, 0)
    if (size := max(map(abs, values))) > 1e150:  # squares would overflow
        scaled = mean_of([value / size for value in values])
        mean, half = scaled.value or 0.0, scaled.half_width
        return Mean(mean * size, None if half is None else half * size, n)
    mean = math.fsum(values) / n
    if n == 1:
        return Mean(mean, None, 1)
    from scipy.special import stdtrit

    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Mean(mean, float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n), n)
