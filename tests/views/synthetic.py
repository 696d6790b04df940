"""Runs out of thin air: tables with exactly the numbers that a test is about."""

from pathlib import Path

import numpy as np
import polars as pl

from gradlab.config import SCHEMA, Config
from gradlab.snapshot import PUBLIC
from gradlab.tables import SCHEMAS, Tables, rows_frame

NAN, INF = float("nan"), float("inf")


def make_run(
    depth=4,
    steps=range(3),
    delta=lambda step, layer, depth: 10.0 ** (layer - depth),
    activation=lambda step, layer: (0.5, 0.25),
    loss=lambda step: 2.0 / (step + 1),
    status="completed",
    kinds=("weight", "activation", "output"),
    histograms=True,
    evaluations=True,
    theory=False,
    findings=(),
    verdict="healthy",
    classes="digits",
):
    """A run whose δ is `delta(step, layer, depth)`, whose activations have mean and std `activation(step, layer)`."""
    steps = list(steps)
    return Tables(
        path=Path("runs/made-up-0123456789ab"),
        name="made-up",
        config=Config.model_validate({"name": "made-up", "model": {"depth": depth}, "data": classes}),
        status=status,
        verdict=verdict,
        summary={"schema": SCHEMA, "id": "0123456789ab", "seconds": 1.25},
        findings=list(findings),
        layers=rows_frame("layers", list(_layers(depth, steps, delta, activation, kinds))),
        steps=rows_frame("steps", [_step(step, loss(step)) for step in steps]),
        evaluations=rows_frame("evaluations", list(_evaluations(steps, loss)) if evaluations else []),
        histograms=rows_frame("histograms", list(_histograms(depth, steps, activation, kinds)) if histograms else []),
        theory=_theory(depth) if theory else pl.DataFrame(schema=SCHEMAS["theory"]),
    )


def changed(run, **parts):
    """The same run with other parts: a snapshot itself does not change."""
    return Tables(**{name: value for name, value in vars(run).items() if name in PUBLIC} | parts)


def _layers(depth, steps, delta, activation, kinds):
    for step in steps:
        for layer in range(depth + 1):
            kind = "output" if layer == depth else "weight"
            value = delta(step, layer, depth)
            if kind in kinds:
                yield {
                    "step": step,
                    "layer": layer,
                    "module": f"{layer}.linear",
                    "kind": kind,
                    "calls": 1,
                    "dtype": "float32",
                    "activation_mean": 0.0,
                    "activation_std": 1.0,
                    "activation_rms": 1.0,
                    "zero_fraction": 0.0,
                    "delta_rms": value,
                    "weight_norm": 10.0,
                    "weight_gradient_norm": None if value is None else 3 * value,
                    "update_ratio": None if value is None else 0.1 * value,
                }
            if layer < depth and "activation" in kinds:
                mean, std = activation(step, layer)
                yield {
                    "step": step,
                    "layer": layer,
                    "module": f"{layer}.activation",
                    "kind": "activation",
                    "activation_mean": mean,
                    "activation_std": std,
                    "activation_rms": np.hypot(mean, std),
                    "zero_fraction": 0.5,
                    "saturated_fraction": 0.02 * layer,
                    "dead_fraction": 0.1 if step == steps[0] else None,
                    "delta_rms": value,
                }


def _step(step, loss):
    return {
        "step": step,
        "epoch": 0,
        "loss": loss,
        "learning_rate": 0.1,
        "gradient_norm": 1.0,
        "step_seconds": 0.03,
        "record_seconds": 0.01,
    }


def _evaluations(steps, loss):
    for step in (steps[0], steps[-1] + 1) if steps else ():
        for split in ("train", "test", "train_batch_statistics"):
            yield {"step": step, "split": split, "loss": loss(step), "accuracy": 0.625}


def _histograms(depth, steps, activation, kinds):
    for step in sorted({steps[0], steps[-1]}) if steps else ():
        for layer in range(depth):
            mean, std = activation(step, layer)
            row = {"step": step, "layer": layer, "quantity": "activation"}
            yield {**row, "module": f"{layer}.linear", "low": -9e9, "high": 9e9, "counts": [1] * 64, "non_finite": 0}
            if "activation" in kinds:
                yield {**row, "module": f"{layer}.activation", **_histogram(mean, std)}


def _histogram(mean, std):
    if not np.isfinite(mean + std):
        return {"low": None, "high": None, "counts": [0] * 64, "non_finite": 640}
    counts = np.zeros(64, dtype=int)
    counts[:] = 10 * np.exp(-(np.linspace(-2, 2, 64) ** 2)) if std else 0
    counts[0] += 1
    return {"low": mean - 2 * std, "high": mean + 2 * std, "counts": counts.tolist(), "non_finite": 0}


def _theory(depth):
    rows = [
        {
            "layer": layer,
            "preactivation_variance": 1.0,
            "activation_mean": 0.5,
            "activation_rms": 0.56,
            "activation_std": 0.25,
            "chi": 0.01,
            "delta_relative": 10.0 ** (layer - depth + 1),
        }
        for layer in range(depth)
    ]
    return rows_frame("theory", rows)


ODD_RUNS = {
    "vanishing": {"theory": True},
    "depth 1": {"depth": 1},
    "depth 100": {"depth": 100, "delta": lambda s, layer, d: 10.0 ** (layer / 5 - 20), "theory": True},
    "one step": {"steps": [0]},
    "two steps, interrupted": {"steps": [0, 1], "status": "interrupted", "loss": lambda s: 0.0},
    "uneven steps": {"steps": [0, 10, 11, 5000]},
    "no step at all": {"steps": []},
    "no histograms, no evaluations": {"histograms": False, "evaluations": False},
    "weights only": {"kinds": ("weight", "output")},
    "no output layer": {"kinds": ("weight", "activation")},
    "all zero": {"delta": lambda s, layer, d: 0.0, "activation": lambda s, layer: (0.0, 0.0), "theory": True},
    "underflow": {"delta": lambda s, layer, d: 0.0 if layer < 2 else 5e-324, "theory": True},
    "overflow": {"delta": lambda s, layer, d: 1.7e308, "activation": lambda s, layer: (1e308, 1e308)},
    "all nan": {
        "delta": lambda s, layer, d: NAN,
        "activation": lambda s, layer: (NAN, NAN),
        "loss": lambda s: NAN,
        "status": "diverged",
    },
    "diverged": {
        "delta": lambda s, layer, d: (NAN, INF)[layer % 2] if s == 2 else 1.0,
        "activation": lambda s, layer: (INF, NAN) if s == 2 and layer else (1e30 * s, 1.0),
        "loss": lambda s: INF if s == 2 else 1e9 * s + 1.0,
        "status": "diverged",
    },
    "no update": {"delta": lambda s, layer, d: None},
    "exploding activations": {"depth": 20, "activation": lambda s, layer: (0.0, 10.0**layer)},
    "unknown classes": {"classes": {"name": "openml", "dataset": "Fashion-MNIST"}},
}
"""Arguments of `make_run` by what is odd about them."""
