"""Numbers, names and settings as text: the only place where they are written."""

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

ABSENT = "–"
"""What stands for a number that is not there."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'relu'?` if a choice is close to the word, else nothing."""
    lowered = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""


def dotted(path: Sequence[str | int]) -> str:
    """A path of keys as one types it: `model.depth`."""
    return one_line(".".join(map(str, path)))


def one_line(text: str) -> str:
    """Text with its line breaks spelled out: a problem is one line, whatever it quotes."""
    return text if text.isprintable() else repr(text)[1:-1]


def written(value: Any) -> str:
    """A setting as a config would have it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def join(parts: Iterable[str], width: int) -> str:
    """Parts with dots between them, broken between parts only."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return "\n".join(lines)


def compact(value: float | None) -> str:
    """A number in at most eight characters, with one to three digits that count.

    Examples:
        >>> [compact(value) for value in (0.0, 1.234e-34, 0.01234, 12.34, 1234.0, float("nan"), None)]
        ['0', '1.2e-34', '0.0123', '12.3', '1234', 'nan', '–']
    """
    if value is None:
        return ABSENT
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}".replace("-0", "0")
    size = abs(value)
    if not 1e-3 <= size < 9999.5:
        mantissa, exponent = f"{value:.{0 if size < 1e-99 or size >= 1e100 else 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"


def percent(share: float | None) -> str:
    """A share in at most four characters; what is not quite nothing or all does not look like it."""
    if share is None:
        return ABSENT
    if not math.isfinite(share):
        return compact(share)
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def number(value: float) -> str:
    """A number in a title."""
    return f"{value:.3g}".replace("-", "−") if value < 0 else f"{value:.3g}"
