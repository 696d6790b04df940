"""One column of the table `layers` as a matrix: a profile over depth for each recorded step.

Suffixes say what the axes of an array are: T recorded steps, L layers. No function here raises, whatever the data are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Profiles:
    """One column of `layers` over time and depth, for the modules of some kinds. False if it is empty.

    Attributes:
        steps: the T recorded steps that have values, ascending.
        layers: the L layers that have values, ascending.
        values_TL: the values; NaN where the table has NaN or no value.
        modules: for each layer, the name of the module that the values are of.
    """

    steps: Numbers
    layers: Numbers
    values_TL: Floats
    modules: tuple[str, ...] = ()

    def names(self, chosen_L: Flags | None = None) -> tuple[str, ...]:
        """The names of the modules of some layers, or of all."""
        chosen = range(len(self.modules)) if chosen_L is None else np.flatnonzero(chosen_L)
        return tuple(self.modules[column] for column in chosen)

    def __bool__(self) -> bool:
        return bool(self.values_TL.size)


def profiles(layers: pl.DataFrame, column: str, kinds: Sequence[str]) -> Profiles:
    """Read a column of the table `layers` as a matrix, step × layer.

    Args:
        layers: the table `layers`.
        column: the column.
        kinds: kinds of modules, such as `weight` or `activation`.
    """
    rows = layers.filter(pl.col("kind").is_in(list(kinds)) & pl.col(column).is_not_null())
    steps, step = np.unique(rows["step"].to_numpy(), return_inverse=True)
    numbers, layer = np.unique(rows["layer"].to_numpy(), return_inverse=True)
    values_TL = np.full((len(steps), len(numbers)), np.nan)
    values_TL[step, layer] = rows[column].to_numpy()
    modules = dict(zip(layer.tolist(), rows["module"], strict=True))
    names = tuple(modules[column] for column in range(len(numbers)))
    return Profiles(steps.astype(np.int64), numbers.astype(np.int64), values_TL, names)


def every_layer(layers: pl.DataFrame, column: str, kinds: Sequence[str]) -> tuple[Profiles, Flags]:
    """The same with the layers that have a module of these kinds and never a value.

    Returns:
        the profile, with NaN for them; and where there is no value at all, step × layer.
    """
    known = profiles(layers.with_columns(pl.col(column).is_not_null().cast(pl.Float64)), column, kinds)
    short = profiles(layers, column, kinds)
    whole = Profiles(short.steps, known.layers, np.empty((len(short.steps), len(known.layers))), known.modules)
    return replace(whole, values_TL=aligned(short, whole)), aligned(known, whole) != 1


def by_module(layers: pl.DataFrame, column: str | pl.Expr, kinds: Sequence[str]) -> Profiles:
    """The same with a column for each module, in the order of the rows: several may have the number of one layer.

    Args:
        layers: the table `layers`.
        column: the column, or what is computed of several.
        kinds: kinds of modules.
    """
    rows = layers.filter(pl.col("kind").is_in(list(kinds)))
    rows = rows.select("step", "module", "layer", value=pl.col(column) if isinstance(column, str) else column)
    rows = rows.drop_nulls("value")
    steps, step = np.unique(rows["step"].to_numpy(), return_inverse=True)
    names = rows["module"].unique(maintain_order=True).to_list()
    place = {name: number for number, name in enumerate(names)}
    values_TL = np.full((len(steps), len(names)), np.nan)
    values_TL[step, [place[name] for name in rows["module"]]] = rows["value"].to_numpy()
    numbers = dict(zip(rows["module"], rows["layer"], strict=True))
    layers_L = np.array([numbers[name] for name in names], dtype=np.int64)
    return Profiles(steps.astype(np.int64), layers_L, values_TL, tuple(names))


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


def layer_names(layers: pl.DataFrame) -> Mapping[int, str]:
    """For each layer number, the name of its weight layer; where it has none, that of its first module."""
    first = layers.unique(["layer", "module"], keep="first", maintain_order=True)
    weights = first.filter(pl.col("kind").is_in(["weight", "output"]))
    named = pl.concat([weights, first]).unique("layer", keep="first", maintain_order=True)
    return dict(zip(named["layer"].to_list(), named["module"].to_list(), strict=True))


def activation_kind(layers: pl.DataFrame) -> str:
    """The kind of module whose outputs count as activations: `weight` if the network has no activation modules."""
    return "activation" if (layers["kind"] == "activation").any() else "weight"


def unit_shares(layers: pl.DataFrame, column: str) -> Profiles:
    """A share of units or activations, step × layer; NaN where the activations themselves are not finite.

    In a layer of NaN no activation is 0 or saturated. Without this rule, a broken layer would look healthy.
    """
    # 0 × NaN and 0 × ∞ are NaN
    finite_only = layers.with_columns(pl.col(column) + 0 * pl.col("activation_rms"))
    return profiles(finite_only, column, (activation_kind(layers),))


def aligned(source: Profiles, target: Profiles) -> Floats:
    """The values of `source` at the steps and layers of `target`; NaN where `source` has no value."""
    if not source:
        return np.full_like(target.values_TL, np.nan)
    row_T, column_L = np.searchsorted(source.steps, target.steps), np.searchsorted(source.layers, target.layers)
    row_T, column_L = row_T.clip(max=len(source.steps) - 1), column_L.clip(max=len(source.layers) - 1)
    found_TL = (source.steps[row_T] == target.steps)[:, None] & (source.layers[column_L] == target.layers)
    return np.where(found_TL, source.values_TL[np.ix_(row_T, column_L)], np.nan)
