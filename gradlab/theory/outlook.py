"""How deep a network may be before its gradient or its signal is lost, and what that means for this one."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10

import numpy as np

from gradlab.text import power_of_ten
from gradlab.theory.quadrature import Array

THOUSANDFOLD = 3.0
"""δ counts as lost, or as exploded, if it changes by so many decades from the last hidden layer to the first."""
HUNDREDFOLD = 2.0
"""δ of a network is said to vanish or explode if it changes by so many decades: no learning rate serves all layers."""
DEEPEST = 10_000
"""Greater depths are not reported: nobody builds such networks, and so small a slope is a rounding error."""
DECADES: dict[str, tuple[float, float]] = {
    # log10 of the smallest normal number, below which digits are lost, and of the largest
    "float32": (log10(float(np.finfo(np.float32).tiny)), log10(float(np.finfo(np.float32).max))),
    "float64": (log10(float(np.finfo(np.float64).tiny)), log10(float(np.finfo(np.float64).max))),
}


_CLOSED = (
    " That is δ between the residual blocks: their scales start at 0, so that within them δ is 0 until the scales have "
    "left it."
)


@dataclass(frozen=True)
class Outlook:
    """Depths at which something is lost, in hidden layers; None where that is never, or deeper than 10,000 layers.

    Attributes:
        sentence: what to expect of this network.
        vanishing_depth: δ at the first layer falls below 1e-3 of that at the last.
        exploding_depth: δ at the first layer rises above 1e3 times that at the last.
        delta_out_of_range_depth: RMS δ at the first layer leaves the normal numbers of the config's dtype, given the
            δ that cross-entropy starts with.
        signal_out_of_range_depth: the RMS pre-activation leaves them.
        signal_decades_per_layer: slope of log10 √q toward the output over the deeper half of the layers.
    """

    sentence: str
    vanishing_depth: int | None = None
    exploding_depth: int | None = None
    delta_out_of_range_depth: int | None = None
    signal_out_of_range_depth: int | None = None
    signal_decades_per_layer: float | None = None


def line(values_L: Array) -> float | None:
    """Least-squares slope of one value a layer over the layers; None where fewer than two are finite."""
    x = np.flatnonzero(np.isfinite(values_L)).astype(np.float64)
    if len(x) < 2:
        return None
    y = values_L[np.isfinite(values_L)]
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def look_ahead(
    *, q: Sequence[float], decades_per_layer: float | None, log10_delta_last: float, dtype: str, closed: bool = False
) -> Outlook:
    """Continue the lines of δ and of the signal.

    Args:
        q: second moment of the pre-activations, a value a hidden layer.
        decades_per_layer: slope of log10 RMS δ toward the input.
        log10_delta_last: of the RMS δ at the last hidden layer.
        dtype: float32 or float64.
        closed: whether residual blocks start at scale 0, so that δ is that at their outputs.
    """
    smallest, largest = DECADES[dtype]
    slope = decades_per_layer or 0.0
    limit = smallest if slope < 0 else largest
    with np.errstate(divide="ignore"):
        signal_L = np.log10(np.asarray(q, dtype=np.float64)) / 2
    signal_slope = line(signal_L[len(signal_L) // 2 :] if len(signal_L) > 3 else signal_L)
    depth = len(q)
    delta_depth = _continued(1, limit - log10_delta_last, slope)
    signal_depth = _signal_depth(signal_L, signal_slope or 0.0, smallest, largest)
    return Outlook(
        sentence=_sentence(depth, decades_per_layer, delta_depth, signal_depth, signal_L, dtype) + _CLOSED * closed,
        vanishing_depth=_continued(1, -THOUSANDFOLD, slope),
        exploding_depth=_continued(1, THOUSANDFOLD, slope),
        delta_out_of_range_depth=delta_depth,
        signal_out_of_range_depth=signal_depth,
        signal_decades_per_layer=signal_slope,
    )


def _continued(start: int, decades: float, slope: float) -> int | None:
    """Depth at which a line that is at 0 at depth `start` reaches a number of decades."""
    if slope == 0 or not np.isfinite(decades) or decades / slope > DEEPEST:
        return None
    return start + max(ceil(decades / slope), 0) if decades / slope > 0 else None


def _signal_depth(signal_L: Array, slope: float, smallest: float, largest: float) -> int | None:
    lost = np.flatnonzero((signal_L < smallest) | (signal_L > largest))
    if len(lost):
        return int(lost[0]) + 1
    limit = smallest if slope < 0 else largest
    return _continued(len(signal_L), limit - float(signal_L[-1]), slope)


def _sentence(
    depth: int, slope: float | None, delta_depth: int | None, signal_depth: int | None, signal_L: Array, dtype: str
) -> str:
    if signal_depth is not None and signal_depth <= depth:
        verb = "vanishes below" if signal_L[signal_depth - 1] < 0 else "grows beyond"
        return f"The signal {verb} the range of {dtype} in hidden layer {signal_depth} of {depth}: nothing is learned."
    if depth == 1:
        return "One hidden layer: there is no depth for the gradient signal δ to vanish or explode over."
    if slope is None:
        return "No gradient passes between the hidden layers."
    total = slope * (depth - 1)
    if abs(total) < HUNDREDFOLD:
        return (
            f"The gradient signal δ stays within a factor of {power_of_ten(abs(total))} over {depth} layers: "
            "every layer gets a gradient."
        )
    lost = f", beyond the range of {dtype}" if delta_depth is not None and delta_depth <= depth else ""
    trouble = "the first layers hardly learn" if total < 0 else "no learning rate suits both"
    return (
        f"The gradient signal δ {'shrinks' if total < 0 else 'grows'} {10 ** abs(slope):.3g}-fold a layer toward the "
        f"input: the first of {depth} layers gets {power_of_ten(total)} times what the last one gets{lost}, "
        f"and {trouble}."
    )
