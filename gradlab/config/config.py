"""What a run is: frozen models, one docstring a field.

    Config
    ├── model    ModelConfig     the network
    ├── data     Digits | …      the data source and its options (`choices`)
    ├── train    TrainConfig     optimizer, learning rate, length
    └── record   RecordConfig    what is written down, and when

`files.py` makes a Config from YAML and overrides.
"""

import functools
import hashlib
import json
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from gradlab import choices
from gradlab.choices import ACTIVATIONS, ALIASES, DATASETS, INITIALIZERS, OPTIMIZERS, Choice, Options
from gradlab.errors import DatasetError


def _named(value: Any) -> Any:
    """`relu` is short for `{name: relu}`; aliases become the name they stand for."""
    if isinstance(value, str):
        value = {"name": value}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        value = {**value, "name": ALIASES.get(value["name"], value["name"])}
    return value


def _digits_by_default(value: Any) -> Any:
    """`data: {batch_size: 16}` is about the default data source."""
    return {"name": "digits", **value} if isinstance(value, Mapping) else value


def _choice(registry: Mapping[str, type[Choice]]) -> Any:
    """Annotate a field that takes one of a registry's models, as a name or as a mapping with a name."""
    models: Any = functools.reduce(operator.or_, registry.values())
    union: Any = Annotated[models, Field(discriminator="name")]
    names = (*registry, *(alias for alias, name in ALIASES.items() if name in registry))
    return Annotated[union, BeforeValidator(_named, json_schema_input_type=Literal[names] | union)]


PositiveInt = Annotated[int, Field(ge=1)]


class ModelConfig(Options):
    """The network: hidden layers of Linear, optional BatchNorm and activation, then a Linear output layer."""

    depth: PositiveInt = 20
    """Hidden layers; the output layer is extra."""
    width: PositiveInt | list[PositiveInt] = 100
    """Units a hidden layer: one number, or a list of `depth` numbers."""
    activation: _choice(ACTIVATIONS) = choices.ReLU()  # type: ignore[valid-type]
    """A name, or a mapping of a name and its options: {name: leaky_relu, negative_slope: 0.2}."""
    initializer: _choice(INITIALIZERS) = choices.HeNormal()  # type: ignore[valid-type]
    """How weights start: a name, or a mapping of a name and its options: {name: normal, std: 0.01}."""
    bias_std: Annotated[float, Field(ge=0)] = 0.0
    """Biases start as N(0, bias_std²); 0 means zeros."""
    batch_norm: Literal["none", "before", "after"] = "none"
    """Batch normalization before or after the activation; true means before, false none."""
    residual: bool = False
    """x + block(x) wherever the widths match."""

    @field_validator("width")
    @classmethod
    def _width(cls, width: int | list[int], info: ValidationInfo) -> int | list[int]:
        if isinstance(width, int):
            return width
        depth = info.data.get("depth")  # absent where it is wrong itself
        if depth is not None and len(width) != depth:
            raise ValueError(f"lists {len(width)} layers, but depth is {depth}")
        return width[0] if len(set(width)) == 1 else width  # one spelling, one id

    @field_validator("batch_norm", mode="before", json_schema_input_type=Literal["none", "before", "after"] | bool)
    @classmethod
    def _batch_norm(cls, value: Any) -> Any:
        return {True: "before", False: "none"}[value] if isinstance(value, bool) else value

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each hidden layer, `depth` numbers."""
        return tuple(self.width) if isinstance(self.width, list) else (self.width,) * self.depth


class TrainConfig(Options):
    """How the network trains: cross-entropy, averaged over the batch, with one optimizer."""

    optimizer: _choice(OPTIMIZERS) = choices.SGD()  # type: ignore[valid-type]
    """A torch.optim optimizer: a name, or a mapping of a name and its options: {name: sgd, momentum: 0.9}."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    """Learning rate, constant over the run."""
    steps: PositiveInt | None = None
    """Optimizer steps; 500 where neither steps nor epochs is given. Never together with epochs."""
    epochs: PositiveInt | None = None
    """Passes over the training split. Never together with steps."""
    clip_gradient_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the whole gradient; records show it before clipping. null does not clip."""

    @field_validator("epochs")
    @classmethod
    def _exclusive(cls, epochs: int | None, info: ValidationInfo) -> int | None:
        steps = info.data.get("steps")
        if steps is not None and epochs is not None:
            raise ValueError(f"steps ({steps}) and epochs ({epochs}) exclude each other; keep one")
        return epochs

    @model_validator(mode="after")
    def _length(self) -> "TrainConfig":
        if self.steps is None and self.epochs is None:
            object.__setattr__(self, "steps", 500)
        return self


class RecordConfig(Options):
    """What is recorded, and how often."""

    every: PositiveInt = 1
    """Steps between records; step 0 and the last step are always recorded."""
    histograms: Annotated[int, Field(ge=0)] = 5
    """How many times in the run histograms are taken, evenly spread; 0 = none."""
    dead_units: Annotated[int, Field(ge=0)] = 5
    """How many times in the run a full pass over the training split looks for dead units, evenly spread; 0 = none."""


class Config(Options):
    """One run, completely described. Two equal configs are the same run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = "run"
    """Name of the run folder, and of nothing else; the default is the config file's stem."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seeds weights, data split and batch order, each with a stream of its own."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """auto, cpu, cuda, cuda:1 or mps; auto takes a CUDA device where there is one."""
    dtype: Literal["float32", "float64"] = "float32"
    """Number format of weights, activations and gradients."""
    model: ModelConfig = ModelConfig()
    """The network."""
    data: Annotated[_choice(DATASETS), BeforeValidator(_digits_by_default)] = choices.Digits()  # type: ignore[valid-type]
    """The data source: a name, or a mapping of a name and its options."""
    train: TrainConfig = TrainConfig()
    """Optimizer and length."""
    record: RecordConfig = RecordConfig()
    """What is written down."""

    @functools.cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of the canonical config: sorted JSON without the name; a data file
        counts by its content, not by its path.

        Raises:
            DatasetError: the data file cannot be read.
        """
        fields = self.model_dump(mode="json", exclude={"name"})
        if isinstance(self.data, choices.File):
            fields["data"]["path"] = _digest(self.data)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def folder(self) -> str:
        """Name of the run folder: `<name>-<id>`."""
        return f"{self.name}-{self.id}"


def _digest(data: choices.File) -> str:
    try:
        with data.path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(
            f"data.path: cannot read {str(data.path)!r}: {error.strerror or error}",
            fix="Name a readable .npz, .csv or .parquet file.",
        ) from error
