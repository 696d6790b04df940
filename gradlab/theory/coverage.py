"""Which networks the theory covers, and where its predictions are known to be loose."""

from collections.abc import Iterator, Sequence
from math import exp, sqrt

from gradlab.choices import MLP, Data
from gradlab.networks import initializers
from gradlab.networks.activations import traits
from gradlab.theory.batch_norm import EPSILON, SMALLEST_BATCH
from gradlab.theory.mean_field import Layer, has_formulas

NARROW = 32
"""A layer with fewer units is far from infinitely wide."""
SCATTER = 0.3
"""A standard deviation of ln(mean square) above this is worth a caveat: it is a factor of 1.16 in RMS."""


def not_covered(model: MLP, batch: int, layers: Sequence[Layer] = ()) -> str | None:
    """Why the theory does not cover a network; None where it does.

    Args:
        model: the network.
        batch: B.
        layers: its hidden layers, as far as they are known already.
    """
    name, norm = model.initializer.label, model.normalization
    if not has_formulas(norm):
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
    smallest = min((layer.normalized for layer in layers if layer.normalized is not None), default=1.0)
    if smallest < EPSILON:
        return f"BatchNorm's ε of {EPSILON:g}, which is left out, outweighs a variance of {smallest:.1g}"
    # Where residual blocks add up a mean, x² grows faster than δ², while δ·x stays the same from block to block (for
    # homogeneous φ exactly). The part of δ along x comes to outweigh the random rest that second moments follow.
    biased = (layer.skip and layer.output.mean**2 > 1e-12 * layer.output.second_moment for layer in layers)
    if norm.where == "none" and any(biased):
        return f"residual blocks with {model.activation.label}, whose mean is not 0, let δ align with the signal"
    return None


def caveats(model: MLP, data: Data, layers: Sequence[Layer], features: int, batch: int) -> tuple[str, ...]:
    """Where the prediction for a covered network is known to be loose, a sentence each."""
    return (*_activation(model, features), *_normalization(model, data, layers, batch), *_width(model, layers))


def _activation(model: MLP, features: int) -> Iterator[str]:
    name = model.activation.label
    if not traits(model.activation).half_stable:
        return
    if model.normalization.where != "none":
        yield f"BatchNorm with {name} is loose: for silu theory says 1.106 a layer, and 1.15 to 1.17 is measured."
        return
    fans = zip((features, *model.hidden_widths), model.hidden_widths, strict=False)
    sigma_w2 = [fan_in * (initializers.variance(model.initializer, fan_in, out) or 0.0) for fan_in, out in fans]
    if any(1.5 <= value <= 2.5 for value in sigma_w2):
        yield f"{name} with σ_w² near 2 sits next to a half-stable point, where single networks scatter widely."


def _normalization(model: MLP, data: Data, layers: Sequence[Layer], batch: int) -> Iterator[str]:
    if model.normalization.where == "none":
        if model.residual and not data.standardize:
            yield "The mean of the inputs is taken as 0; they are not standardized."
        return
    yield "With BatchNorm the first layers, near the real inputs, and the last ones, near the loss, are off."
    if not data.standardize:
        yield "The mean of the inputs is taken as 0 in the first layer; they are not standardized."
    if batch < 16:
        yield f"At {batch} samples a batch, δ² behind BatchNorm has a heavy tail, and single networks scatter widely."
    smallest = min((layer.normalized for layer in layers if layer.normalized is not None), default=1.0)
    if smallest < 100 * EPSILON:
        yield f"BatchNorm's ε of {EPSILON:g} is left out, but is not small beside a variance of {smallest:.1g}."


def _width(model: MLP, layers: Sequence[Layer]) -> Iterator[str]:
    narrow = min(model.hidden_widths)
    if narrow < NARROW:
        yield f"A layer of {narrow} units is far from infinitely wide."
    where = model.normalization.where
    if where == "after" or (where == "none" and traits(model.activation).homogeneous):
        # ln of a product of L means over n units: variance Σ spread/n; √(5 L/n) for ReLU
        scatter = sqrt(sum(layer.spread / width for layer, width in zip(layers, model.hidden_widths, strict=True)))
        if scatter > SCATTER:
            factor = f"{exp(scatter / 2):.2g}" if scatter < 20 else "more than 1e4"
            yield f"At these widths ln(mean square) has sd {scatter:.2g}: single networks scatter {factor}-fold in RMS."
