"""A run's tables as named numbers, step after step, as TensorBoard and Weights & Biases take them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gradlab.tables import SCHEMAS, Tables

INDEX = ("step", "layer", "calls")
"""Columns that hold numbers but name a row; they are not exported as numbers."""


@dataclass(frozen=True)
class Histogram:
    """A distribution in B buckets."""

    edges: NDArray[np.float64]
    """The B + 1 limits of the buckets, evenly spaced."""
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class RecordedStep:
    """Everything that a run has recorded at one step, by name."""

    step: int
    seconds: float
    """Seconds from the beginning of the first step to the end of this one."""
    scalars: dict[str, float] = field(default_factory=dict)
    """The numbers. Those that do not apply are missing; NaN and infinities are there."""
    histograms: dict[str, Histogram] = field(default_factory=dict)


def tables(run: Tables) -> dict[str, pl.DataFrame]:
    """Every table of a run by its name."""
    return {name: getattr(run, name) for name in SCHEMAS}


def id_of(run: Tables) -> str:
    """The id under which a run is exported; of a run without one, the name of its folder, of letters and digits."""
    return str(run.summary.get("id", re.sub("[^0-9A-Za-z]", "-", run.path.name)[:64]))


def recorded_steps(run: Tables) -> Iterator[RecordedStep]:
    """Everything that a run has recorded, step by step."""
    stepwise = {name: _by_step(name, table) for name, table in tables(run).items() if "step" in table.columns}
    seconds = _seconds(run.steps)
    now = 0.0
    for step in sorted({step for parts in stepwise.values() for step in parts}):
        now = seconds.get(step, now)  # the last evaluation comes after the last step
        recorded = RecordedStep(step, now)
        for name, parts in stepwise.items():
            if step not in parts:
                continue
            if name == "histograms":
                recorded.histograms.update(_histograms(parts[step]))
            else:
                recorded.scalars.update(_scalars(name, parts[step]))
        yield recorded


def _by_step(name: str, table: pl.DataFrame) -> dict[int, pl.DataFrame]:
    """The rows of each step. A column `place` names the place of a row in the network, `03 2.linear`."""
    if "layer" in table.columns:
        digits = max(2, len(str(table["layer"].max())))
        depth = pl.col("layer").cast(pl.String).str.zfill(digits)
        place = pl.concat_str(depth, pl.col("module"), separator=" ", ignore_nulls=True)
        table = table.with_columns(place.alias("place"))
    return {int(part["step"][0]): part for part in table.partition_by("step", maintain_order=True)}


def _scalars(name: str, rows: pl.DataFrame) -> Iterator[tuple[str, float]]:
    columns = [column for column in rows.columns if rows[column].dtype.is_numeric() and column not in INDEX]
    for row in rows.iter_rows(named=True):
        for column in columns:
            if row[column] is not None:
                yield scalar_name(name, column, row), float(row[column])


def scalar_name(table: str, column: str, row: Mapping[str, object]) -> str:
    """`delta_rms/03 2.linear`, `evaluations/test_accuracy` or `steps/loss`."""
    if "place" in row:
        return f"{column}/{row['place']}"
    return f"{table}/{row['split']}_{column}" if "split" in row else f"{table}/{column}"


def _histograms(rows: pl.DataFrame) -> Iterator[tuple[str, Histogram]]:
    """The histograms of a step. One without a finite value has no limits and is left out."""
    for row in rows.drop_nulls(["low", "high", "counts"]).iter_rows(named=True):
        edges = np.linspace(row["low"], row["high"], len(row["counts"]) + 1)
        yield f"{row['quantity']}_histogram/{row['place']}", Histogram(edges, np.asarray(row["counts"], np.int64))


def _seconds(steps: pl.DataFrame) -> dict[int, float]:
    """The end of each step, in seconds since the beginning of the first."""
    ended = steps.select("step", pl.col("step_seconds").fill_nan(0).fill_null(0).cum_sum())
    return {int(step): float(seconds) for step, seconds in ended.iter_rows()}
