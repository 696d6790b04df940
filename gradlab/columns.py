"""The columns of every table that gradlab writes, and how rows in memory become them. Torch-free.

Both wings stand on this: the recorder makes rows, the run folder holds them, diagnosis and views read them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from gradlab.statistics import LAYER_STATISTICS, StepRows

SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "layers": {
        "step": pl.Int64,
        "layer": pl.Int32,
        "module": pl.String,
        "kind": pl.String,
        "calls": pl.Int32,
        "dtype": pl.String,
        **dict.fromkeys(LAYER_STATISTICS, pl.Float64),
    },
    "steps": {
        "step": pl.Int64,
        "epoch": pl.Int64,
        "loss": pl.Float64,
        "learning_rate": pl.Float64,
        "gradient_norm": pl.Float64,
        "gradient_scale": pl.Float64,
        "step_seconds": pl.Float64,
        "record_seconds": pl.Float64,
    },
    "evaluations": {
        "step": pl.Int64,
        "split": pl.String,
        "loss": pl.Float64,
        "accuracy": pl.Float64,
    },
    "histograms": {
        "step": pl.Int64,
        "layer": pl.Int32,
        "module": pl.String,
        "quantity": pl.String,
        "low": pl.Float64,
        "high": pl.Float64,
        "counts": pl.List(pl.Int64),
        "non_finite": pl.Int64,
    },
    "theory": {
        "layer": pl.Int32,
        "preactivation_variance": pl.Float64,
        "activation_mean": pl.Float64,
        "activation_rms": pl.Float64,
        "activation_std": pl.Float64,
        "chi": pl.Float64,
        "delta_relative": pl.Float64,
    },
}
"""Column names and types of each table."""


def layers_frame(rows: Sequence[StepRows]) -> pl.DataFrame:
    """The table `layers` of some recorded steps."""
    if not rows:
        return pl.DataFrame(schema=SCHEMAS["layers"])
    values = np.concatenate([row.values_MS for row in rows])
    applies = np.concatenate([row.applies_MS for row in rows])
    columns: dict[str, Any] = {
        "step": np.repeat([row.step for row in rows], [len(row.layer) for row in rows]),
        "layer": [number for row in rows for number in row.layer],
        "module": [name for row in rows for name in row.module],
        "kind": [kind for row in rows for kind in row.kind],
        "calls": [calls for row in rows for calls in row.calls],
        "dtype": [dtype for row in rows for dtype in row.dtype],
    }
    for index, name in enumerate(LAYER_STATISTICS):
        column = pl.Series(name, np.ascontiguousarray(values[:, index]))
        mask = pl.Series(np.ascontiguousarray(applies[:, index]))
        columns[name] = pl.select(pl.when(mask).then(column)).to_series()
    return pl.DataFrame(columns, schema=SCHEMAS["layers"])


def rows_frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Any other table, from one mapping a row; a missing column is null."""
    schema = SCHEMAS[table]
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in schema}, schema=schema)
