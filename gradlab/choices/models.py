"""Kinds of networks: their options, and what the rest of the program may ask of a network, whatever its kind.

What builds a network stands in a file of `gradlab.networks`, one for each kind.
"""

from collections.abc import Mapping
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


class Model(Options):
    """What every kind of network shares.

    Rules, theory and views ask for the properties below and for nothing else. They are None where a kind has no such
    option; a kind that has one of that name answers without a line of its own.
    """

    tag: ClassVar[str] = "kind"
    takes_any_shape: ClassVar[bool] = False
    """Whether the network gets samples in the shape that they have; otherwise as one row of numbers each."""
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
        if isinstance(width, int):
            return width
        depth = info.data.get("depth")  # absent where it is wrong itself
        if depth is not None and len(width) != depth:
            raise ValueError(f"lists {len(width)} layers, but depth is {depth}")
        return width[0] if len(set(width)) == 1 else width  # one spelling, one id

    @field_validator("residual")
    @classmethod
    def _residual(cls, residual: bool | ResidualScale) -> bool | ResidualScale:
        return True if residual == ResidualScale(scale=1.0) else residual  # one spelling, one id

    @property
    def residual_scale(self) -> float | None:
        """What a block is multiplied with at the start, before its input is added; None where no input is added."""
        if isinstance(self.residual, ResidualScale):
            return 0.0 if self.residual.scale == "zero" else float(self.residual.scale)
        return 1.0 if self.residual else None

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Units of each hidden layer, `depth` numbers."""
        return tuple(self.width) if isinstance(self.width, list) else (self.width,) * self.depth

    def parameter_count(self, features: int, classes: int) -> int:
        """Weights of all layers, biases aside."""
        return sum(fan_in * fan_out for fan_in, fan_out in pairwise((features, *self.hidden_widths, classes)))

    @property
    def summary(self) -> str:
        """The network in a few words."""
        width = "varying width" if isinstance(self.width, list) else f"width {self.width}"
        parts = [f"{self.depth} × {self.activation.label}", width, self.initializer.label]
        if self.normalization.where != "none":
            parts.append(f"{self.normalization.traits.label} {self.normalization.where}")
        if self.residual_scale is not None:
            scaled = "" if self.residual is True else f", scale {getattr(self.residual, 'scale', '')}"
            parts.append(f"residual{scaled}")
        return ", ".join(parts)


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


MODELS: Mapping[str, type[Model]] = by_name(MLP, PythonModel)
