"""Run folders out of thin air: summaries with exactly the numbers that a test is about."""

import json

from gradlab.config import SCHEMA, Config

SEED_NOISE = (0.0, 0.01, -0.02, 0.005, 0.03)


def write_run(runs, *, name="made-up", status="completed", verdict="healthy", severity=None, config=(), **numbers):
    """Write a run's config and summary as `gradlab run` leaves them; returns its folder."""
    resolved = Config.model_validate({"name": name, **dict(config)})
    folder = runs / resolved.folder
    folder.mkdir(parents=True)
    findings = [{"rule": verdict, "severity": severity or "error", "message": ""}] if verdict != "healthy" else []
    summary = {
        "schema": SCHEMA,
        "id": resolved.id,
        "name": name,
        "status": status,
        "steps": 100,
        "step_seconds": 1.5,
        "record_seconds": 0.5,
        "seconds": 2.0,
        "step_ms": 10.0,
        "config": resolved.model_dump(mode="json"),
        "verdict": verdict,
        "findings": findings,
        "test_accuracy": 0.9,
        "test_loss": 0.3,
        "train_accuracy": 0.95,
        "train_loss": 0.2,
        "decades_per_layer_start": -0.1,
        "decades_per_layer_end": -0.05,
        "log10_delta_start": [-6.0, -5.0, -4.0],
        "log10_delta_end": [-5.0, -4.5, -4.0],
        "dead_fraction": 0.0,
        "saturated_fraction": 0.25,
        "zero_fraction": 0.5,
        "log10_update_ratio": -3.0,
        **numbers,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def write_sweep(runs):
    """Two depths × two activations × five seeds, one point diverged, and a run in every state that is no result."""
    for depth in (5, 20):
        for activation in ("sigmoid", "relu"):
            for seed, noise in enumerate(SEED_NOISE):
                slope = -0.6 if activation == "sigmoid" else -0.002 * depth
                bad = activation == "relu" and depth == 20 and seed == 3
                write_run(
                    runs,
                    config={"seed": seed, "model": {"depth": depth, "activation": activation}},
                    status="diverged" if bad else "completed",
                    verdict="diverged" if bad else "vanishing-gradient" if activation == "sigmoid" else "healthy",
                    test_accuracy=None if bad else 0.8 + noise - 0.01 * depth,
                    test_loss=None if bad else 0.5 + 3 * noise,
                    decades_per_layer_start=slope + noise,
                    decades_per_layer_end=None if bad else slope + 2 * noise,
                    log10_delta_start=[slope * (depth - layer) - 3 for layer in range(depth)],
                    log10_delta_end=[None if bad else slope * (depth - layer) - 3 for layer in range(depth)],
                    dead_fraction=abs(noise),
                    step_ms=10 * (0.5 + depth / 10 + noise),
                )
    model = {"depth": 20, "activation": "relu"}
    write_run(runs, config={"seed": 7, "model": model}, status="interrupted")
    write_run(runs, config={"seed": 8, "model": model}, status="running")  # and nobody holds its lock
    trace = "Traceback (most recent call last):\n  File x\nRuntimeError: out of memory\n"
    write_run(runs, config={"seed": 9, "model": model}, status="failed", traceback=trace)
