"""What theory says of a config, in one object."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, inf, isnan, log, nan, sqrt
from typing import Any

import numpy as np

from gradlab.choices import CNN, Layered
from gradlab.config import Config
from gradlab.datasets import Dataset, input_shape
from gradlab.networks import initializers
from gradlab.theory import maps
from gradlab.theory.blocks import Layer
from gradlab.theory.coverage import caveats, not_covered
from gradlab.theory.mean_field import forward, log_deltas, weight_variance
from gradlab.theory.outlook import Outlook, line, look_ahead
from gradlab.theory.quadrature import Array
from gradlab.theory.width_noise import log_variances

_DELTA_OUTPUT: Mapping[str, Callable[[int, float], float]] = {
    "cross_entropy": lambda classes, target: sqrt((1 - 1 / classes) / classes),
    "mse": lambda classes, target: 2 / classes * sqrt(target),
}
"""RMS δ at small outputs, times the samples of the batch, for a number of outputs and E y² of the targets."""


@dataclass(frozen=True)
class LayerPrediction:
    """A hidden layer at initialization: a row of the table `theory`.

    Attributes:
        layer: its number, from 0.
        preactivation_variance: q, second moment of what enters the activation, bias included. With a normalization
            before the activation that is its output, and q = γ² + β² unless its ε counts.
        activation_mean: E φ of the activation's output, before a normalization after it and before a residual sum.
        activation_rms: √(E φ²).
        activation_std: √(E (φ − E φ)²), over units and samples.
        chi: χ_l = E δ_l² / E δ_{l+1}², per unit, δ at the outputs of weight layers. Without normalizations and residual
            connections χ_l = n_{l+1} Var(W_{l+1}) E φ'(√q_l z)² with the real n_{l+1}, the units of layer l + 1;
            the last hidden layer's successor is the output layer with its `classes` units.
        delta_relative: RMS δ relative to the last hidden layer.
        output_delta_relative: the same at the outputs of the hidden layers, behind activation, normalization and
            residual sum.
        delta_log_variance: variance over networks of these widths of ln(δ²) relative to the last hidden layer
            (`width_noise.log_variances`); NaN where no formula says it.

    Where residual blocks start at scale 0, δ is 0 within them: `chi` and `delta_relative` are then NaN.
    """

    layer: int
    preactivation_variance: float
    activation_mean: float
    activation_rms: float
    activation_std: float
    chi: float
    delta_relative: float
    output_delta_relative: float
    delta_log_variance: float


@dataclass(frozen=True)
class Prediction:
    """A network at initialization, in the limit of infinite width.

    Attributes:
        layers: the hidden layers from the input to the output; none where theory does not cover the network.
        decades_per_layer: slope of the straight line of log10 RMS δ over the hidden layers, toward the input; None for
            fewer than two layers, or where δ is 0. Where residual blocks start at scale 0, δ at their outputs counts.
        depth_scale: ξ = 1/|ln χ| in layers, with χ of the last factor between two hidden layers, the one nearest to the
            fixed point (Schoenholz et al. 2017); infinite at χ = 1.
        delta_last: RMS δ at the last hidden layer, if the logits are small: δ of the mean cross-entropy at uniform
            probabilities is √((1 − 1/C)/C)/B, that of the mean squared error 2 √(E y²)/C/B, where E y² is 1/C for
            one-hot vectors. None where it is not known.
        ahead: depths at which something is lost, and the outlook.
        caveats: where this prediction is known to be loose.
        not_covered: why theory has nothing to say; None where it has.
    """

    layers: tuple[LayerPrediction, ...]
    decades_per_layer: float | None
    depth_scale: float | None
    delta_last: float | None
    ahead: Outlook
    caveats: tuple[str, ...] = ()
    not_covered: str | None = None

    @property
    def outlook(self) -> str:
        """What is to be expected of training, in one sentence."""
        return self.ahead.sentence

    def rows(self) -> list[dict[str, Any]]:
        """The table `theory` (`tables.SCHEMAS`), a mapping a hidden layer; what is not defined is None."""
        return [{key: None if isnan(value) else value for key, value in asdict(row).items()} for row in self.layers]


def predict_on(config: Config, dataset: Dataset) -> Prediction:
    """What theory predicts for a network on its data: what `gradlab predict` prints and a run stores."""
    return predict(
        config,
        features=input_shape(config.model, config.data, dataset),
        classes=dataset.classes,
        input_second_moment=dataset.input_second_moments if config.model.reads_images else dataset.input_second_moment,
        batch_size=config.data.samples_per_step(len(dataset.train.y)),
        target_second_moment=dataset.target_second_moment,
    )


def predict(
    config: Config,
    *,
    features: int | tuple[int, ...],
    classes: int,
    input_second_moment: float | Array,
    batch_size: int | None = None,
    target_second_moment: float | None = None,
) -> Prediction:
    """What mean-field theory predicts for a network at initialization.

    Args:
        config: the run.
        features: inputs of the first layer; of a network that reads images, their channels, height and width.
        classes: units of the output layer.
        input_second_moment: E x² over samples and features, `Dataset.input_second_moment`; of images it may be one at
            each position, `Dataset.input_second_moments`.
        target_second_moment: E y² over samples and outputs, where numbers are predicted.
        batch_size: samples a step, where the training split is smaller than the config's batch, or is the batch.

    Raises:
        ValueError: the config's batch is the full training split, and its size is not given.
    """
    model = config.model
    batch = batch_size or config.data.batch_size
    if isinstance(batch, str):
        raise ValueError("a batch of the full training split needs its size")
    if not isinstance(model, Layered):
        return _uncovered(f"its kind is {model.kind}, and the formulas are those of an mlp or a cnn")
    reason = not_covered(model, batch)
    if reason is None:
        layers, log_delta_L, log_output_L = _layers(model, features, classes, input_second_moment, batch)
        reason = not_covered(model, batch, layers)
    if reason is not None:
        return _uncovered(reason)

    scale_known = not isinstance(model, CNN) or model.initializer.name != "lsuv"
    target = 1 / classes if target_second_moment is None else target_second_moment
    with np.errstate(invalid="ignore"):  # where δ is 0 in two neighbours
        log_chi_L = log_delta_L - np.append(log_delta_L[1:], 0.0 if scale_known else nan)
        relative_L = (log_delta_L - log_delta_L[-1]) / 2
        output_relative_L = (log_output_L - log_output_L[-1]) / 2
    closed = layers[-1].skip and layers[-1].slope == 0  # a residual block of scale 0
    if closed:
        relative_L = np.full_like(relative_L, np.nan)  # relative to 0
        log_chi_L = relative_L
    decades_L = (output_relative_L if closed else relative_L) / log(10)
    log_delta_last = log(_DELTA_OUTPUT[config.train.loss](classes, target) / batch) + float(log_delta_L[-1]) / 2
    log_delta_last = log_delta_last if scale_known else nan
    # over maps, how far the positions are independent of one another is not known
    log_variance_L = np.full(len(layers), nan) if isinstance(model, CNN) else log_variances(model, layers)
    return Prediction(
        layers=_layer_predictions(layers, log_chi_L, relative_L, output_relative_L, log_variance_L),
        decades_per_layer=_toward_input(decades_L),
        depth_scale=_depth_scale(log_chi_L),
        delta_last=_exp(log_delta_last) if scale_known else None,
        ahead=look_ahead(
            q=[layer.q for layer in layers],
            decades_per_layer=_toward_input(decades_L),
            log10_delta_last=log_delta_last / log(10),
            dtype=config.dtype,
            closed=closed,
        ),
        caveats=caveats(model, config.data, layers, features if isinstance(features, int) else features[0], batch),
    )


def _layers(
    model: Layered,
    features: int | tuple[int, ...],
    classes: int,
    input_second_moment: float | Array,
    batch: int,
) -> tuple[list[Layer], Array, Array]:
    """The hidden layers, and the logarithms of E δ² at their weight layers and at their outputs, over the logits'."""
    if isinstance(model, CNN):
        assert not isinstance(features, int)
        over_maps = maps.forward(model, features[0], np.broadcast_to(input_second_moment, features[1:]))
        layers = [
            layer.summary(kernel**2, normalized=model.normalization.where != "none")
            for layer, kernel in zip(over_maps, model.kernels, strict=True)
        ]
        # LSUV scales the output layer by the size of means over positions, which second moments do not tell
        output = initializers.variance(model.initializer, model.hidden_widths[-1], classes)
        logs = maps.log_deltas(over_maps, 1.0 if output is None else classes * output / over_maps[-1].q_HW.size ** 2)
        return layers, *logs
    assert isinstance(features, int)
    layers = forward(model, features=features, input_second_moment=float(input_second_moment), batch=batch)
    output = weight_variance(model.initializer, model.hidden_widths[-1], classes, layers[-1].signal.second_moment)
    return layers, *log_deltas(layers, classes * output)


