"""Numbers, durations, settings and names as text: the only place that decides how they are written.

    numbers    compact · same_decimals · three_digits · percent · log10_text · power_of_ten · factor_text
    means      mean_and_interval
    time       clock · duration · seconds_text
    settings   setting_text · settings_text · wanted_text
    names      first_of · tally · counted · layers_text · modules_text · shortened
    lines      dotted · one_line · separated
    JSON       strict_json · json_text
    foreign    printable

Nothing here knows what a number or a name is about.

What a file of somebody else says reaches a terminal through `printable` only: it may hold sequences that a terminal
obeys, and characters that turn the direction of what follows.
"""

import json
import math
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

ABSENT = "–"
"""Stands for a number that is missing."""
MINUS = "−"
"""The sign of negative numbers in sentences and pictures. Tables have a hyphen, so that a number can be pasted."""

MODULES = 4
"""Names of modules in a sentence, where there are two or more that it does not name."""

# ------------------------------------------------------------------------------------------------------------- numbers


def compact(value: float | None, decimals: int | None = None) -> str:
    """A number for a table, in at most eight characters: three significant digits, or powers of ten with one or two.

    Args:
        value: the number; None is missing.
        decimals: at most so many decimals, unless nothing but zeros would be left.

    Examples:
        >>> [compact(value) for value in (0.0, 1.234e-34, 0.01234, 12.34, 1234.0, float("nan"), None)]
        ['0', '1.2e-34', '0.0123', '12.3', '1234', 'nan', '–']
        >>> [compact(value, decimals=2) for value in (0.001234, 0.01234, 12.34)]
        ['0.00123', '0.01', '12.3']
    """
    if value is None:
        return ABSENT
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}".replace("-0", "0")
    size = abs(value)
    if not 1e-3 <= size < 9999.5:
        mantissa, exponent = f"{value:.{0 if size < 1e-99 or size >= 1e100 else 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    needed = max(0, 2 - math.floor(math.log10(size)))
    return f"{value:.{needed if decimals is None or size < 10.0**-decimals else min(needed, decimals)}f}"


def three_digits(value: float) -> str:
    """A number for a title, with three significant digits: `−0.012`, `1.2e-14`."""
    return f"{MINUS if value < 0 else ''}{abs(value):.3g}"


def percent(share: float | None) -> str:
    """A share in at most four characters. A share just above 0 or just below 1 is not rounded to 0% or 100%.

    Examples:
        >>> [percent(share) for share in (0.0, 0.001, 0.5, 0.999, 1.0, None)]
        ['0%', '<1%', '50%', '>99%', '100%', '–']
    """
    if share is None:
        return ABSENT
    if not math.isfinite(share):
        return compact(share)
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def log10_text(value: float | None) -> str:
    """The decimal logarithm of a number, with one decimal: `-3.0`; `-∞` for 0."""
    if value == 0:
        return "-∞"
    if value is None or not (math.isfinite(value) and value > 0):
        return compact(value)
    return f"{math.log10(value):.1f}"


def same_decimals(numbers: Sequence[float], decimals: int | None = None) -> list[str]:
    """Numbers with the same number of decimals. What is rounded to zero has no sign.

    Args:
        numbers: the numbers.
        decimals: how many decimals; by default three significant digits for the largest number, and three decimals at
            most. Numbers that are then too long or too small for that are written by `compact`.
    """
    if decimals is None:
        size = max(map(abs, numbers), default=0.0)
        if size >= 9999.5 or 0 < size < 1e-3:
            return [compact(number) for number in numbers]
        decimals = min(max(2 - math.floor(math.log10(size)), 0), 3) if size else 0
    return [f"{number:z.{decimals}f}" for number in numbers]


def power_of_ten(exponent: float) -> str:
    """10 to some power with two significant digits, also where that is too large or small for a float: `1e400`."""
    return f"{float(f'{10**exponent:.2g}'):g}" if abs(exponent) < 4 else f"1e{exponent:.0f}"


