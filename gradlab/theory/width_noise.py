"""How much δ of one network may differ from the prediction, which is that of infinitely wide ones.

In a network of finite width each layer averages over its n units only, and what these averages miss adds up over the
layers: the logarithm of the mean square of δ is normal over random initializations, with a variance of Σ 1/n times a
constant, 5 for ReLU, and its mean lies half of that variance below the prediction (Hanin 2018, How to start training;
Hanin & Nica 2018, Products of many large random matrices and gradients in deep neural networks). This is for one
sample. The mean over the samples of a batch scatters less, the less the samples resemble one another.
"""

from collections.abc import Sequence
from math import exp, sqrt

import numpy as np

from gradlab.choices import MLP
from gradlab.choices.initializers import LSUV, Orthogonal, PythonInitializer
from gradlab.networks.activations import traits
from gradlab.theory.blocks import Layer
from gradlab.theory.quadrature import Array

WITHIN = 1.96
"""Standard deviations to either side of the mean within which 95 % of a normal distribution lie."""


def log_variances(model: MLP, layers: Sequence[Layer]) -> Array:
    """Variance over networks of ln(mean δ_l² / mean δ²) with δ that of the last hidden layer, for one sample, (L,).

    It is Σ spread_k / n_k over the layers k from l to the one before the last. Known where φ is a straight line on
    either side of 0, the entries of the weights are independent, and neither a normalization nor a residual connection
    carries the size of a signal from layer to layer; NaN elsewhere.

    Args:
        model: the network.
        layers: what `mean_field.forward` returns.
    """
    independent = not isinstance(model.initializer, Orthogonal | LSUV | PythonInitializer)
    plain = model.normalization.where == "none" and not any(layer.skip for layer in layers)
    if not (independent and plain and traits(model.activation).homogeneous):
        return np.full(len(layers), np.nan)
    noise_L = [layer.spread / width for layer, width in zip(layers, model.hidden_widths, strict=True)]
    return np.append(np.cumsum(noise_L[-2::-1])[::-1], 0.0)


def band(log_variance: float) -> tuple[float, float]:
    """The factors between which RMS δ of 95 % of networks lies, relative to the prediction.

    Args:
        log_variance: an entry of `log_variances`.
    """
    middle, reach = -log_variance / 2, WITHIN * sqrt(log_variance)
    return exp((middle - reach) / 2), exp((middle + reach) / 2)
