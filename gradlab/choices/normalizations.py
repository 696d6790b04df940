"""Normalizations of a hidden layer: their options, and beside each what is known of it (`NormalizationTraits`).

The module that does the work stands in `gradlab.networks.normalizations`. `batch_norm: before` is short for
`normalization: {name: batch_norm, place: before}`, in a config and wherever a setting is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from gradlab.choices.base import Choice, NonNegative, OneOf, Positive, by_name

Place = Literal["before", "after"]


@dataclass(frozen=True)
class NormalizationTraits:
    """What rules, theory and views have to know of a normalization.

    Attributes:
        label: what a person calls it.
        uses_batch_statistics: in training a sample is normalized with numbers of its whole batch, in evaluation with
            running ones, so that the two may drift apart.
    """

    label: str
    uses_batch_statistics: bool = False


class Normalization(Choice):
    """The base of all normalizations, and of having none."""

    traits: ClassVar[NormalizationTraits]
    """What is known of it."""

    @property
    def where(self) -> str:
        """`before` or `after` the activation; `none` where nothing is normalized."""
        return getattr(self, "place", "none")


class NoNormalization(Normalization):
    """Nothing is normalized."""

    name: Literal["none"] = "none"
    traits = NormalizationTraits("no normalization")


class _Scaled(Normalization):
    """What every normalization shares: its place, and the scale γ that comes after the division."""

    place: Place = "before"
    """Before or after the activation."""
    gamma: NonNegative = 1.0
    """What γ starts at: each unit is multiplied by it once it is normalized."""
    epsilon: Positive = 1e-5
    """Is added to the variance, or the mean square, by whose root a unit is divided."""
    affine: bool = True
    """Whether γ (and β) are learned; false keeps them as they start."""


class BatchNorm(_Scaled):
    """Each unit to mean 0 and variance 1 over the batch, then scaled and shifted (Ioffe & Szegedy 2015)."""

    name: Literal["batch_norm"] = "batch_norm"
    traits = NormalizationTraits("BatchNorm", uses_batch_statistics=True)
    beta: float = 0.0
    """What the shift β starts at."""
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of each batch in the running mean and variance, which evaluation uses."""


class LayerNorm(_Scaled):
    """Each sample to mean 0 and variance 1 over the units of the layer, then scaled and shifted (Ba et al. 2016)."""

    name: Literal["layer_norm"] = "layer_norm"
    traits = NormalizationTraits("LayerNorm")
    beta: float = 0.0
    """What the shift β starts at."""


class RMSNorm(_Scaled):
    """Each sample to mean square 1 over the units of the layer, then scaled (Zhang & Sennrich 2019)."""

    name: Literal["rms_norm"] = "rms_norm"
    traits = NormalizationTraits("RMSNorm")


NORMALIZATIONS: Mapping[str, type[Normalization]] = by_name(NoNormalization, BatchNorm, LayerNorm, RMSNorm)


# ----------------------------------------------------------------------------------------------------------- shorthand

SHORTHAND, IN_FULL = "model.batch_norm", "model.normalization"
"""The setting that is short for another one, and that one."""


def shorthand_word(value: Any) -> Any:
    """True means before, false none; any other value is itself."""
    return {True: "before", False: "none"}[value] if isinstance(value, bool) else value


def from_shorthand(value: Any) -> dict[str, Any] | None:
    """`before` ─► `{name: batch_norm, place: before}`.

    Returns:
        What a config has for it under `normalization`; None of a value that means nothing.
    """
    place = shorthand_word(value)
    if place in ("before", "after"):
        return {"name": "batch_norm", "place": place}
    return {"name": "none"} if place == "none" else None


def to_shorthand(name: str, place: Any) -> str:
    """The place of a batch normalization; `none` where there is none, whatever else normalizes."""
    return str(place) if name == "batch_norm" else "none"


def _alone(normalization: Normalization, info: ValidationInfo) -> Normalization:
    if info.data.get("batch_norm") is not None:
        raise ValueError("batch_norm is short for normalization; keep one of them")
    return normalization


NormalizationOption = Annotated[Normalization, OneOf("a normalization", NORMALIZATIONS), AfterValidator(_alone)]
"""The option `normalization` of a model kind."""
BatchNormOption = Annotated[
    Literal["none", "before", "after"] | None,
    BeforeValidator(shorthand_word, json_schema_input_type=Literal["none", "before", "after"] | bool),
    Field(exclude=True),
]
"""The option `batch_norm` of a model kind, which stands before `normalization`. It is gone once it has been read."""