def factor_text(decades: float) -> str:
    """A change by so many decades as a factor: `÷ 4.3` for −0.63, `× 1.05` for 0.02."""
    if not math.isfinite(decades):
        return ABSENT
    factor = 10 ** abs(decades) if abs(decades) < 4 else math.inf
    size = f"{factor:.2f}" if factor < 1.1 else f"{factor:.1f}" if factor < 9.95 else power_of_ten(abs(decades))
    return f"{'÷' if decades < 0 else '×'} {size}"


def mean_and_interval(value: float | None, half_width: float | None) -> str:
    """A mean with as many digits as its interval deserves: `0.931 ± 0.012`.

    Args:
        value: the mean; None where no run has the number.
        half_width: half the width of its 95 % interval; None for a single run.
    """
    if value is None:
        return "nothing"
    if half_width is None:
        text = f"{value:.3g}"
    else:
        decimals = _decimals_of_interval(value, half_width)
        if decimals is None:
            text = f"{value:.2e} ± {half_width:.1e}"
        else:
            text = " ± ".join(same_decimals([value, half_width], decimals))
    return text.replace("-", MINUS)


def _decimals_of_interval(value: float, half_width: float) -> int | None:
    """Decimals of a mean: more of them where the interval would else be written as 0; None for powers of ten."""
    size = max(abs(value), half_width)
    if size and not 1e-3 <= size < 1e6:
        return None
    decimals = 0 if size >= 1000 else 1 if size >= 100 else 3
    while decimals < 6 and 1e-12 * size < half_width < 2 * 10.0**-decimals:  # less is rounding: all runs agree
        decimals += 1
    return decimals


# ---------------------------------------------------------------------------------------------------------------- time


def clock(seconds: float) -> str:
    """A duration as a clock shows it: `0:01:40`."""
    return str(timedelta(seconds=round(seconds)))


