"""`range(0, 10)`, `linspace(0, 1, 5)` and `logspace(-4, -1, 7)` in a sweep file. They are parsed; no code is run."""

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)


@dataclass(frozen=True)
class Range:
    """Evenly spaced values that have not been made yet.

    Attributes:
        count: how many values there are.
        values: makes the values.
    """

    count: int
    values: Callable[[], Iterator[float]]


def parse_range(text: str) -> Range | None:
    """Parse a range that is written as a call.

    Args:
        text: such as `logspace(-4, -1, 7)`.

    Returns:
        The range; None where the text is no call of a range.

    Raises:
        ValueError: the text calls a range with arguments that it does not take.

    Examples:
        >>> list(parse_range("logspace(-2, 1, 4)").values())
        [0.01, 0.1, 1.0, 10.0]
    """
    call = _CALL.fullmatch(text)
    if call is None or call[1] not in RANGES:
        return None
    try:
        arguments = ast.literal_eval(f"({call[2]},)")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        arguments = ()
    if not arguments or not all(isinstance(number, int | float) for number in arguments):
        raise ValueError(f"{text.strip()} must be {USAGE[call[1]]}, in numbers")
    try:
        return RANGES[call[1]](*arguments)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{text.strip()} must be {USAGE[call[1]]}") from None


def _range(*arguments: int) -> Range:
    numbers = range(*arguments)
    return Range(max(0, -((numbers.start - numbers.stop) // numbers.step)), lambda: iter(numbers))


def _linspace(start: float, stop: float, count: int) -> Range:
    if count != int(count) or count < 1 or not (math.isfinite(start) and math.isfinite(stop)):
        raise ValueError
    return Range(int(count), lambda: map(_clean, _spaced(start, stop, int(count))))


def _logspace(start: float, stop: float, count: int) -> Range:
    if not all(abs(end) < 308 for end in (start, stop)):  # beyond, float64 is infinite or loses digits
        raise ValueError
    return Range(
        _linspace(start, stop, count).count, lambda: (_clean(10.0**x) for x in _spaced(start, stop, int(count)))
    )


def _spaced(start: float, stop: float, count: int) -> Iterator[float]:
    return (start + (stop - start) * index / max(count - 1, 1) for index in range(count))


def _clean(number: float) -> float:
    """A number rounded to twelve digits, so that `logspace` gives 0.01 and not 0.010000000000000002."""
    return float(f"{number:.12g}")


RANGES: Mapping[str, Callable[..., Range]] = {"range": _range, "linspace": _linspace, "logspace": _logspace}
USAGE: Mapping[str, str] = {
    "range": "range(stop), range(start, stop) or range(start, stop, step) of whole numbers",
    "linspace": "linspace(first, last, count)",
    "logspace": "logspace(first exponent, last exponent, count), of powers of ten",
}
"""How each range is written."""
EXAMPLES = "range(0, 10), linspace(0, 1, 5) or logspace(-4, -1, 7)"
