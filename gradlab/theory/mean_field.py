"""Signal and gradient of a wide network at initialization, layer by layer, in second moments.

Forward (Poole et al. 2016), backward (Schoenholz et al. 2017), residual (Yang & Schoenholz 2017) and BatchNorm (Yang et
al. 2019) are one recursion here, for any widths. A block maps x_{l−1} to x_l; what BatchNorm needs to know about x
beside its mean and second moment is the part of the variance that is across samples.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf

import numpy as np

from gradlab.choices import MLP, Initializer
from gradlab.networks import initializers
from gradlab.theory.blocks import Layer, Signal, block
from gradlab.theory.quadrature import Array


def forward(model: MLP, *, features: int, input_second_moment: float, batch: int) -> list[Layer]:
    """The hidden layers, from the input to the output.

    q_l = n_{l−1} Var(W_l) E x_{l−1}² + σ_b². A residual block adds x_{l−1} to its output times a scale s; as weights
    have mean 0 the two are independent, so that E x_l² = E x_{l−1}² + s² E φ² + 2 s E x_{l−1} E φ.

    Args:
        model: the network.
        features: fan_in of the first layer.
        input_second_moment: E x_0²; the mean of x_0 is taken as 0.
        batch: B, which BatchNorm depends on.

    Raises:
        ValueError: there are no formulas of its normalization (`blocks.block`).
    """
    signal = Signal(0.0, input_second_moment, input_second_moment)
    fans = (features, *model.hidden_widths)
    layers: list[Layer] = []
    of_layer, scale = block(model.normalization), model.residual_scale
    if of_layer is None:
        raise ValueError(f"there are no formulas of {model.normalization.name} {model.normalization.where}")
    for fan_in, fan_out in pairwise(fans):
        variance = weight_variance(model.initializer, fan_in, fan_out, signal.second_moment)
        layer = of_layer(model, signal, fan_in * variance, fan_out * variance, batch)
        if scale is not None and fan_in == fan_out:
            layer = _beside(signal, layer, scale)
        layers.append(layer)
        signal = layer.signal
    return layers


def weight_variance(choice: Initializer, fan_in: int, fan_out: int, second_moment: float) -> float:
    """Var W. LSUV scales it until E (W x)² = 1, unless there is nothing to scale."""
    variance = initializers.variance(choice, fan_in, fan_out)
    if variance is not None:
        return variance
    return 1 / (fan_in * second_moment) if 0 < second_moment < inf else 1 / max(fan_in, fan_out)


def log_deltas(layers: Sequence[Layer], backward: float) -> tuple[Array, Array]:
    """Logarithms of E δ² at the pre-activations and at the outputs of the hidden layers, relative to the logits, (L,).

    With D_l the E δ² at the output x_l of block l: E δ_l² = slope_l D_l and D_{l−1} = backward_l passed_l E δ_l², plus
    D_l where a residual connection passes it by.

    Args:
        layers: what `forward` returns.
        backward: classes · Var W of the output layer.
    """
    log_slope = _log([layer.slope for layer in layers])
    log_back = _log([layer.backward * layer.passed * layer.slope for layer in layers])
    log_back = np.where([layer.skip for layer in layers], np.logaddexp(0.0, log_back), log_back)
    log_d = _log([backward]) + np.cumsum([0.0, *log_back[:0:-1]])[::-1]
    return np.asarray(log_slope + log_d), np.asarray(log_d)


def _log(values: Sequence[float]) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.asarray(values, dtype=np.float64)))


def _beside(signal: Signal, layer: Layer, scale: float) -> Layer:
    """The block with its input added to its output times a scale: x_l = x_{l−1} + s f(x_{l−1})."""
    out = layer.signal
    summed = Signal(
        mean=signal.mean + scale * out.mean,
        second_moment=signal.second_moment + scale**2 * out.second_moment + 2 * scale * signal.mean * out.mean,
        centred=signal.centred + scale**2 * out.centred,
    )
    return replace(layer, slope=scale**2 * layer.slope, signal=summed, skip=True)
