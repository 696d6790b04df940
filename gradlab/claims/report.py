"""A verdict in words: for the terminal, for JSON, and as a part of a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from gradlab.claims.claim import Expectation
from gradlab.claims.judging import Judgement, Verdict
from gradlab.views.comparison.fold import Mean, written

COLOURS = {"holds": "green", "fails": "bold red", "undecided": "yellow"}
INDENT = " " * 13


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print every expectation with what was measured, then the verdict."""
    console.print(Text(f"claim: {verdict.claim.title}", style="bold"))
    for judged in verdict.judgements:
        limit = "limit: " if judged.expectation.role == "condition" else ""
        says = Text(f"  {judged.outcome:9}  ", COLOURS[judged.outcome]).append(
            limit + judged.expectation.says, "default"
        )
        found = f"{measured_words(judged)}, expected {bound_words(judged.expectation)}"
        for line in (says, Text(f"{INDENT}{measure_words(judged.expectation)}", "dim"), Text(f"{INDENT}{found}")):
            console.print(line, soft_wrap=True)
    console.print(Text(f"verdict: {verdict_words(verdict)}", style="bold"), soft_wrap=True)


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
    return f"{mean.value:.{places}f} ± {mean.half_width:.{places}f}".replace("-", "−")


def _places(half_width: float, value: float) -> int | None:
    """Decimals to write; None where powers of ten read better."""
    size = max(abs(value), half_width)
    if size and (size < 1e-3 or size >= 1e6):
        return None
    places = 3
    while places < 6 and 0 < half_width < 2 * 10.0**-places:
        places += 1
    return 0 if size >= 1000 else 1 if size >= 100 else min(places, 4)


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
                "half_width": judged.mean.half_width,
                "runs": judged.mean.count,
                "seeds": judged.seeds,
                "configurations": judged.configurations,
                "settings": {key: _plain(value) for key, value in judged.settings.items()},
                "measured": mean_words(judged.mean),
            }
            for judged in verdict.judgements
        ],
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
