"""Signal and gradient of a wide convolutional network at initialization, layer by layer and position by position.

Far from the border the second moments follow the map of a dense network (Xiao et al. 2018, section 2.2) with
fan_in = k² c (He et al. 2015, eq. 10) and fan_out = k² d (eq. 14). At the border a kernel reads zeros beside the map:
it sums fewer terms, and fewer outputs read the input there. Weights are independent, so second moments need no
covariances between positions, and are exact at every position:

    q_l(i)     = Var(W_l) c Σ_j A_ij E x_{l−1}(j)² + σ_b²        A_ij = 1 where output i reads input j
    D_{l−1}(j) = Var(W_l) d Σ_i A_ij E δ_l(i)²                   D: E δ² at the outputs of a block

A is a product of one matrix for rows and one for columns. A border costs more the smaller the maps are: on 8 × 8 with
k = 3, the share of weights that meet the map is (22/24)² = 0.840, and over many layers of ReLU the mean square shrinks
by the square of the largest eigenvalue of A/k along one side, ((1 + 2 cos(π/9))/3)² = 0.921, a layer: 4 % of the RMS.

Suffixes: H × W positions, L layers.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from math import inf, nan

import numpy as np
from numpy.polynomial import chebyshev

from gradlab.choices import CNN, Activation
from gradlab.networks import initializers
from gradlab.networks.activations import activation, traits
from gradlab.theory.blocks import LARGEST_Q, Layer, Signal, moments_of, scaled
from gradlab.theory.quadrature import Array, OutputMoments

NODES = 24
"""Moments at more distinct values of q than this are interpolated over ln q, in which they are smooth."""
WIDEST = 1e4
"""They are where the largest q is at most so many times the smallest."""


@dataclass(frozen=True, eq=False)
class MapLayer:
    """A hidden layer over the positions of its maps.

    Attributes:
        q_HW: second moment of what enters the activation.
        phi: moments of the activation's output, each over the positions.
        slope_HW: E δ_h² / E δ_x², from the block's output x back to the output h of its convolution.
        mean_HW: E x of the block's output.
        second_HW: E x² of the block's output.
        backward: d Var W: from the sum of E δ_h² over the outputs that read an input to E δ² there.
        rows: 1 where an output row reads an input row.
        columns: the same for columns.
        skip: whether the block's input is added to its output.
    """

    q_HW: Array
    phi: "MomentMaps"
    slope_HW: Array
    mean_HW: Array
    second_HW: Array
    backward: float
    rows: Array
    columns: Array
    skip: bool = False

    def summary(self, taps: int, *, normalized: bool) -> Layer:
        """The layer in means over its positions, as that of a dense network with k² d Var W.

        Args:
            taps: k².
            normalized: whether the layer has a normalization.
        """
        mean, second = float(self.phi.mean.mean()), float(self.phi.second_moment.mean())
        variance = float((self.phi.variance + (self.phi.mean - mean) ** 2).mean())
        return Layer(
            q=float(self.q_HW.mean()),
            output=OutputMoments(mean, second, variance),
            slope=float(self.slope_HW.mean()),
            passed=1.0,
            backward=taps * self.backward,
            spread=float((self.phi.slope_spread if normalized else self.phi.spread).mean()),
            normalized=None,
            signal=Signal(float(self.mean_HW.mean()), float(self.second_HW.mean()), nan),
            skip=self.skip,
        )


@dataclass(frozen=True, eq=False)
class MomentMaps:
    """`blocks.Moments` at each position, (H, W) each."""

    mean: Array
    second_moment: Array
    variance: Array
    slope: Array
    spread: Array
    slope_spread: Array


def taps(size: int, kernel: int, stride: int) -> Array:
    """Which inputs each output reads along one side: 1 or 0, (⌈size/stride⌉, size); k // 2 zeros are around the map."""
    outputs, inputs = np.arange(0, size, stride)[:, None], np.arange(size)
    return np.asarray(np.abs(outputs - inputs) <= kernel // 2, dtype=np.float64)


def forward(model: CNN, channels: int, second_moment_HW: Array) -> list[MapLayer]:
    """The hidden layers, from the input to the output.

    Args:
        model: the network, with a normalization that `covered` knows.
        channels: of the input.
        second_moment_HW: E x_0² at each position, a mean over samples and channels; the mean of x_0 is taken as 0.
    """
    mean_HW, second_HW = np.zeros_like(second_moment_HW), second_moment_HW
    layers: list[MapLayer] = []
    shapes = zip(pairwise((channels, *model.hidden_widths)), model.kernels, model.strides, strict=True)
    for (inputs, units), kernel, stride in shapes:
        rows, columns = (taps(size, kernel, stride) for size in second_HW.shape)
        summed_HW = inputs * (rows @ second_HW @ columns.T)
        variance = initializers.variance(model.initializer, inputs, units, kernel)
        if variance is None:  # LSUV scales W until the mean of h² is 1, unless there is nothing to scale
            total = float(summed_HW.mean())
            variance = 1 / total if 0 < total < inf else 1 / max(inputs * kernel * kernel, units)
        layer = _hidden(model, variance * summed_HW + model.bias_std**2, units * variance, rows, columns)
        scale = model.residual_scale
        if scale is not None and inputs == units and stride == 1:
            layer = _beside(mean_HW, second_HW, layer, scale)
        layers.append(layer)
        mean_HW, second_HW = layer.mean_HW, layer.second_HW
    return layers


def covered(model: CNN) -> bool:
    """Whether there are formulas for the normalization of a network, over maps."""
    return not model.normalization.traits.uses_batch_statistics and model.normalization.name in (
        "none",
        "layer_norm",
        "rms_norm",
    )


def log_deltas(layers: Sequence[MapLayer], at_last: float) -> tuple[Array, Array]:
    """Logarithms of E δ² at the outputs of convolutions and of hidden layers, means over positions, (L,).

    Args:
        layers: what `forward` returns.
        at_last: E δ² at the last hidden layer's output, where the mean over each map hands the same to all positions.
    """
    log_delta_L, log_output_L = np.empty(len(layers)), np.empty(len(layers))
    d_HW, log_scale = np.full(layers[-1].q_HW.shape, 1.0), float(np.log(at_last)) if at_last > 0 else -inf
    for number in reversed(range(len(layers))):
        layer = layers[number]
        delta_HW = layer.slope_HW * d_HW
        with np.errstate(divide="ignore"):
            log_output_L[number] = np.log(d_HW.mean()) + log_scale
            log_delta_L[number] = np.log(delta_HW.mean()) + log_scale
        back_HW = layer.backward * (layer.rows.T @ delta_HW @ layer.columns)
        d_HW = back_HW + d_HW if layer.skip else back_HW
        largest = float(d_HW.max())
        if 0 < largest < inf:  # hundreds of layers would leave the range of float64
            d_HW, log_scale = d_HW / largest, log_scale + float(np.log(largest))
    return log_delta_L, log_output_L


def over_positions(choice: Activation, q_HW: Array, gamma: float = 1.0, beta: float = 0.0) -> MomentMaps:
    """Moments of φ(γ ĥ + β) at ĥ ~ N(0, q) for each q of a map."""
    phi, bounded = scaled(activation(choice), gamma, beta), traits(choice).bounded
    q, place = np.unique([float(f"{value:.12g}") for value in q_HW.ravel()], return_inverse=True)
    if len(q) > NODES and 0 < q[-1] < WIDEST * q[0]:
        low, high = np.log(q[0]), np.log(q[-1])
        nodes = chebyshev.chebpts1(NODES)
        laws = [astuple(moments_of(phi, bounded, float(np.exp(low + (high - low) * (1 + x) / 2)))) for x in nodes]
        fit = chebyshev.chebfit(nodes, np.asarray(laws), NODES - 1)
        values = np.asarray(chebyshev.chebval(2 * (np.log(q) - low) / (high - low) - 1, fit))
    else:
        values = np.asarray([astuple(moments_of(phi, bounded, float(value))) for value in q]).T
    return MomentMaps(*values[:, place.ravel()].reshape(-1, *q_HW.shape))


def _hidden(model: CNN, q_HW: Array, backward: float, rows: Array, columns: Array) -> MapLayer:
    """A hidden layer without its residual connection. Layer and RMS normalization divide by a mean over all positions.

    Before the activation: x = φ(γ h/√(q̄ + ε) + β). After it: x = γ (φ − μ)/√(v + ε) + β with the mean μ and variance v
    of φ over the positions, or μ = 0 and v = E φ² for RMS normalization; see `blocks` for one position.
    """
    norm = model.normalization
    gamma, beta, epsilon = getattr(norm, "gamma", 1.0), getattr(norm, "beta", 0.0), getattr(norm, "epsilon", 0.0)
    if norm.where == "before":
        divided = float(q_HW.mean()) + epsilon
        phi = over_positions(model.activation, q_HW / divided, gamma, beta)
        entered_HW = gamma**2 * q_HW / divided + beta**2
        return MapLayer(entered_HW, phi, phi.slope / divided, phi.mean, phi.second_moment, backward, rows, columns)
    phi = over_positions(model.activation, np.minimum(q_HW, LARGEST_Q) if norm.where == "after" else q_HW)
    if norm.where == "none":
        return MapLayer(q_HW, phi, phi.slope, phi.mean, phi.second_moment, backward, rows, columns)
    centre = float(phi.mean.mean()) if norm.name == "layer_norm" else 0.0
    off_HW = phi.variance + (phi.mean - centre) ** 2  # E (φ − μ)²
    factor = gamma**2 / (float(off_HW.mean()) + epsilon)
    shifted_HW = factor**0.5 * (phi.mean - centre)
    second_HW = factor * off_HW + 2 * beta * shifted_HW + beta**2
    return MapLayer(q_HW, phi, factor * phi.slope, shifted_HW + beta, second_HW, backward, rows, columns)


def _beside(mean_HW: Array, second_HW: Array, layer: MapLayer, scale: float) -> MapLayer:
    """The block with its input added to its output times a scale: x_l = x_{l−1} + s f(x_{l−1})."""
    return replace(
        layer,
        slope_HW=scale**2 * layer.slope_HW,
        mean_HW=mean_HW + scale * layer.mean_HW,
        second_HW=second_HW + scale**2 * layer.second_HW + 2 * scale * mean_HW * layer.mean_HW,
        skip=True,
    )
