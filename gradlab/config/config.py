"""What a run is: frozen models, one docstring a field.

    Config
    ├── model    MLP             the network: its kind and the options of that kind (`choices`)
    ├── data     Digits | …      the data source and its options (`choices`)
    ├── train    TrainConfig     optimizer, learning rate, length
    └── record   RecordConfig    what is written down, and when

`files.py` makes a Config from YAML and overrides.
"""

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gradlab import choices, user_code
from gradlab.choices import DATASETS, MODELS, OPTIMIZERS, SCHEDULES, Data, Model, OneOf, Optimizer, Options, Schedule
from gradlab.choices.base import Count, Times
from gradlab.errors import DatasetError
from gradlab.reading import open_file

SCHEMA = 2
"""The version of configs and run folders. It is part of every id and stands in every `summary.json`. It goes up where
what stands in them gets another meaning, as where a default changes; a new option with a default does not count.

1: folders that do not say a version; their ids were made of all fields
2: ids are made of the fields that differ from their defaults
"""


OTHER_DATA = "openml has MNIST and thousands of others ({name: openml, dataset: mnist_784}), and file reads your own"
"""Said of a dataset that there is not."""


class TrainConfig(Options):
    """How the network trains: a loss, averaged over the batch, with one optimizer."""

    optimizer: Annotated[Optimizer, OneOf("an optimizer", OPTIMIZERS)] = choices.SGD()
    """A torch.optim optimizer: a name, or a mapping of a name and its options: {name: sgd, momentum: 0.9}."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    """Learning rate, before the schedule."""
    schedule: Annotated[Schedule, OneOf("a schedule", SCHEDULES)] = choices.ConstantRate()
    """How the learning rate changes over the run: a name, or a mapping of a name and its options:
    {name: cosine, warmup: 20}."""
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    """cross_entropy; or mse, the mean squared difference from the target, over samples and outputs. The target is a
    one-hot vector where the data has classes."""
    steps: Count | None = None
    """Optimizer steps; 500 where neither steps nor epochs is given. Never together with epochs."""
    epochs: Count | None = None
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
        if self.steps is not None and self.schedule.warmup > self.steps:
            raise ValueError(f"the schedule's warmup of {self.schedule.warmup} steps is longer than {self.steps} steps")
        return self


class RecordConfig(Options):
    """What is recorded, and how often."""

    every: Count = 1
    """Steps between records; step 0 and the last step are always recorded."""
    histograms: Times = 5
    """How many times in the run histograms are taken, evenly spread; 0 = none."""
    dead_units: Times = 5
    """How many times in the run a full pass over the training split looks for dead units, evenly spread; 0 = none."""


Word = Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=50)]


class Config(Options):
    """One run, completely described. Two configs with one id are the same run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = "run"
    """Name of the run folder, and of nothing else; the default is the config file's stem."""
    tags: Annotated[tuple[Word, ...], Field(strict=False)] = ()
    """Short words to find the run by; they do not make it another run."""
    notes: str = ""
    """Anything worth remembering of the run; it does not make it another run."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seeds weights, data split and batch order, each with a stream of its own."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """auto, cpu, cuda, cuda:1 or mps; auto takes a CUDA device where there is one."""
    dtype: Literal["float32", "float64"] = "float32"
    """Number format of weights, activations and gradients."""
    model: Annotated[Model, OneOf("a kind of network", MODELS, default="mlp")] = choices.MLP()
    """The network: its kind and the options of that kind."""
    data: Annotated[Data, OneOf("a dataset", DATASETS, default="digits", beyond=OTHER_DATA)] = choices.Digits()
    """The data source: a name, or a mapping of a name and its options."""
    train: TrainConfig = TrainConfig()
    """Optimizer and length."""
    record: RecordConfig = RecordConfig()
    """What is written down."""

    @functools.cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of what makes the run: `SCHEMA`, and the fields that differ from their
        defaults. `name`, `tags` and `notes` do not count; files count by their content, not by their path.

        Raises:
            DatasetError: the data file cannot be read.
            UserError: a file of code cannot be read.
        """
        fields = {key: value for key, value in self.non_defaults.items() if key not in LABELS}
        if isinstance(self.data, choices.File):
            fields["data"] = {**fields["data"], "path": _digest(self.data)}
        fields |= {key: _by_content(getattr(self, key), fields[key]) for key in ("model", "data") if key in fields}
        return short_hash({"schema": SCHEMA, "config": fields})

    @property
    def names_files(self) -> bool:
        """Whether the id depends on the content of files, which may have changed since or may not be there."""
        return isinstance(self.data, choices.File) or bool(self.code)

    @property
    def code(self) -> tuple[str, ...]:
        """The Python functions of the user that the config names."""
        return tuple(_codes(self.model)) + tuple(_codes(self.data))

    @property
    def folder(self) -> str:
        """Name of the run folder: `<name>-<id>`."""
        return f"{self.name}-{self.id}"


LABELS = ("name", "tags", "notes")
"""Fields that say something about a run and do not make it another one."""


def short_hash(data: Any) -> str:
    """First 12 hex digits of the SHA-256 of plain data, whatever the order of the keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def _codes(options: Options) -> Iterator[str]:
    """The Python functions that some options name, and those in them."""
    if code := getattr(options, "code", ""):
        yield getattr(options, code)
    for key in type(options).model_fields:
        value = getattr(options, key, None)
        if isinstance(value, Options):
            yield from _codes(value)


def _by_content(options: Options, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an identity, with the content of the code in place of where it stands."""
    by_content = dict(fields)
    for key in fields:
        value = getattr(options, key)
        if isinstance(value, Options):
            by_content[key] = _by_content(value, fields[key])
    if code := getattr(options, "code", ""):
        by_content[code] = user_code.digest(getattr(options, code))
    return by_content


def _digest(data: choices.File) -> str:
    try:
        with open_file(data.path) as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(
            f"data.path: cannot read {str(data.path)!r}: {reason}",
            fix="Name a readable .npz, .csv or .parquet file.",
        ) from error
