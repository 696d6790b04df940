"""Synthetic tables: a healthy run, of which a test spoils one column."""

import numpy as np
import polars as pl

from gradlab.config import Config
from gradlab.diagnosis import NotApplicable, examine
from gradlab.tables import Tables, rows_frame

WEIGHT = {"delta_rms": 1e-3, "weight_norm": 10.0, "weight_gradient_norm": 0.1, "update_ratio": 1e-3}
ACTIVATION = {
    "activation_rms": 1.0,
    "zero_fraction": 0.5,
    "saturated_fraction": 0.5,
    "dead_fraction": 0.0,
    "across_samples_std": 0.5,
    "across_units_std": 0.5,
}


def config(*, data=None, train=None, **model):
    return Config.model_validate({"model": {"width": 100, **model}, "data": data or "digits", "train": train or {}})


def tables(
    depth=10, steps=range(20), *, losses=(), evaluations=(), theory=None, status="completed", model=None, **columns
):
    """A run of a ReLU network that is healthy but for `columns`, each broadcast to (recorded steps, layers)."""
    steps = list(steps)
    shape = (len(steps), depth)
    cells = {name: np.broadcast_to(columns.pop(name, value), shape) for name, value in {**WEIGHT, **ACTIVATION}.items()}
    assert not columns, f"no such columns: {sorted(columns)}"
    rows = []
    for t, step in enumerate(steps):
        for layer in range(depth):
            for kind, names in (("weight", WEIGHT), ("activation", ACTIVATION)):
                values = {name: cells[name][t, layer] for name in names}
                rows.append({"step": step, "layer": layer, "module": f"{kind}.{layer}", "kind": kind, **values})
        rows.append(
            {
                "step": step,
                "layer": depth,
                "module": "output",
                "kind": "output",
                "update_ratio": cells["update_ratio"][t, -1],
            }
        )
    losses = losses or [2.0 / (1 + step) for step in steps]
    return Tables(
        layers=rows_frame("layers", rows),
        steps=rows_frame("steps", [{"step": step, "loss": loss} for step, loss in zip(steps, losses, strict=False)]),
        evaluations=rows_frame("evaluations", evaluations),
        theory=rows_frame("theory", [] if theory is None else theory),
        config=config(depth=depth) if model is None else model,
        status=status,
    )


def geometric(depth, decades, at_output=1e-2):
    """RMS by layer of a δ that changes by so many decades a layer toward the input."""
    return at_output * 10.0 ** (decades * np.arange(depth)[::-1])


def evaluated(*train, split="train", accuracy=0.1, steps=None):
    """Evaluations of one split, evenly spread."""
    steps = steps or [50 * number for number in range(len(train))]
    return [
        {"step": step, "split": split, "loss": loss, "accuracy": accuracy}
        for step, loss in zip(steps, train, strict=True)
    ]


def answer(rule, run):
    """What one rule says of a run."""
    return examine(run)[rule]


def found(rule, run):
    """The one finding of a rule; a failure shows what the rule said instead."""
    findings = answer(rule, run)
    assert not isinstance(findings, NotApplicable), findings.reason
    assert len(findings) == 1, findings
    return findings[0]


def assert_clean(rule, run):
    assert answer(rule, run) == []


def assert_not_applicable(rule, run, reason):
    said = answer(rule, run)
    assert isinstance(said, NotApplicable), said
    assert reason in said.reason


def watched(frame):
    """Tables of a model that was only watched: no config, no evaluations."""
    return Tables(layers=frame.select(pl.all()))


def without(run, *columns):
    """The same tables without some columns' values."""
    cleared = run.layers.with_columns(**dict.fromkeys(columns))
    return type(run)(layers=cleared.cast(dict(run.layers.schema)), config=run.config)
