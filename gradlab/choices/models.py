"""Kinds of networks: their options, and what the rest of the program may ask of a network, whatever its kind.

What builds a network stands in a file of `gradlab.networks`, one for each kind.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gradlab.choices.activations import ACTIVATIONS, ALIASES, Activation, ReLU
from gradlab.choices.base import Code, NamedOptions, NonNegative, OneOf, Options, Positive, Size, by_name, called_text
from gradlab.choices.initializers import INITIALIZERS, HeNormal, Initializer
from gradlab.choices.normalizations import (
    NORMALIZATIONS,
    BatchNormOption,
    NoNormalization,
    Normalization,
    NormalizationOption,
    from_shorthand,
)

Kernel = Annotated[int, Field(ge=1, le=999)]
Stride = Annotated[int, Field(ge=1, le=1000)]
_NO_SUM = "a residual block adds its input, which must have the same shape"


class Model(Options):
    """What every kind of network shares.

    Rules, theory and views ask for the properties below and for nothing else. They are None where a kind has no such
    option; a kind that has one of that name answers without a line of its own.
    """

    tag: ClassVar[str] = "kind"
    takes_any_shape: ClassVar[bool] = False
    """Whether the network gets samples in the shape that they have; otherwise as one row of numbers each."""
    reads_images: ClassVar[bool] = False
    """Whether a sample must be an image, of channels, height and width."""
    kind: str

    @property
    def hidden_widths(self) -> tuple[int, ...] | None:
        """Units of each hidden layer, from the input to the output."""
        return None

    @property
    def hidden_activation(self) -> Activation | None:
        """The activation of the hidden layers."""
        return getattr(self, "activation", None)

    @property
    def hidden_normalization(self) -> Normalization | None:
        """The normalization of the hidden layers; `none` where they could have one."""
        return getattr(self, "normalization", None)

    @property
    def weight_initializer(self) -> Initializer | None:
        """How weights start."""
        return getattr(self, "initializer", None)

    @property
    def same_entries(self) -> bool:
        """Whether the outputs of all hidden layers are of one size, or differ in their units alone.

        Otherwise the RMS of δ, which is a mean over entries, changes from layer to layer by arithmetic.
        """
        return True

    def parameter_count(self, features: int, classes: int) -> int | None:
        """How many weights the network has at least, without building it; None where that is not known."""
        return None

    @property
    def summary(self) -> str:
        """The network in a few words."""
        return self.kind

    @model_validator(mode="after")
    def _expand_batch_norm(self) -> Self:
        choice = from_shorthand(getattr(self, "batch_norm", None))
        if choice is not None:
            vars(self).update(normalization=NORMALIZATIONS[choice["name"]](**choice), batch_norm=None)
        return self


class ResidualScale(Options):
    """How a residual block adds what it computes to what enters it: x + scale · block(x)."""

    scale: Positive | Literal["zero"]
    """A number that stays; or zero: one that is learned, and starts at 0 (ReZero, Bachlechner et al. 2020)."""


def _one_spelling(residual: bool | ResidualScale) -> bool | ResidualScale:
    return True if residual == ResidualScale(scale=1.0) else residual  # one spelling, one id


def _scale_at_start(residual: bool | ResidualScale) -> float | None:
    if isinstance(residual, ResidualScale):
        return 0.0 if residual.scale == "zero" else float(residual.scale)
    return 1.0 if residual else None


def _per_layer(values: int | list[int], depth: int | None) -> int | list[int]:
    """One number, or one for each hidden layer; `depth` is None where it is wrong itself."""
    if isinstance(values, int):
        return values
    if depth is not None and len(values) != depth:
        raise ValueError(f"lists {len(values)} layers, but depth is {depth}")
    return values[0] if len(set(values)) == 1 else values  # one spelling, one id


def _listed(values: int | list[int], depth: int) -> tuple[int, ...]:
    return tuple(values) if isinstance(values, list) else (values,) * depth


class MLP(Model):
    """Hidden layers of Linear, normalization or none, and activation; then a Linear output layer."""

    kind: Literal["mlp"] = "mlp"
    """The kind of network."""
    depth: Annotated[int, Field(ge=1, le=10**5)] = 20
    """Hidden layers; the output layer is extra."""
    width: Size | list[Size] = 100
    """Units a hidden layer: one number, or a list of `depth` numbers."""
    activation: Annotated[Activation, OneOf("an activation", ACTIVATIONS, ALIASES)] = ReLU()
    """A name, or a mapping of a name and its options: {name: leaky_relu, negative_slope: 0.2}."""
    initializer: Annotated[Initializer, OneOf("an initializer", INITIALIZERS)] = HeNormal()
    """How weights start: a name, or a mapping of a name and its options: {name: normal, std: 0.01}."""
    bias_std: NonNegative = 0.0
    """Biases start as N(0, bias_std²); 0 means zeros."""
    batch_norm: BatchNormOption = None
    """Short for a normalization: none, or the place of a batch_norm; true means before, false none."""
    normalization: NormalizationOption = NoNormalization()
    """none, or a name, or a mapping of a name and its options: {name: batch_norm, place: after}."""
    residual: bool | ResidualScale = False
    """true: x + block(x) wherever the widths match; {scale: 0.1}: x + 0.1 · block(x); {scale: zero}: a scale that is
    learned, and starts at 0."""

    @field_validator("width")
    @classmethod
    def _width(cls, width: int | list[int], info: ValidationInfo) -> int | list[int]:
        return _per_layer(width, info.data.get("depth"))

    @field_validator("residual")
    @classmethod
    def _residual(cls, residual: bool | ResidualScale) -> bool | ResidualScale:
        return _one_spelling(residual)

    @property
    def residual_scale(self) -> float | None:
        """What a block is multiplied with at the start, before its input is added; None where no input is added."""
        return _scale_at_start(self.residual)

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Units of each hidden layer, `depth` numbers."""
        return _listed(self.width, self.depth)

    def parameter_count(self, features: int, classes: int) -> int:
        """Weights of all layers, biases aside."""
        return sum(fan_in * fan_out for fan_in, fan_out in pairwise((features, *self.hidden_widths, classes)))

    @property
    def summary(self) -> str:
        """The network in a few words."""
        width = "varying width" if isinstance(self.width, list) else f"width {self.width}"
        parts = [f"{self.depth} × {self.activation.label}", width, self.initializer.label]
        return ", ".join([*parts, *_beside(self)])


