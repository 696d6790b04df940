"""The summary of a run in the terminal: a row for each layer, a line of totals, the verdict, the findings and remedies.

It fits 80 columns whatever the numbers are. Where the output is no terminal, it is plain text.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from gradlab.config import SCHEMA
from gradlab.diagnosis import VITAL
from gradlab.measures.network import is_own
from gradlab.measures.profiles import Floats, Profiles, activation_kind, layer_names, profiles, unit_shares
from gradlab.measures.settings import settings_of
from gradlab.measures.slopes import decades_per_layer
from gradlab.tables import INSPECTED, UNKNOWN, Finding, Tables, other_schema
from gradlab.text import (
    ABSENT,
    compact,
    factor_text,
    log10_text,
    one_line,
    percent,
    seconds_text,
    separated,
    setting_text,
    shortened,
)
from gradlab.views.terminal import paragraph, plain_console, plain_table, print_parts

EIGHTHS = " ▏▎▍▌▋▊▉"
BAR = 7
"""Characters of the bar that shows log10 RMS δ."""
LEAST_DECADES = 3
"""The bars span at least so many decades, so that a level profile looks level."""
PROBLEMS = 5
"""Problems of the folder that are shown at most."""
COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def summary_text(run: Tables, width: int = 80) -> str:
    """The summary as plain text, in lines of a width."""
    text = StringIO()
    print_summary(run, plain_console(text, width))
    return text.getvalue().rstrip()


def print_summary(run: Tables, console: Console) -> None:
    """Print the summary of a run.

    Args:
        run: a run, in whatever state.
        console: where to; its width is respected down to 80 columns.
    """
    with np.errstate(all="ignore"):  # NaN and infinity are what a diverged network measures
        print_parts(_parts(run, console.width), console)


def _parts(run: Tables, width: int) -> Iterator[Text | Table]:
    identity = str(run.summary.get("id", ""))
    yield Text.assemble((run.name, "bold"), "  " if identity else "", (identity, "dim"))
    yield from _labels(run, width)
    if run.status != "completed":
        yield Text(status_line(run), style="bold yellow")
    if run.layers.height:
        yield from _layers(run, width)
    else:
        yield Text("no step was recorded", style="yellow")
    yield Text(separated(totals(run), width))
    yield Text.assemble("verdict: ", (run.verdict, "bold green" if run.verdict == "healthy" else "bold"))
    if thinned := run.summary.get("thinned"):
        yield paragraph(f"judged on every {thinned}th record, and on those in which something is extreme", width, "dim")
    if run.verdict == UNKNOWN and run.not_judged:
        reasons = "; ".join(f"{rule}: {run.not_judged[rule]}" for rule in VITAL if rule in run.not_judged)
        yield paragraph(f"nothing could be judged ({reasons})", width, "yellow", first="  ", rest="  ")
    for finding in run.findings:
        yield from _finding(finding, width)
    if is_own(run):
        yield from _not_judged(run.not_judged, width)
    yield from _problems(run.problems, width)  # after all tables were read
    if run.path != Path():
        yield Text(str(run.path), style="dim")


def _labels(run: Tables, width: int) -> Iterator[Text]:
    """Tags and notes, and whether another version of gradlab wrote the run."""
    settings = settings_of(run.summary.get("config", {}))
    if settings.get("tags"):
        yield Text(f"tags: {one_line(setting_text(settings['tags']).strip('[]'))}", style="dim")
    if settings.get("notes"):
        yield paragraph(one_line(" ".join(str(settings["notes"]).split())), width, "dim")
    if (schema := other_schema(run.summary)) is not None:
        known = f"written by another version of gradlab (schema {schema}; this one is {SCHEMA}), read as far as it goes"
        yield paragraph(known, width, "yellow")


def _not_judged(reasons: Mapping[str, str], width: int) -> Iterator[Text]:
    """The rules that had nothing to say, reason by reason."""
    rules: dict[str, list[str]] = {}
    for rule, reason in reasons.items():
        rules.setdefault(reason, []).append(rule)
    if rules:
        text = "; ".join(f"{', '.join(ids)} ({reason})" for reason, ids in rules.items())
        yield paragraph(one_line(f"not judged: {text}"), width, "dim", rest="  ")


def _problems(problems: Sequence[str], width: int) -> Iterator[Text]:
    """What the folder says of itself: rows that are missing, or came late."""
    if not problems:
        return
    yield Text("what could not be written or read", style="yellow")
    for problem in problems[:PROBLEMS]:
        yield paragraph(one_line(problem), width, first="  ", rest="  ")
    if len(problems) > PROBLEMS:
        yield Text(f"  and {len(problems) - PROBLEMS} more")


# ------------------------------------------------------------------------------------------------------------- layers


COLUMNS: Mapping[str, JustifyMethod] = {
    "δ RMS start → end": "center", "δ RMS": "right", "log δ": "left", "|∂L/∂W|": "right", "activation": "right",
    "zero": "right", "sat.": "right", "log ΔW/W": "right",
}  # fmt: skip
"""The columns after the name of the layer, and how they are aligned. The second is there where the first is not."""
DROPPED = ("zero", "sat.", "activation", "|∂L/∂W|", "δ RMS start → end", "log ΔW/W")
"""Columns that a narrow terminal leaves out, in this order."""
SHORTEST_NAME = 8
"""Names of modules are not made shorter than this."""
LEGEND = {
    "δ RMS": "δ: gradient signal",
    "log δ": "bar: its log10",
    "sat.": "sat.: slope almost 0",
    "log ΔW/W": "ΔW/W: update ÷ weights",
}
"""What the headers of columns are short for."""


def _layers(run: Tables, width: int) -> Iterator[Table | Text]:
    """A row for each layer: δ at the first and the last recorded step, everything else at the last step that has it."""
    rows = list(_rows(run))
    names = dict(layer_names(run.layers)) if run.config is None else {}
    output = set(run.layers.filter(pl.col("kind") == "output")["layer"])
    labels = {layer: names.get(layer) or ("out" if layer in output else str(layer)) for layer, _ in rows}
    least = min(SHORTEST_NAME, max(map(len, labels.values()))) if names else len("layer")
    shown, room = _fitting([cells for _, cells in rows], width - least, one_step=run.status == INSPECTED)
    table = plain_table()
    table.add_column("module" if names else "layer", justify="left" if names else "right", no_wrap=True)
    for head in shown:
        table.add_column(head, justify=COLUMNS[head], no_wrap=True, style="cyan" if head == "log δ" else "")
    for layer, cells in rows:
        table.add_row(Text(shortened(labels[layer], least + room)), *(cells[head] for head in shown))
    yield table
    legend = [text for head, text in LEGEND.items() if any(name.startswith(head) for name in shown)]
    yield paragraph("; ".join(legend), width, "dim")


def _fitting(rows: Sequence[Mapping[str, str]], width: int, *, one_step: bool) -> tuple[list[str], int]:
    """The columns that fit a width, and how much of it they leave."""
    sizes = {head: max([len(head), *(len(cells[head]) for cells in rows)]) + 1 for head in COLUMNS}
    left_out = {"δ RMS start → end"} if one_step else set()
    for dropped in ("", *DROPPED):
        left_out.add(dropped)
        double = {"δ RMS start → end", "δ RMS"} - left_out
        shown = [head for head in COLUMNS if head not in left_out and not (len(double) > 1 and head == "δ RMS")]
        if (room := width - sum(sizes[head] for head in shown)) >= 0:
            break
    return shown, max(room, 0)


def _rows(run: Tables) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of each layer, and what the table says of it, by column."""
    kind = activation_kind(run.layers)
    delta = profiles(run.layers, "delta_rms", ("weight", "output"))
    gradient = profiles(run.layers, "weight_gradient_norm", ("weight", "output"))
    ratio = profiles(run.layers, "update_ratio", ("weight", "output"))
    mean, std = (profiles(run.layers, column, (kind,)) for column in ("activation_mean", "activation_std"))
    zero, saturated = (unit_shares(run.layers, column) for column in ("zero_fraction", "saturated_fraction"))
    low, high = scale_of(np.log10(delta.values_TL[-1:]))
    for layer in np.unique(run.layers["layer"].to_numpy()).tolist():
        start, end = _at(delta, layer, 0), _at(delta, layer)
        yield (
            layer,
            {
                "δ RMS start → end": f"{compact(start):>7} → {compact(end):<7}",
                "δ RMS": compact(end),
                "log δ": bar(end, low, high),
                "|∂L/∂W|": compact(_at(gradient, layer)),
                "activation": _mean_and_std(_at(mean, layer), _at(std, layer)),
                "zero": percent(_at(zero, layer)),
                "sat.": percent(_at(saturated, layer)),
                "log ΔW/W": log10_text(_at(ratio, layer)),
            },
        )


