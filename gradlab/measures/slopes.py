"""Slopes over depth: the straight line through the logarithm of a quantity, one value a layer.

Suffixes: T recorded steps, L layers.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from gradlab.measures.profiles import Floats, Numbers, delta_profile


@dataclass(frozen=True)
class Slope:
    """The straight line through log10 of a positive quantity against depth, from the output toward the input.

    Attributes:
        value: decades per layer; −1 means ten times smaller with each layer toward the input. NaN where n < 2.
        r_squared: share of the variance that the line explains.
        range_decades: `value` times the number of steps from the first layer to the last, whether in the fit or not.
        n: layers in the fit, whose values are finite and positive.
        zeros: layers whose value is exactly 0: the number format ran out, or no signal came through.
    """

    value: float
    r_squared: float
    range_decades: float
    n: int
    zeros: tuple[int, ...] = ()


def decades_per_layer(layers: pl.DataFrame, step: int) -> Slope:
    """Slope of log10 RMS δ against depth in one step (`delta_profile`), toward the input."""
    profile = delta_profile(layers, step)
    return slope(profile["layer"].to_numpy().astype(np.int64), profile["delta_rms"].to_numpy())


def slope(layers_L: Numbers, values_L: Floats) -> Slope:
    """The straight line through log10 of one profile, a value for each layer."""
    fits = fit_depth(layers_L, values_L[None])
    return Slope(
        value=float(fits.value_T[0]),
        r_squared=float(fits.r_squared_T[0]),
        range_decades=float(fits.range_T[0]),
        n=int(fits.n_T[0]),
        zeros=tuple(layers_L[values_L == 0].tolist()),
    )


@dataclass(frozen=True, eq=False)
class Fits:
    """`Slope.value`, `.r_squared`, `.range_decades` and `.n` of T profiles."""

    value_T: Floats
    r_squared_T: Floats
    range_T: Floats
    n_T: Numbers


def fit_depth(layers_L: Numbers, values_TL: Floats) -> Fits:
    """Fit log10 values against depth by least squares, T profiles at once, each over its finite and positive layers."""
    usable_TL = np.isfinite(values_TL) & (values_TL > 0)
    x_L = -layers_L.astype(np.float64)  # toward the input
    y_TL = np.log10(values_TL, out=np.zeros_like(values_TL), where=usable_TL)
    n_T = usable_TL.sum(1)
    count_T = np.maximum(n_T, 1)
    dx_TL = np.where(usable_TL, x_L - ((usable_TL * x_L).sum(1) / count_T)[:, None], 0)
    dy_TL = np.where(usable_TL, y_TL - (y_TL.sum(1) / count_T)[:, None], 0)
    xx_T, xy_T, yy_T = (dx_TL**2).sum(1), (dx_TL * dy_TL).sum(1), (dy_TL**2).sum(1)
    value_T = np.divide(xy_T, xx_T, out=np.full(len(n_T), np.nan), where=(n_T >= 2) & (xx_T > 0))
    explained_T = np.divide(xy_T**2, xx_T * yy_T, out=np.ones(len(n_T)), where=(xx_T > 0) & (yy_T > 1e-20))
    r_squared_T = np.where(n_T >= 2, explained_T, np.nan)  # a flat profile is a perfect line
    gaps = float(np.ptp(layers_L)) if len(layers_L) else 0.0
    return Fits(value_T, r_squared_T, value_T * gaps, n_T)