def duration(seconds: float) -> str:
    """A duration in a sentence: `100 s`, `5 minutes`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def seconds_text(seconds: float) -> str:
    """Seconds as they were measured: `0.04 s`, `2.5 s`, `140 s`."""
    return f"{seconds:.{2 if seconds < 1 else 1 if seconds < 100 else 0}f} s"


def bytes_text(size: float) -> str:
    """A number of bytes as one would say it: 3.2 GB."""
    units = {"PB": 1e15, "TB": 1e12, "GB": 1e9, "MB": 1e6}
    return next((f"{size / unit:,.3g} {name}" for name, unit in units.items() if size >= unit), f"{size:,.0f} bytes")


# ------------------------------------------------------------------------------------------------------------ settings


def setting_text(value: Any, *, exact: bool = False) -> str:
    """The value of a setting as a config has it: `null`, `true`, `[5, 3]`, `{name: elu, alpha: 0.5}`.

    Args:
        value: the value.
        exact: write floats with all their digits, as a file needs them, instead of six.
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {setting_text(item, exact=exact)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(setting_text(item, exact=exact) for item in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) and not exact else str(value)


def settings_text(settings: Mapping[str, Any], separator: str = " ", *, exact: bool = False) -> str:
    """Settings as one types them: `model.depth=5 seed=0`."""
    return separator.join(f"{key}={setting_text(value, exact=exact)}" for key, value in settings.items())


def wanted_text(wanted: Mapping[str, Any]) -> str:
    """Settings that runs must have: `model.depth=30, model.activation=relu|elu`, where a list means any of its values.

    A mapping is a choice by name with some of its options: `normal (std=0.01)`.
    """
    words = []
    for key, value in wanted.items():
        values = value if isinstance(value, list) else [value]
        words.append(f"{key}={'|'.join(map(_choice_text, values))}")
    return ", ".join(words)


def _choice_text(value: Any) -> str:
    if not isinstance(value, Mapping):
        return setting_text(value)
    name = setting_text(value.get("name"))
    options = settings_text({key: option for key, option in value.items() if key != "name"}, ", ")
    return f"{name} ({options})" if options else name


# --------------------------------------------------------------------------------------------------------------- names


def first_of(items: Iterable[object]) -> str:
    """The first ten of some items, and how many there are: `a, b, … (12 in all)`."""
    words = [str(item) for item in items]
    return ", ".join(words[:10]) + (f", … ({len(words)} in all)" if len(words) > 10 else "")


def tally(counts: Mapping[str, int]) -> str:
    """How many there are of each: `20 completed, 1 diverged`."""
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def counted(count: int, noun: str) -> str:
    """A number of things: `1 run`, `2 runs`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def layers_text(layers: Sequence[int]) -> str:
    """Layer numbers, with neighbours as a range: `layer 3`, `layers 0–4, 7`."""
    ranges: list[list[int]] = []
    for layer in layers:
        if ranges and layer == ranges[-1][-1] + 1:
            ranges[-1].append(layer)
        else:
            ranges.append([layer])
    words = [f"{found[0]}–{found[-1]}" if len(found) > 1 else f"{found[0]}" for found in ranges]
    return f"layer{'' if len(layers) == 1 else 's'} {', '.join(words)}"


def modules_text(modules: Sequence[str]) -> str:
    """Names of modules: `` `a` ``, `` `a` and `b` ``, `` `a`, `b`, `c` and 7 more ``; the whole model has no name."""
    words = [f"`{one_line(name)}`" if name else "the model" for name in modules]
    if len(words) > MODULES + 1:
        words = [*words[:MODULES], f"{len(words) - MODULES} more"]
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def shortened(name: str, width: int) -> str:
    """A name in so many characters: a long one without its middle. The end says most, so that more of it is kept."""
    line = one_line(name)
    if len(line) <= width:
        return line
    start = max(0, (width - 1) // 3)
    return f"{line[:start]}…{line[len(line) - (width - 1 - start) :]}"


# --------------------------------------------------------------------------------------------------------------- lines


def dotted(path: Sequence[str | int]) -> str:
    """A path of keys as one types it: `model.depth`."""
    return one_line(".".join(map(str, path)))


def one_line(text: str) -> str:
    """Text with its line breaks spelled out: a problem is one line, whatever it quotes."""
    return text if text.isprintable() else repr(text)[1:-1]


def printable(text: str) -> str:
    """Text that a terminal shows and does not obey: a visible character for each that commands it.

    Control characters become their pictures (`␛` for the one that begins a command). Those of the upper half, those
    that turn the direction of writing, and those that nobody sees become `�`. Line breaks stay. The text keeps its
    length.
    """
    return text if text.isprintable() else text.translate(_SHOWN)


class _Shown(dict[int, int | str]):
    """What is shown for a character, by its number."""

    def __missing__(self, number: int) -> int | str:
        self[number] = shown = _shown(number)
        return shown


def _shown(number: int) -> int | str:
    if number == 0x7F:
        return "␡"
    if number < 0x20:
        return "\n" if number == 0x0A else chr(0x2400 + number)
    obeyed = unicodedata.category(chr(number)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "�" if obeyed and number not in _JOINERS else number


_JOINERS = (0x200C, 0x200D)
"""They join and part letters in Persian, Hindi and others, and the parts of emoji."""
_SHOWN = _Shown()


def separated(parts: Iterable[str], width: int) -> str:
    """Parts with `·` between them, in lines of a width. A line is broken between parts, unless a part is wider."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines += textwrap.wrap(part, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(filter(None, lines))


def strict_json(value: Any) -> Any:
    """A value in the types of strictly valid JSON: NaN and infinities become None, tuples become lists."""
    if isinstance(value, Mapping):
        return {key: strict_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(data: Any) -> str:
    """Strictly valid JSON in lines; a character that a terminal would obey is written as its number."""
    text = json.dumps(strict_json(data), indent=2, ensure_ascii=False, allow_nan=False)
    if text.isprintable():
        return text
    return "".join(character if printable(character) == character else _escape(character) for character in text)


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]