def _at(values: Profiles, layer: int, index: int = -1) -> float | None:
    """The value of a layer at the first (0) or last (−1) recorded step; None where the layer has no value."""
    found = np.flatnonzero(values.layers == layer)
    return float(values.values_TL[index, found[0]]) if len(found) else None


def _mean_and_std(mean: float | None, std: float | None) -> str:
    return ABSENT if mean is None else f"{compact(mean, decimals=2)} ± {compact(std, decimals=2)}"


def scale_of(logs: Floats) -> tuple[float, float]:
    """The ends of a scale on which decimal logarithms are drawn, at least `LEAST_DECADES` apart."""
    finite = logs[np.isfinite(logs)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return min(low, high - LEAST_DECADES), high


def bar(value: float | None, low: float, high: float) -> str:
    """A positive number as a bar on a log scale: an eighth of a character at `low`, `BAR` characters at `high`."""
    if value is None or not value > 0:
        return ""
    if math.isinf(value):
        return "!" * BAR
    eighths = 1 + round((BAR * 8 - 1) * min(max((math.log10(value) - low) / (high - low), 0), 1))
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


# ------------------------------------------------------------------------------------------------------------- totals


def status_line(run: Tables) -> str:
    """How a run that is not completed stands, in a few words."""
    if run.status == INSPECTED:
        return "one forward and one backward pass, before any step"
    bad = run.bad_step
    if bad is not None:
        return f"diverged at step {bad}: the loss is not finite"
    return f"{run.status} after {run.steps.height} steps"


def totals(run: Tables) -> Iterator[str]:
    """What is said of the whole run: steps, loss, accuracy, decades per layer, seconds, cost of recording."""
    losses = run.steps["loss"].drop_nulls()
    if run.status == INSPECTED:
        yield f"loss {compact(losses[0])}" if len(losses) else "loss unknown"
    else:
        yield f"{run.steps.height} steps"
    if len(losses) and run.status != INSPECTED:
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
            factors, decades = (" → ".join(dict.fromkeys(texts)) for texts in (map(_factor, slopes), words))
            yield f"δ {factors} per layer ({decades} decades)"
    seconds = run.summary.get("seconds")
    if seconds is not None:
        yield seconds_text(seconds)
    yield from _recording_cost(run)


def _factor(slope: float) -> str:
    """The factor of a slope as it is shown, with two decimals."""
    return factor_text(round(slope, 2)) if math.isfinite(slope) else ABSENT


def _recording_cost(run: Tables) -> Iterator[str]:
    """How much longer the steps took because of recording."""
    recording, steps = (float(run.steps[column].sum()) for column in ("record_seconds", "step_seconds"))
    bare = steps - recording
    if bare > 0 and run.status != INSPECTED:
        yield f"recording made the steps {steps / bare:.1f} times as long"


# ----------------------------------------------------------------------------------------------------------- findings


def _finding(finding: Finding, width: int) -> Iterator[Text]:
    yield Text.assemble((finding.severity, COLOURS.get(finding.severity, "")), "  ", (finding.rule, "bold"))
    yield paragraph(finding.message, width, first="  ", rest="  ")
    for remedy in finding.remedies:
        if remedy.endswith("."):  # a sentence; settings are not broken, so that they can be pasted
            yield paragraph(remedy, width, first="  try  ", rest="       ")
        else:
            yield Text.assemble(("  try  ", "dim"), remedy)