def _uncovered(reason: str) -> Prediction:
    ahead = Outlook(sentence=f"Theory does not cover this network: {reason}.")
    return Prediction((), None, None, None, ahead, not_covered=reason)


def _layer_predictions(
    layers: Sequence[Layer], log_chi_L: Array, relative_L: Array, output_relative_L: Array, log_variance_L: Array
) -> tuple[LayerPrediction, ...]:
    return tuple(
        LayerPrediction(
            layer=number,
            preactivation_variance=layer.q,
            activation_mean=layer.output.mean,
            activation_rms=sqrt(layer.output.second_moment),
            activation_std=sqrt(layer.output.variance),
            chi=_exp(log_chi_L[number]),
            delta_relative=_exp(relative_L[number]),
            output_delta_relative=_exp(output_relative_L[number]),
            delta_log_variance=float(log_variance_L[number]),
        )
        for number, layer in enumerate(layers)
    )


def _toward_input(decades_L: Array) -> float | None:
    slope = line(decades_L)
    return None if slope is None else 0.0 - slope  # never −0.0


def _depth_scale(log_chi_L: Array) -> float | None:
    if len(log_chi_L) < 2 or not np.isfinite(log_chi_L[-2]):
        return None
    rate = abs(float(log_chi_L[-2]))
    return 1 / rate if rate > 1e-12 else inf


def _exp(value: float) -> float:
    """E to the power of a value; infinite where it overflows."""
    return inf if value > 709 else exp(value)
