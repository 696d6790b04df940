"""Which networks the theory covers, and where its predictions are known to be loose."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import exp, sqrt

from gradlab.choices import CNN, MLP, Data, Layered
from gradlab.networks import initializers
from gradlab.networks.activations import traits
from gradlab.theory import maps
from gradlab.theory.batch_norm import SMALLEST_BATCH
from gradlab.theory.blocks import Layer, block

NARROW = 32
"""A layer with fewer units is far from infinitely wide."""
ALIGNED = 0.05
"""Residual blocks are not covered where so large a share of E δ² lies along the signal: 2.5 % of RMS δ."""
SCATTER = 0.3
"""A standard deviation of ln(mean square) above this is worth a caveat: it is a factor of 1.16 in RMS."""


def not_covered(model: Layered, batch: int, layers: Sequence[Layer] = ()) -> str | None:
    """Why the theory does not cover a network; None where it does.

    Args:
        model: the network.
        batch: B.
        layers: its hidden layers, as far as they are known already.
    """
    name, norm = model.initializer.label, model.normalization
    if isinstance(model, CNN) and not maps.covered(model):
        return f"there are no formulas for {norm.traits.label} over maps, at whose border moments are others"
    if isinstance(model, MLP) and block(norm) is None:
        return f"there are no formulas for {norm.traits.label} {norm.where} the activation"
    if initializers.mean(model.initializer) != 0:
        return f"{name} gives weights a mean that is not 0, and all units of a layer are copies of one another"
    if initializers.variance(model.initializer, *initializers.TYPICAL) == 0:
        return f"{name} makes every weight 0, so that δ is exactly 0 in every hidden layer"
    if model.initializer.name == "lsuv" and model.bias_std > 0:
        return "lsuv scales weights until they and biases of random size together have unit variance"
    if norm.traits.uses_batch_statistics and batch < SMALLEST_BATCH:
        return (
            f"with BatchNorm and {batch} samples a batch the expected δ² is infinite; {SMALLEST_BATCH} are the fewest"
        )
    if norm.where == "none" and _alignment(layers, model.hidden_widths) > ALIGNED:
        return f"residual blocks with {model.activation.label}, whose mean is not 0, let δ align with the signal"
    return None


def _alignment(layers: Sequence[Layer], widths: Sequence[int]) -> float:
    """How much of E δ² at the outputs of residual blocks lies along the signal, relative to the rest, at the most.

    δ·x stays the same from block to block (for homogeneous φ exactly). At the last block it is random, (δ·x)² ~ δ² x²/n
    per unit; toward the input the part of δ² along x is therefore (δ·x)²/x², and the rest grows as second moments say.
    Where residual blocks add up a mean, x² grows faster than that, and the part along x comes to outweigh the rest.
    """
    if not any(layer.skip and layer.output.mean**2 > 1e-12 * layer.output.second_moment for layer in layers):
        return 0.0
    last = layers[-1].signal.second_moment
    grown, along = 1.0, 0.0
    for layer, after, width in zip(layers[-2::-1], layers[:0:-1], widths[-2::-1], strict=True):
        grown *= after.backward * after.slope + (1.0 if after.skip else 0.0)
        if not after.skip or not grown or not layer.signal.second_moment:
            break
        along = max(along, last / layer.signal.second_moment / grown / width)
    return along


def caveats(model: Layered, data: Data, layers: Sequence[Layer], features: int, batch: int) -> tuple[str, ...]:
    """Where the prediction for a covered network is known to be loose, a sentence each."""
    return (*_activation(model, features), *_normalization(model, data, layers, batch), *_width(model, layers))


def _activation(model: Layered, features: int) -> Iterator[str]:
    name = model.activation.label
    if not traits(model.activation).half_stable:
        return
    if model.normalization.traits.uses_batch_statistics:
        yield f"BatchNorm with {name} is loose: for silu theory says 1.106 a layer, and 1.15 to 1.17 is measured."
        return
    if model.normalization.where != "none":  # the size of what enters the activation is that of the normalization
        return
    if any(1.5 <= value <= 2.5 for value in _sigma_w2(model, features)):
        yield f"{name} with σ_w² near 2 sits next to a half-stable point, where single networks scatter widely."


def _sigma_w2(model: Layered, inputs: int) -> Iterator[float]:
    """fan_in · Var W of each hidden layer; 0 where the data decide."""
    kernels = model.kernels if isinstance(model, CNN) else (1,) * model.depth
    for (before, units), kernel in zip(pairwise((inputs, *model.hidden_widths)), kernels, strict=True):
        yield kernel**2 * before * (initializers.variance(model.initializer, before, units, kernel) or 0.0)


def _normalization(model: Layered, data: Data, layers: Sequence[Layer], batch: int) -> Iterator[str]:
    if not model.normalization.traits.uses_batch_statistics:
        if model.residual_scale is not None and not data.standardize:
            yield "The mean of the inputs is taken as 0; they are not standardized."
        return
    yield "With BatchNorm the first layers, near the real inputs, and the last ones, near the loss, are off."
    if not data.standardize:
        yield "The mean of the inputs is taken as 0 in the first layer; they are not standardized."
    if batch < 16:
        yield f"At {batch} samples a batch, δ² behind BatchNorm has a heavy tail, and single networks scatter widely."


def _width(model: Layered, layers: Sequence[Layer]) -> Iterator[str]:
    narrow = min(model.hidden_widths)
    if narrow < NARROW:
        yield f"A layer of {narrow} {'channels' if isinstance(model, CNN) else 'units'} is far from infinitely wide."
    if model.normalization.where != "none" or traits(model.activation).homogeneous:
        # ln of a product of L means over n units: variance Σ spread/n; √(5 L/n) for ReLU
        scatter = sqrt(sum(layer.spread / width for layer, width in zip(layers, model.hidden_widths, strict=True)))
        if scatter > SCATTER:
            factor = f"{exp(scatter / 2):.2g}" if scatter < 20 else "more than 1e4"
            if isinstance(model, CNN):  # positions that differ average some of it out
                yield f"With so few channels single networks scatter up to {factor}-fold in RMS around the prediction."
                return
            yield f"At these widths ln(mean square) has sd {scatter:.2g}: single networks scatter {factor}-fold in RMS."