class PythonModel(Model):
    """Your own: a Python function or class that makes any nn.Module; recorded as a watched model is."""

    kind: Literal["python"] = "python"
    """The kind of network."""
    code: ClassVar[str] = "factory"
    takes_any_shape: ClassVar[bool] = True
    factory: Code
    """`nets.py:build` for the function or class build of the file nets.py, or `package.module:build`. It is called with
    the options and, where it has arguments of these names, with `features` and `classes`."""
    options: NamedOptions = Field({})
    """What it is called with, by the names of its arguments."""

    @property
    def summary(self) -> str:
        """The network in a few words."""
        return called_text(self.factory, self.options)


class CNN(Model):
    """For images: hidden layers of Conv2d, normalization, activation; the mean over each map; a Linear output layer."""

    reads_images: ClassVar[bool] = True
    kind: Literal["cnn"] = "cnn"
    """The kind of network; for images."""
    depth: Annotated[int, Field(ge=1, le=10**4)] = 10
    """Hidden layers, a convolution each; the output layer is extra."""
    channels: Size | list[Size] = 32
    """Maps that a hidden layer puts out: one number, or a list of `depth` numbers."""
    kernel: Kernel | list[Kernel] = 3
    """k of a kernel of k × k, odd, so that k // 2 zeros on each side keep the size of a map; or a list of `depth`."""
    stride: Stride | list[Stride] = 1
    """Steps of the kernel: 2 halves height and width. One number, or a list of `depth` numbers."""
    activation: Annotated[Activation, OneOf("an activation", ACTIVATIONS, ALIASES)] = ReLU()
    """A name, or a mapping of a name and its options: {name: leaky_relu, negative_slope: 0.2}."""
    initializer: Annotated[Initializer, OneOf("an initializer", INITIALIZERS)] = HeNormal()
    """How weights start, with fan_in = k² · channels of the input and fan_out = k² · channels of the output."""
    bias_std: NonNegative = 0.0
    """Biases start as N(0, bias_std²); 0 means zeros."""
    batch_norm: BatchNormOption = None
    """Short for a normalization: none, or the place of a batch_norm; true means before, false none."""
    normalization: NormalizationOption = NoNormalization()
    """batch_norm over the batch and all positions of a map; layer_norm and rms_norm over all maps of a sample."""
    residual: bool | ResidualScale = False
    """true: x + block(x) from the second layer on; all channels are equal then, and strides behind the first are 1."""

    @field_validator("channels", "kernel", "stride")
    @classmethod
    def _lists(cls, values: int | list[int], info: ValidationInfo) -> int | list[int]:
        for each in values if isinstance(values, list) else [values]:
            if info.field_name == "kernel" and each % 2 == 0:
                raise ValueError(f"{each} is even; only an odd kernel has a middle, so that zeros around keep the size")
        return _per_layer(values, info.data.get("depth"))

    @field_validator("residual")
    @classmethod
    def _residual(cls, residual: bool | ResidualScale, info: ValidationInfo) -> bool | ResidualScale:
        depth, channels, stride = (info.data.get(key) for key in ("depth", "channels", "stride"))
        if residual is not False and depth and channels and stride:  # absent where they are wrong themselves
            for layer, (before, after) in enumerate(pairwise(_listed(channels, depth)), start=1):
                if before != after:
                    raise ValueError(f"layer {layer} has {after} channels and the one before it {before}: {_NO_SUM}")
            for layer, step in enumerate(_listed(stride, depth)[1:], start=1):
                if step != 1:
                    raise ValueError(f"layer {layer} has the stride {step}, which makes its maps smaller: {_NO_SUM}")
        return _one_spelling(residual)

    @property
    def residual_scale(self) -> float | None:
        """What a block is multiplied with at the start, before its input is added; None where no input is added."""
        return _scale_at_start(self.residual)

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Channels of each hidden layer, `depth` numbers."""
        return _listed(self.channels, self.depth)

    @property
    def kernels(self) -> tuple[int, ...]:
        """Width and height of the kernel of each hidden layer."""
        return _listed(self.kernel, self.depth)

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each hidden layer."""
        return _listed(self.stride, self.depth)

    def entries(self, height: int, width: int) -> int:
        """Numbers that the convolutions put out for one image."""
        total = 0
        for channels, stride in zip(self.hidden_widths, self.strides, strict=True):
            height, width = -(-height // stride), -(-width // stride)
            total += channels * height * width
        return total

    @property
    def same_entries(self) -> bool:
        """Whether no hidden layer but the first makes maps smaller."""
        return set(self.strides[1:]) <= {1}

    def parameter_count(self, features: int, classes: int) -> int:
        """Weights of all layers but the first one, biases aside."""
        hidden = zip(pairwise(self.hidden_widths), self.kernels[1:], strict=True)
        return sum(inputs * units * k * k for (inputs, units), k in hidden) + self.hidden_widths[-1] * classes

    @property
    def summary(self) -> str:
        """The network in a few words."""
        kernel = "varying kernels" if isinstance(self.kernel, list) else f"kernel {self.kernel}"
        channels = "varying channels" if isinstance(self.channels, list) else f"{self.channels} channels"
        parts = [f"{self.depth} × {self.activation.label}", channels, kernel]
        if self.stride != 1:
            parts.append("varying strides" if isinstance(self.stride, list) else f"stride {self.stride}")
        return ", ".join([*parts, self.initializer.label, *_beside(self)])


Layered = MLP | CNN
"""The kinds whose hidden layers a config lists: those that theory has formulas for."""


def _beside(model: Layered) -> Iterator[str]:
    """What stands beside the weights and the activations of a network, in words."""
    if model.normalization.where != "none":
        yield f"{model.normalization.traits.label} {model.normalization.where}"
    if model.residual_scale is not None:
        yield "residual" + ("" if model.residual is True else f", scale {getattr(model.residual, 'scale', '')}")


MODELS: Mapping[str, type[Model]] = by_name(MLP, CNN, PythonModel)
