"""Run folders and claims out of thin air, with exactly the numbers that a test is about."""

import io
from collections.abc import Mapping

import numpy as np
from rich.console import Console

from gradlab import run_folder
from gradlab.claims.claim import Claim
from gradlab.claims.measuring import Observation
from gradlab.config.files import load_config
from gradlab.run_folder import read_tables
from gradlab.statistics import LAYER_STATISTICS, StepRows
from gradlab.views.claims.report import print_verdict

NAN, INF = float("nan"), float("inf")
STEPS = (0, 10, 20)
EXPECT = {"says": "it learns", "measure": "test_accuracy", "above": 0.5}
PANEL = {"draw": "points", "measure": "test_accuracy", "across": "model.depth", "title": "test accuracy"}


def claim(*expect, picture=(PANEL,), **rest):
    """A claim of some expectations, each completed from `EXPECT`; without any, of that one."""
    data = {"title": "T", "sentence": "S.", "picture": list(picture), **rest}
    return Claim.model_validate({**data, "expect": [{**EXPECT, **one} for one in expect or ({},)]})


def write_run(
    runs,
    settings=(),
    *,
    columns=(),
    steps=STEPS,
    evaluations=(),
    theory=(),
    histograms=(),
    findings=(),
    status="completed",
    **numbers,
):
    """Write a run folder as `gradlab run` leaves it.

    Args:
        runs: where to.
        settings: of its config, by dotted key.
        columns: numbers of `layers`, or functions of step and layer, by column, or by kind and column; None is null.
        steps: those that are recorded.
        evaluations: (step, split, loss, accuracy), …
        theory: rows of that table.
        histograms: rows of that table.
        findings: of the summary.
        status: of the summary.
        numbers: more of the summary.
    """
    config = load_config({"name": "made-up", "model": {"depth": 3}}, dict(settings))
    with run_folder.lock_run(runs, config) as writer:
        writer.start({})
        for step in steps:
            writer.append("layers", _rows(step, config.model.depth, dict(columns)))
        for step, split, loss, accuracy in evaluations:
            writer.append("evaluations", {"step": step, "split": split, "loss": loss, "accuracy": accuracy})
        for row in histograms:
            writer.append("histograms", row)
        writer.flush()
        if theory:
            writer.write_theory(theory)
        timing = {"steps": 100, "step_seconds": 1.5, "record_seconds": 0.5, "seconds": 2.0, "step_ms": 10.0}
        about = {"status": status, "verdict": "healthy", "findings": list(findings), **timing}
        writer.write_summary({**about, **numbers})
    return read_tables(writer.path)


def observed(runs, *args, **options):
    """What was observed in a run that `write_run` writes."""
    return Observation.of(write_run(runs, *args, **options))


def _rows(step, depth, columns):
    modules = [(layer, kind) for layer in range(depth) for kind in ("weight", "activation")] + [(depth, "output")]
    values = [[_value(columns, kind, column, step, layer) for column in LAYER_STATISTICS] for layer, kind in modules]
    return StepRows(
        step,
        [layer for layer, _ in modules],
        [f"{layer}.{kind}" for layer, kind in modules],
        [kind for _, kind in modules],
        [1] * len(modules),
        ["float32"] * len(modules),
        np.array([[NAN if value is None else value for value in row] for row in values], dtype=float),
        np.array([[value is not None for value in row] for row in values]),
    )


def _value(columns, kind, column, step, layer):
    value = columns.get((kind, column), columns.get(column) if isinstance(columns, Mapping) else None)
    return value(step, layer) if callable(value) else value


def printed(verdict, width=80):
    console = Console(file=io.StringIO(), width=width)
    print_verdict(verdict, console)
    return console.file.getvalue()
