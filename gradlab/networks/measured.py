"""What is measured of an activation that a config brings along: kinks, saturation, traits."""

from collections.abc import Callable
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from gradlab.choices.activations import GLOROT, HE, Traits

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

STEP = 2.0**-9
"""Between two points at which the slope is looked at, from −REACH to REACH. Both are powers of two, so that kinks at
whole numbers are among the points."""
REACH = 32.0
USUAL = 8.0
"""Pre-activations up to here count for the largest slope."""
SMALLEST_JUMP = 1e-3
"""Of φ', relative to the largest slope, that is taken for a kink."""
MOST = 16
"""Kinks, and intervals of saturation, that are kept; an activation with more of them has no clear ones."""


def kinks(derivative: Function) -> tuple[float, ...]:
    """Where φ' jumps, found by bisection between neighbouring points of a grid."""
    grid = _grid()
    slope = derivative(grid)
    largest = _largest(grid, slope)
    near = np.flatnonzero(np.abs(np.diff(slope)) > SMALLEST_JUMP * largest)
    low, high = grid[near], grid[near + 1]
    for _ in range(48):
        middle = (low + high) / 2
        left, at, right = derivative(low), derivative(middle), derivative(high)
        lower = np.abs(at - left) >= np.abs(right - at)
        low, high = np.where(lower, low, middle), np.where(lower, middle, high)
    real = np.abs(derivative(high) - derivative(low)) > SMALLEST_JUMP * largest
    found = np.unique(np.round((low + high)[real] / 2, 10) + 0.0)
    return tuple(found.tolist()) if len(found) <= MOST else ()


def saturation(derivative: Function, share: float) -> tuple[tuple[float, float], ...]:
    """Open intervals in which |φ'| is below a share of the largest slope at usual pre-activations.

    An interval that reaches the end of the grid is taken to go on for ever.
    """
    grid = _grid()
    slope = derivative(grid)
    limit = share * _largest(grid, slope)
    if limit == 0:
        return ()
    flat = np.abs(slope) < limit
    change = np.flatnonzero(flat[1:] != flat[:-1])
    low, high, begins = grid[change], grid[change + 1], flat[change + 1]
    for _ in range(64):
        middle = (low + high) / 2
        is_flat = np.abs(derivative(middle)) < limit
        upper = is_flat == begins  # the middle is as the right end is
        low, high = np.where(upper, low, middle), np.where(upper, middle, high)
    edges = np.where(begins, low, high).tolist()  # the end that is not flat, as intervals are open
    bounds = [*([-inf] if flat[0] else []), *edges, *([inf] if flat[-1] else [])]
    intervals = tuple(zip(bounds[::2], bounds[1::2], strict=True))
    return intervals if len(intervals) <= MOST else ()


def traits(function: Function, derivative: Function) -> Traits:
    """The traits of an activation, from its values at some points and far out."""
    some = np.linspace(-REACH, REACH, 1025)
    sides = (np.linspace(-REACH, -5, 500), np.linspace(5, REACH, 500))
    values = function(some)
    scale = max(1.0, float(np.abs(values).max()))
    factors = (0.25, 0.5, 4.0)
    far = np.concatenate([sign * np.geomspace(1, 1e4, 200) for sign in (-1, 1)])
    with np.errstate(all="ignore"):
        near, further = np.abs(function(far)).max(), np.abs(function(far * 1e4)).max()
    bounded = bool(isfinite(near) and isfinite(further) and further <= 1.001 * near + 1e-12)
    homogeneous = all(np.allclose(function(c * some), c * values, rtol=1e-6, atol=1e-9 * scale) for c in factors)
    zero_centred = abs(float(function(np.zeros(1))[0])) < 1e-9
    below, above = np.abs(function(np.array([-REACH, REACH]))) / REACH
    one_sided = bool(min(below, above) < 1e-6 and abs(max(below, above) - 1) < 0.01)  # like GELU: a smooth ReLU
    return Traits(
        bounded=bounded,
        can_die=any(bool((function(side) == 0).all() and (derivative(side) == 0).all()) for side in sides),
        homogeneous=homogeneous,
        zero_centred=zero_centred,
        half_stable=zero_centred and not homogeneous and one_sided,
        initializers=GLOROT if bounded else HE,
    )


def _grid() -> Array:
    return np.asarray(np.arange(-REACH, REACH + STEP / 2, STEP))


def _largest(grid: Array, slope: Array) -> float:
    return float(np.abs(slope[np.abs(grid) <= USUAL]).max())
