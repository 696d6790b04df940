"""The end of a run in the terminal: a row a layer, a line of totals, the verdict and what to do about it.

Fits 80 columns whatever the numbers are. Redirected, it is plain text.
"""

import math
import textwrap
from collections.abc import Iterator

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradlab.config import SCHEMA
from gradlab.measures.profiles import Floats, Profiles, activation_kind, profiles, unit_shares
from gradlab.measures.settings import settings_of
from gradlab.measures.slopes import decades_per_layer
from gradlab.tables import Finding, Tables, other_schema
from gradlab.text import ABSENT, compact, join, one_line, percent, written

EIGHTHS = " ▏▎▍▌▋▊▉"
BAR = 7
"""Characters of the bar that shows log10 RMS δ."""
LEAST_DECADES = 3
"""Decades between an empty bar and a full one at least, so that what is level looks level."""
COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def print_summary(run: Tables, console: Console) -> None:
    """Print what a run came to.

    Args:
        run: a run, in whatever state.
        console: where to; its width is respected down to 80 columns.
    """
    for part in _parts(run, console.width):
        # Lines are broken here, not by the console: it would leave blanks at their ends and break what is to be pasted.
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text))


def _parts(run: Tables, width: int) -> Iterator[Text | Table]:
    yield Text.assemble((run.name, "bold"), "  ", (str(run.summary.get("id", "")), "dim"))
    yield from _labels(run, width)
    if run.status != "completed":
        yield Text(_status(run), style="bold yellow")
    if run.layers.height:
        yield _layers(run)
    else:
        yield Text("no step was recorded", style="yellow")
    yield Text(join(_totals(run), width))
    yield Text.assemble("verdict: ", (run.verdict, "bold green" if run.verdict == "healthy" else "bold"))
    for finding in run.findings:
        yield from _finding(finding, width)
    yield Text(str(run.path), style="dim")


def _labels(run: Tables, width: int) -> Iterator[Text]:
    """Tags and notes, and whether another version of gradlab wrote the run."""
    settings = settings_of(run.summary.get("config", {}))
    if settings.get("tags"):
        yield Text(f"tags: {one_line(written(settings['tags']).strip('[]'))}", style="dim")
    if settings.get("notes"):
        yield Text(textwrap.fill(one_line(" ".join(str(settings["notes"]).split())), width), style="dim")
    if (schema := other_schema(run.summary)) is not None:
        known = f"written by another version of gradlab (schema {schema}; this one is {SCHEMA}), read as far as it goes"
        yield Text(textwrap.fill(known, width), style="yellow")


# ------------------------------------------------------------------------------------------------------------- layers


def _layers(run: Tables) -> Table:
    """δ at the first and the last recorded step, everything else at the last one that has it."""
    kind = activation_kind(run.layers)
    delta = profiles(run.layers, "delta_rms", ("weight", "output"))
    gradient = profiles(run.layers, "weight_gradient_norm", ("weight", "output"))
    ratio = profiles(run.layers, "update_ratio", ("weight", "output"))
    mean, std = (profiles(run.layers, column, (kind,)) for column in ("activation_mean", "activation_std"))
    zero, saturated = (unit_shares(run.layers, column) for column in ("zero_fraction", "saturated_fraction"))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", expand=False)
    table.add_column("layer", justify="right", no_wrap=True)
    table.add_column("δ RMS start → end", justify="center", no_wrap=True)
    table.add_column("log δ", no_wrap=True, style="cyan")
    table.add_column("|∂L/∂W|", justify="right", no_wrap=True)
    table.add_column("activation", justify="right", no_wrap=True)
    table.add_column("zero", justify="right", no_wrap=True)
    table.add_column("sat.", justify="right", no_wrap=True)
    table.add_column("log ΔW/W", justify="right", no_wrap=True)
    low, high = _scale(delta)
    output = set(run.layers.filter(pl.col("kind") == "output")["layer"])
    for layer in np.unique(run.layers["layer"].to_numpy()).tolist():
        start, end = _at(delta, layer, 0), _at(delta, layer)
        table.add_row(
            "out" if layer in output else str(layer),
            f"{compact(start):>7} → {compact(end):<7}",
            bar(end, low, high),
            compact(_at(gradient, layer)),
            _spread(_at(mean, layer), _at(std, layer)),
            percent(_at(zero, layer)),
            percent(_at(saturated, layer)),
            _log10(_at(ratio, layer)),
        )
    return table


