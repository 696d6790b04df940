"""The verdict on a claim in words: for the terminal, for JSON, and for the pages of the documentation."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from gradlab.claims.claim import Expectation
from gradlab.claims.judging import PARTLY, Judgement, Verdict
from gradlab.text import MINUS, mean_and_interval, strict_json, wanted_text

COLOURS = {"holds": "green", "fails": "bold red", "undecided": "yellow"}
INDENT = " " * 13
GLUE = "\xa0"
"""A blank at which lines are not broken."""


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print every expectation with what was measured, then the verdict, in lines of the console's width."""
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
    """Print a paragraph.

    Args:
        text: the paragraph.
        console: where to.
        indent: indentation of all lines but the first.
        style: style of the text.
        first: a style, and the beginning of the text that has it.
    """
    glued = re.sub(" (?=[±…])|(?<=[±…<>]) ", GLUE, text)  # a number stays with its interval, a bound with its sign
    broken = textwrap.fill(
        glued, console.width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    words = Text(broken.replace(GLUE, " "), style)
    words.stylize(first[0], 0, len(first[1]))
    console.print(words, soft_wrap=True, highlight=False)


def verdict_words(verdict: Verdict) -> str:
    """The verdict, with the conditions under which the claim was confirmed, or the parts of it that fail."""
    return in_words(verdict.word, verdict.conditions if verdict.confirmed else (), verdict.failing)


def in_words(word: str, conditions: Sequence[str], failing: Sequence[str]) -> str:
    """A verdict, with the conditions under which the claim was confirmed, or with the parts of it that fail."""
    if word == PARTLY:
        return f"{word}; what fails: {'; '.join(failing)}"
    return f"{word}: {'; '.join(conditions)}" if conditions else word


def measure_words(expectation: Expectation) -> str:
    """What is measured, of which runs, and with which runs it is compared."""
    words = str(expectation.measure)
    if expectation.of:
        words += f"; {wanted_text(expectation.of)}"
    if expectation.minus:
        words += f"; less that with {wanted_text(expectation.minus)}"
    if expectation.over:
        words += f"; over that with {wanted_text(expectation.over)}"
    return words


def measured_words(judged: Judgement) -> str:
    """What was measured; where several configurations were meant, also in which of them."""
    words = f"measured {mean_and_interval(judged.mean.value, judged.mean.half_width)}"
    some = f"{judged.mean.count} of " if judged.mean.count < judged.seeds else ""
    words += f" ({some}{judged.seeds} seeds)"
    if judged.configurations > 1:
        worst = "the worst" if judged.outcome != "holds" else "the nearest to failing"
        words += f" in {worst} of {judged.configurations} configurations, {wanted_text(judged.settings)}"
    return words


def bound_words(expectation: Expectation) -> str:
    """`> 0.3`, `< −1`, `−0.02 … 0.02`."""
    if expectation.above is None:
        text = f"< {expectation.below:g}"
    elif expectation.below is None:
        text = f"> {expectation.above:g}"
    else:
        text = f"{expectation.above:g} … {expectation.below:g}"
    return text.replace("-", MINUS)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain JSON types."""
    document = {
        "title": verdict.claim.title,
        "verdict": verdict.word,
        "conditions": verdict.conditions,
        "failing": verdict.failing,
        "expectations": [
            {
                "says": judged.expectation.says,
                "role": judged.expectation.role,
                "measure": measure_words(judged.expectation),
                "expected": bound_words(judged.expectation),
                "outcome": judged.outcome,
                "mean": judged.mean.value,
                "half_width": judged.mean.half_width,
                "runs": judged.mean.count,
                "seeds": judged.seeds,
                "configurations": judged.configurations,
                "settings": judged.settings,
                "measured": mean_and_interval(judged.mean.value, judged.mean.half_width),
            }
            for judged in verdict.judgements
        ],
    }
    return dict(strict_json(document))
