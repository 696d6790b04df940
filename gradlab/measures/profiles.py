"""One column of the table `layers` as a matrix: a profile over depth for each recorded step.

Suffixes say what the axes of an array are: T recorded steps, L layers. Nothing here raises on odd data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Profiles:
    """One column of `layers`, of the modules of some kinds, over depth and time.

    Attributes:
        steps: the T recorded steps that have the column, ascending.
        layers: the L layers that have it, ascending.
        values_TL: NaN where the table has no value or NaN.
    """

    steps: Numbers
    layers: Numbers
    values_TL: Floats

    def __bool__(self) -> bool:
        return bool(self.values_TL.size)


def profiles(layers: pl.DataFrame, column: str, kinds: Sequence[str]) -> Profiles:
    """A column of the table `layers`, for the modules of some kinds, as step × layer."""
    rows = layers.filter(pl.col("kind").is_in(list(kinds)) & pl.col(column).is_not_null())
    steps, step = np.unique(rows["step"].to_numpy(), return_inverse=True)
    numbers, layer = np.unique(rows["layer"].to_numpy(), return_inverse=True)
    values_TL = np.full((len(steps), len(numbers)), np.nan)
    values_TL[step, layer] = rows[column].to_numpy()
    return Profiles(steps.astype(np.int64), numbers.astype(np.int64), values_TL)


def delta_profile(layers: pl.DataFrame, step: int) -> pl.DataFrame:
    """RMS δ at the pre-activations of the hidden layers in one step.

    Args:
        layers: the table `layers`.
        step: a recorded step.

    Returns:
        `layer`, `delta_rms`, a row a hidden layer, first to last; without rows where the step has no δ.
    """
    return (
        layers.filter((pl.col("step") == step) & (pl.col("kind") == "weight") & pl.col("delta_rms").is_not_null())
        .select("layer", "delta_rms")
        .sort("layer")
    )


def activation_kind(layers: pl.DataFrame) -> str:
    """Whose outputs stand for the activations: a network without activation modules has those of its weight layers."""
    return "activation" if (layers["kind"] == "activation").any() else "weight"


def unit_shares(layers: pl.DataFrame, column: str) -> Profiles:
    """A share of units or activations, layer × step; NaN where the activations themselves are not finite.

    Nothing is 0 or saturated in a layer of NaN, which must not look like health: 0 × NaN is NaN, and so is 0 × ∞.
    """
    spoiled = layers.with_columns(pl.col(column) + 0 * pl.col("activation_rms"))
    return profiles(spoiled, column, (activation_kind(layers),))


def aligned(source: Profiles, target: Profiles) -> Floats:
    """The values of `source` at the steps and layers of `target`; NaN where `source` has no value."""
    if not source:
        return np.full_like(target.values_TL, np.nan)
    row_T, column_L = np.searchsorted(source.steps, target.steps), np.searchsorted(source.layers, target.layers)
    row_T, column_L = row_T.clip(max=len(source.steps) - 1), column_L.clip(max=len(source.layers) - 1)
    found_TL = (source.steps[row_T] == target.steps)[:, None] & (source.layers[column_L] == target.layers)
    return np.where(found_TL, source.values_TL[np.ix_(row_T, column_L)], np.nan)
