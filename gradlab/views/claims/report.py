"""A verdict in words: for the terminal, for JSON, and as a part of a page."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from rich.console import Console
from rich.text import Text

from gradlab.claims.claim import Expectation
from gradlab.claims.judging import Judgement, Verdict
from gradlab.measures.intervals import Mean
from gradlab.text import written

COLOURS = {"holds": "green", "fails": "bold red", "undecided": "yellow"}
INDENT = " " * 13
GLUE = "\xa0"
"""A blank at which no line is broken."""


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print every expectation with what was measured, then the verdict; lines are broken to the console's width."""
    _print(f"claim: {verdict.claim.title}", console, "", style="bold")
    for judged in verdict.judgements:
        limit = "limit: " if judged.expectation.role == "condition" else ""
        found = f"{measured_words(judged)}, expected {bound_words(judged.expectation)}"
        outcome = f"  {judged.outcome:{len(INDENT) - 4}}  "
        _print(f"{outcome}{limit}{judged.expectation.says}", console, INDENT, first=(COLOURS[judged.outcome], outcome))
        _print(f"{INDENT}{measure_words(judged.expectation)}", console, INDENT, style="dim")
        _print(f"{INDENT}{found}", console, INDENT)
    _print(f"verdict: {verdict_words(verdict)}", console, "", style="bold")


def _print(text: str, console: Console, indent: str, style: str = "", first: tuple[str, str] = ("", "")) -> None:
    """Print a paragraph whose lines after the first are indented; `first` is a style and the beginning that has it."""
    glued = re.sub(" (?=[±…])|(?<=[±…<>]) ", GLUE, text)  # a number stays with its interval, a bound with its sign
    broken = textwrap.fill(
        glued, console.width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    words = Text(broken.replace(GLUE, " "), style)
    words.stylize(first[0], 0, len(first[1]))
    console.print(words, soft_wrap=True, highlight=False)


def verdict_words(verdict: Verdict) -> str:
    """The verdict, with its conditions."""
    conditions = verdict.conditions if verdict.confirmed else ()
    return f"{verdict.word}: {'; '.join(conditions)}" if conditions else verdict.word


def measure_words(expectation: Expectation) -> str:
    """What is measured, of which runs, beside which."""
    words = str(expectation.measure)
    if expectation.of:
        words += f"; {settings_words(expectation.of)}"
    if expectation.minus:
        words += f"; less that with {settings_words(expectation.minus)}"
    if expectation.over:
        words += f"; over that with {settings_words(expectation.over)}"
    return words


def measured_words(judged: Judgement) -> str:
    """What was measured, and in which configuration where there are several."""
    words = f"measured {mean_words(judged.mean)}"
    some = f"{judged.mean.count} of " if judged.mean.count < judged.seeds else ""
    words += f" ({some}{judged.seeds} seeds)"
    if judged.configurations > 1:
        worst = "the worst" if judged.outcome != "holds" else "the nearest to failing"
        words += f" in {worst} of {judged.configurations} configurations, {settings_words(judged.settings)}"
    return words


def mean_words(mean: Mean) -> str:
    """`0.931 ± 0.012`: as many digits as the interval deserves."""
    if mean.value is None:
        return "nothing"
    if mean.half_width is None:
        return f"{mean.value:.3g}".replace("-", "−")
    places = _places(mean.half_width, mean.value)
    if places is None:
        return f"{mean.value:.2e} ± {mean.half_width:.1e}".replace("-", "−")
    return f"{mean.value:z.{places}f} ± {mean.half_width:.{places}f}".replace("-", "−")


def _places(half_width: float, value: float) -> int | None:
    """Decimals to write, more of them where the interval would else look like none; None where powers of ten do."""
    size = max(abs(value), half_width)
    if size and not 1e-3 <= size < 1e6:
        return None
    places = 0 if size >= 1000 else 1 if size >= 100 else 3
    while places < 6 and 0 < half_width < 2 * 10.0**-places:
        places += 1
    return places


def bound_words(expectation: Expectation) -> str:
    """`> 0.3`, `< −1`, `−0.02 … 0.02`."""
    if expectation.above is None:
        text = f"< {expectation.below:g}"
    elif expectation.below is None:
        text = f"> {expectation.above:g}"
    else:
        text = f"{expectation.above:g} … {expectation.below:g}"
    return text.replace("-", "−")


def settings_words(settings: Mapping[str, Any]) -> str:
    """`model.depth=30, model.activation=relu|elu`."""
    return ", ".join(
        f"{key}={'|'.join(map(_value, value)) if isinstance(value, list) else _value(value)}"
        for key, value in settings.items()
    )


def _value(value: Any) -> str:
    """A value; of what is chosen by name, `normal (std=0.01)`."""
    if not isinstance(value, Mapping):
        return written(value)
    options = ", ".join(f"{key}={written(option)}" for key, option in value.items() if key != "name")
    return f"{written(value.get('name'))} ({options})" if options else written(value.get("name"))


def as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain JSON types."""
    return {
        "title": verdict.claim.title,
        "verdict": verdict.word,
        "conditions": verdict.conditions,
        "expectations": [
            {
                "says": judged.expectation.says,
                "role": judged.expectation.role,
                "measure": measure_words(judged.expectation),
                "expected": bound_words(judged.expectation),
                "outcome": judged.outcome,
                "mean": judged.mean.value,
                "half_width": _finite(judged.mean.half_width),
                "runs": judged.mean.count,
                "seeds": judged.seeds,
                "configurations": judged.configurations,
                "settings": {key: _plain(value) for key, value in judged.settings.items()},
                "measured": mean_words(judged.mean),
            }
            for judged in verdict.judgements
        ],
    }


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
