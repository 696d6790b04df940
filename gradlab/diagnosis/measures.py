"""What the rules, the summary and the comparison measure on a run's tables. Torch-free, never raises on odd data.

Suffixes say what an array's axes are: T recorded steps, L layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

WINDOW = 5
"""Records in a running median: the fewest that outvote two noisy ones."""


# --------------------------------------------------------------------------------------------------------- layer × step


@dataclass(frozen=True, eq=False)
class Grid:
    """One column of `layers` as a matrix.

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


def grid(layers: pl.DataFrame, column: str, kinds: Sequence[str]) -> Grid:
    """A column of the table `layers`, for the modules of some kinds, as step × layer."""
    rows = layers.filter(pl.col("kind").is_in(list(kinds)) & pl.col(column).is_not_null())
    steps, step = np.unique(rows["step"].to_numpy(), return_inverse=True)
    numbers, layer = np.unique(rows["layer"].to_numpy(), return_inverse=True)
    values_TL = np.full((len(steps), len(numbers)), np.nan)
    values_TL[step, layer] = rows[column].to_numpy()
    return Grid(steps.astype(np.int64), numbers.astype(np.int64), values_TL)


def recorded_steps(layers: pl.DataFrame) -> list[int]:
    """The steps that have rows in `layers`, ascending."""
    return [int(step) for step in layers["step"].unique().sort()]


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


# ---------------------------------------------------------------------------------------------------- slopes over depth


@dataclass(frozen=True)
class Slope:
    """A straight line through log10 of a positive quantity against depth, read from the output toward the input.

    Attributes:
        value: decades per layer; −1 = ten times smaller each layer toward the input. NaN where n < 2.
        r_squared: share of the variance that the line explains.
        range_decades: `value` over all layers, those that could not enter the fit included.
        n: layers in the fit: those whose value is finite and positive.
        zeros: layers that are exactly 0: the float format ran out, or nothing came through.
        non_finite: layers that are NaN or infinite.
    """

    value: float
    r_squared: float
    range_decades: float
    n: int
    zeros: tuple[int, ...] = ()
    non_finite: tuple[int, ...] = ()


def decades_per_layer(layers: pl.DataFrame, step: int) -> Slope:
    """Slope of log10 RMS δ against depth in one step (`delta_profile`), toward the input."""
    profile = delta_profile(layers, step)
    return slope(profile["layer"].to_numpy().astype(np.int64), profile["delta_rms"].to_numpy())


def slope(layers_L: Numbers, values_L: Floats) -> Slope:
    """The line through log10 of one value a layer."""
    fits = fit_depth(layers_L, values_L[None])
    return Slope(
        value=float(fits.value_T[0]),
        r_squared=float(fits.r_squared_T[0]),
        range_decades=float(fits.range_T[0]),
        n=int(fits.n_T[0]),
        zeros=tuple(layers_L[values_L == 0].tolist()),
        non_finite=tuple(layers_L[~np.isfinite(values_L)].tolist()),
    )


@dataclass(frozen=True, eq=False)
class Fits:
    """`Slope.value`, `.r_squared`, `.range_decades` and `.n` of T profiles."""

    value_T: Floats
    r_squared_T: Floats
    range_T: Floats
    n_T: Numbers


def fit_depth(layers_L: Numbers, values_TL: Floats) -> Fits:
    """Least squares of log10 values on depth for T profiles at once, each over its own finite positive layers."""
    usable_TL = np.isfinite(values_TL) & (values_TL > 0)
    x_L = -layers_L.astype(np.float64)  # toward the input
    y_TL = np.log10(values_TL, out=np.zeros_like(values_TL), where=usable_TL)
    n_T = usable_TL.sum(1)
    count_T = np.maximum(n_T, 1)
    dx_TL = np.where(usable_TL, x_L - ((usable_TL * x_L).sum(1) / count_T)[:, None], 0)
    dy_TL = np.where(usable_TL, y_TL - (y_TL.sum(1) / count_T)[:, None], 0)
    xx_T, xy_T, yy_T = (dx_TL**2).sum(1), (dx_TL * dy_TL).sum(1), (dy_TL**2).sum(1)
    value_T = np.divide(xy_T, xx_T, out=np.full(len(n_T), np.nan), where=n_T >= 2)
    explained_T = np.divide(xy_T**2, xx_T * yy_T, out=np.ones(len(n_T)), where=(xx_T > 0) & (yy_T > 1e-20))
    r_squared_T = np.where(n_T >= 2, explained_T, np.nan)  # a flat profile is a perfect line
    gaps = float(np.ptp(layers_L)) if len(layers_L) else 0.0
    return Fits(value_T, r_squared_T, value_T * gaps, n_T)


