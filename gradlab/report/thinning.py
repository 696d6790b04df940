"""Many recorded steps ─► a few columns, each with the values at one step and the smallest and largest of all its steps.

Suffixes: R rows of a picture, C columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gradlab.measures.profiles import Floats

Steps = NDArray[np.int64]
NAN = float(np.finfo(np.float64).max)
"""Stands for a measured NaN, because NaN itself stands for a number that is missing."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Recorded steps, folded into columns.

    Attributes:
        first: the first step of each column.
        last: the last step of each column.
        shown: the step of each column whose values are kept; of the last column the last step, of others the first.
    """

    first: Steps
    last: Steps
    shown: Steps

    @property
    def thinned(self) -> bool:
        """Whether a column stands for more than one step."""
        return bool((self.first != self.last).any())


@dataclass(frozen=True, eq=False)
class Matrix:
    """A statistic of some modules over time.

    Attributes:
        modules: the names of the R modules.
        value_RC: the values at the steps that are shown; NaN where there is none, `NAN` where it is NaN.
        low_RC: the smallest value in each column; `NAN` only where all are NaN.
        high_RC: the largest value in each column; `NAN` where one of them is NaN.
    """

    modules: Sequence[str]
    value_RC: Floats
    low_RC: Floats
    high_RC: Floats


def columns_of(steps: Sequence[int], most: int) -> Columns:
    """Fold recorded steps into at most so many columns of nearly the same number of steps.

    Args:
        steps: the recorded steps, ascending; at least one.
        most: columns at most.
    """
    steps_T = np.asarray(steps, dtype=np.int64)
    edges = np.linspace(0, len(steps_T), min(most, len(steps_T)) + 1).astype(np.int64)
    first, last = steps_T[edges[:-1]], steps_T[edges[1:] - 1]
    return Columns(first, last, np.append(first[:-1], last[-1:]))


def matrices(layers: pl.DataFrame, statistics: Sequence[str], columns: Columns) -> dict[str, Matrix]:
    """Some statistics of the modules that have them.

    Args:
        layers: rows of the table `layers`, of the modules that belong into one picture.
        statistics: columns of `layers` that were recorded in the same steps.
        columns: the columns that the picture gets.

    Returns:
        for each statistic that a module has, its values; modules in the order in which they first ran.
    """
    names = layers["module"].unique(maintain_order=True)
    column = (np.searchsorted(columns.first, layers["step"].to_numpy(), side="right") - 1).clip(0)
    rows = layers.select("step", "module", *statistics).with_columns(column=pl.Series(column))
    shown = rows.filter(pl.col("step").is_in(columns.shown.tolist()))
    if columns.thinned:
        folded = rows.group_by("module", "column").agg(
            *(pl.col(name).min().alias(f"{name} low") for name in statistics),
            *(pl.col(name).nan_max().alias(f"{name} high") for name in statistics),
        )
    found = {}
    for name in statistics:
        have = rows.filter(pl.col(name).is_not_null())["module"].unique()
        modules = names.filter(names.is_in(have.implode())).to_list()
        if modules:
            value = _matrix(shown, name, modules, len(columns.first))
            ends = (
                [_matrix(folded, f"{name} {end}", modules, value.shape[1]) for end in ("low", "high")]
                if (columns.thinned)
                else [value, value]
            )
            found[name] = Matrix(modules, value, *ends)
    return found


def _matrix(rows: pl.DataFrame, column: str, modules: Sequence[str], width: int) -> Floats:
    place = {name: number for number, name in enumerate(modules)}
    rows = rows.filter(pl.col("module").is_in(modules))
    values_RC = np.full((len(modules), width), np.nan)
    at = [place[name] for name in rows["module"]]
    values_RC[at, rows["column"].to_numpy()] = rows[column].fill_nan(NAN).fill_null(np.nan).to_numpy()
    return values_RC


def thinned_line(frame: pl.DataFrame, column: str, most: int) -> pl.DataFrame:
    """The rows of a table over steps that a line needs: of each group of neighbours, the lowest and the highest.

    Args:
        frame: rows with `step`, ascending.
        column: what is drawn; rows without a finite value are left out.
        most: rows at most, apart from the first and the last.
    """
    frame = frame.select("step", column).filter(pl.col(column).is_finite()).sort("step")
    if frame.height <= most:
        return frame
    group = pl.int_range(pl.len()) * (most // 2) // pl.len()
    value = pl.col(column)
    kept = (value.rank("ordinal").over(group) == 1) | (value.rank("ordinal", descending=True).over(group) == 1)
    ends = pl.int_range(pl.len()).is_in([0, frame.height - 1])
    return frame.filter(kept | ends)
