"""The headline numbers of a run. `summary.json` holds them, so that a comparison reads one small file for each run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from gradlab.measures.profiles import delta_profile, profiles
from gradlab.measures.slopes import decades_per_layer
from gradlab.tables import Tables

MEASURES = (
    "test_accuracy",
    "test_loss",
    "train_accuracy",
    "train_loss",
    "decades_per_layer_start",
    "decades_per_layer_end",
    "dead_fraction",
    "zero_fraction",
    "saturated_fraction",
    "log10_update_ratio",
    "step_ms",
    "steps",
    "seconds",
)
"""Headline numbers of which comparisons and claims take means over seeds."""
TIMES = ("step_ms", "seconds")
"""Those that differ when the same run is done again."""


def headline(tables: Tables) -> dict[str, Any]:
    """The headline numbers of a run; None where the run has no such number.

    Returns:
        `train_loss`, `train_accuracy`, `test_loss`, `test_accuracy` (last evaluation) · `decades_per_layer_start`,
        `decades_per_layer_end` (slope of log10 RMS δ toward the input in the first and the last record) ·
        `log10_delta_start`, `log10_delta_end` (that profile, first hidden layer to last) · `dead_fraction`,
        `saturated_fraction`, `zero_fraction` (mean over the activations in their last record) · `log10_update_ratio`
        (median over layers and steps) · `step_ms` (median duration of a step without its recording; a mean would
        measure the interruptions of a busy machine).
    """
    numbers: dict[str, Any] = {}
    for split in ("train", "test"):
        rows = tables.split(split)
        for quantity in ("loss", "accuracy"):
            numbers[f"{split}_{quantity}"] = rows[quantity][-1] if len(rows) else None
    steps = tables.recorded_steps
    for moment, step in (("start", steps[0]), ("end", steps[-1])) if steps else ():
        profile = delta_profile(tables.layers, step)["delta_rms"]
        numbers[f"decades_per_layer_{moment}"] = decades_per_layer(tables.layers, step).value
        with np.errstate(divide="ignore"):
            numbers[f"log10_delta_{moment}"] = np.log10(profile.to_numpy()).tolist()
    for column in ("dead_fraction", "saturated_fraction", "zero_fraction"):
        values = profiles(tables.layers, column, ["activation"]).values_TL
        numbers[column] = float(values[-1].mean()) if values.size else None
    ratios = tables.layers["update_ratio"].drop_nulls().drop_nans()
    ratios = ratios.filter((ratios > 0) & ratios.is_finite())
    numbers["log10_update_ratio"] = pl.Series(ratios).log(10).median() if len(ratios) else None
    numbers["step_ms"] = _step_ms(tables.steps)
    return numbers


def _step_ms(steps: pl.DataFrame) -> float | None:
    """Median milliseconds of a step without its recording, over the steps that were not recorded if there are any."""
    bare = steps.filter(pl.col("record_seconds") == 0)
    chosen = bare if len(bare) else steps
    median = (chosen["step_seconds"] - chosen["record_seconds"]).median()
    return None if median is None else 1000 * float(median)  # type: ignore[arg-type]


def numbers_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """The headline numbers in a summary, by name; those of `MEASURES` that the run has."""
    return {name: float(summary[name]) for name in MEASURES if isinstance(summary.get(name), int | float)}