# --------------------------------------------------------------------------------------------------------- over time


def smooth(values_T: Floats) -> Floats:
    """Centred running median over `WINDOW` records that passes over what is not finite; the first value stays.

    The first record is the network as it was initialized: no noise of training to outvote, and rules tell trouble
    that was there at the start from trouble that came.
    """
    if not len(values_T):
        return values_T
    padded = np.pad(np.where(np.isfinite(values_T), values_T, np.nan), WINDOW // 2, constant_values=np.nan)
    windows = np.sort(sliding_window_view(padded, WINDOW), axis=1)  # NaN last
    n_T = np.isfinite(windows).sum(1)
    rows = np.arange(len(values_T))
    medians = (windows[rows, np.maximum(n_T - 1, 0) // 2] + windows[rows, n_T // 2]) / 2
    medians[0] = values_T[0]
    return np.asarray(medians)


def lasting(values_T: Floats, threshold: float, cured: float) -> Flags:
    """Where a trouble is there: from a value of `threshold` or more until one below `cured`.

    Two limits, so that a value that creeps along the threshold is neither cured nor ill again at every step. NaN
    changes nothing.
    """
    present_T = np.zeros(len(values_T), dtype=bool)
    present = False
    for t, value in enumerate(values_T):
        present = bool(value >= threshold or (present and not value < cured))
        present_T[t] = present
    return present_T


@dataclass(frozen=True)
class Spell:
    """When a trouble was there. As a string it ends a sentence about it.

    Attributes:
        first: first step that shows it.
        last: last step that shows it.
        at_start: whether the first record shows it.
        at_end: whether the last record shows it.
        share: share of the records that show it.
        records: number of records looked at.
        quote: index of the record to quote: the first one if it shows the trouble, else the worst or last that does.
    """

    first: int
    last: int
    at_start: bool
    at_end: bool
    share: float
    records: int
    quote: int

    @property
    def steps(self) -> tuple[int, int]:
        """First and last step that show it."""
        return self.first, self.last

    def __str__(self) -> str:
        if self.records == 1:
            return f"in step {self.first}"
        if self.at_start and self.at_end:
            return "from the first recorded step to the last"
        if self.at_start:
            return f"at the start; gone after step {self.last}"
        if self.at_end:
            return f"not at the start, but since step {self.first}"
        return (
            f"in step {self.first} only" if self.first == self.last else f"from step {self.first} to {self.last} only"
        )


def spell(steps_T: Numbers, present_T: Flags, badness_T: Floats | None = None) -> Spell | None:
    """When a trouble was there; None where it never was.

    Args:
        steps_T: the recorded steps.
        present_T: whether each shows it.
        badness_T: how badly; the worst record is quoted for a trouble that came in training, else the last one.
    """
    shown = np.flatnonzero(present_T)
    if not len(shown):
        return None
    weight_T = np.arange(len(steps_T)) if badness_T is None else np.nan_to_num(badness_T, nan=-np.inf)
    return Spell(
        first=int(steps_T[shown[0]]),
        last=int(steps_T[shown[-1]]),
        at_start=bool(present_T[0]),
        at_end=bool(present_T[-1]),
        share=float(present_T.mean()),
        records=len(steps_T),
        quote=0 if present_T[0] else int(shown[np.argmax(weight_T[shown])]),
    )