def _at(values: Profiles, layer: int, index: int = -1) -> float | None:
    """The value of a layer at the first (0) or last (−1) step of a grid; None where there is none."""
    found = np.flatnonzero(values.layers == layer)
    return float(values.values_TL[index, found[0]]) if len(found) else None


def _scale(delta: Profiles) -> tuple[float, float]:
    """log10 of RMS δ at an empty and at a full bar."""
    values = delta.values_TL[-1] if delta else np.empty(0)
    logs: Floats = np.log10(values[np.isfinite(values) & (values > 0)])
    high = float(logs.max()) if logs.size else 0.0
    return min(float(logs.min()) if logs.size else 0.0, high - LEAST_DECADES), high


def bar(value: float | None, low: float, high: float) -> str:
    """A positive number as a bar on a log scale: an eighth of a character at `low`, `BAR` characters at `high`."""
    if value is None or not value > 0:
        return ""
    if math.isinf(value):
        return "!" * BAR
    eighths = 1 + round((BAR * 8 - 1) * min(max((math.log10(value) - low) / (high - low), 0), 1))
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


# ------------------------------------------------------------------------------------------------------------- totals


def _status(run: Tables) -> str:
    bad = run.bad_step
    if bad is not None:
        return f"diverged at step {bad}: the loss is not finite"
    return f"{run.status} after {run.steps.height} steps"


def _totals(run: Tables) -> Iterator[str]:
    yield f"{run.steps.height} steps"
    losses = run.steps["loss"].drop_nulls()
    if len(losses):
        yield f"loss {compact(losses[0])} → {compact(losses[-1])}"
    tests = run.evaluations.filter(pl.col("split") == "test").sort("step")
    if tests.height:
        yield f"test accuracy {percent(tests['accuracy'][-1])}"
    steps = run.layers["step"].unique().sort()
    if len(steps):
        ends = sorted({int(steps[0]), int(steps[-1])})
        slopes = [decades_per_layer(run.layers, step).value for step in ends]
        if any(map(math.isfinite, slopes)):
            words = [f"{slope:+.2f}" if math.isfinite(slope) else ABSENT for slope in slopes]
            yield f"{' → '.join(words)} decades per layer"
    seconds = run.summary.get("seconds")
    if seconds is not None:
        yield f"{seconds:.1f} s"
    yield from _recording_cost(run)


def _recording_cost(run: Tables) -> Iterator[str]:
    """Recording beside the steps without it; both are sums over the run."""
    recording, steps = (float(run.steps[column].sum()) for column in ("record_seconds", "step_seconds"))
    bare = steps - recording
    if bare > 0:
        yield f"recording {recording:.2g} s, {recording / bare:.2f} × the bare steps"


# ----------------------------------------------------------------------------------------------------------- findings


def _finding(finding: Finding, width: int) -> Iterator[Text]:
    yield Text.assemble((finding.severity, COLOURS.get(finding.severity, "")), "  ", (finding.rule, "bold"))
    yield Text(textwrap.fill(finding.message, width, initial_indent="  ", subsequent_indent="  "))
    for remedy in finding.remedies:
        yield Text.assemble(("  try  ", "dim"), remedy)


# -------------------------------------------------------------------------------------------------- words and numbers


def _spread(mean: float | None, std: float | None) -> str:
    return ABSENT if mean is None else f"{_short(mean)} ± {_short(std)}"


def _short(value: float | None) -> str:
    """`compact` with a digit less where it is a plain fraction."""
    return compact(value) if value is None or not 1e-2 <= abs(value) < 10 else f"{value:.2f}"


def _log10(value: float | None) -> str:
    if value == 0:
        return "-∞"
    if value is None or not (math.isfinite(value) and value > 0):
        return compact(value)
    return f"{math.log10(value):.1f}"
