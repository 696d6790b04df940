"""Config ─► Dataset: the samples of the configured source, then split and standardization."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from gradlab.choices import Data
from gradlab.config import Config
from gradlab.datasets.dataset import Dataset, Samples, Targets, split, standardization
from gradlab.errors import DatasetError
from gradlab.seeding import stream


def _function(data: Data, name: str) -> Callable[..., Any]:
    """A function of the module of a data source."""
    function: Callable[..., Any] = getattr(import_module(f"gradlab.datasets.{data.facts.module}"), name)
    return function


def load_for(config: Config) -> Dataset:
    """The data of a config, in the form that its network takes.

    Raises:
        DatasetError: as `load`.
    """
    dataset = load(config.data, config.seed, config.train.loss)
    return dataset if config.model.takes_any_shape else dataset.flat


def load(data: Data, seed: int, loss: str = "cross_entropy") -> Dataset:
    """Load, split and standardize the configured data.

    Args:
        data: the source and its options.
        seed: the seed of the config; data, split and batches each have a random stream of their own.
        loss: what is minimized: classes are needed for cross_entropy; with mse numbers are predicted, too.

    Raises:
        DatasetError: the data cannot be read, or are no task for the loss.
    """
    told = {"loss": loss} if data.facts.any_target else {}
    made = _function(data, data.name)(data, stream(seed, "data"), **told)
    train, test = made if isinstance(made, tuple) else _split(made, data, seed)
    if train.y.dtype.kind == "f" and loss != "mse":
        raise DatasetError(
            f"data: the targets of {data.label} are numbers, and train.loss={loss} is about classes",
            fix="train.loss=mse predicts numbers.",
        )
    standardize = data.standardize and train.x.dtype.kind == "f"
    seen = standardization(train.x) if standardize else np.asarray

    def draw(number: int, size: int) -> Samples:
        batch = _function(data, "draw")(size, stream(seed, "batch", number))
        return Samples(seen(batch.x), batch.y, batch.image)

    return Dataset(
        Samples(seen(train.x), train.y, train.image),
        Samples(seen(test.x), test.y, test.image),
        classes=_outputs(train.y, test.y),
        draw=draw if data.facts.endless else None,
    )


def _split(samples: Samples, data: Data, seed: int) -> tuple[Samples, Samples]:
    train, test = split(samples, data.test_fraction, stream(seed, "split"))
    one, other = (Samples(samples.x[chosen], samples.y[chosen], samples.image) for chosen in (train, test))
    return one, other


def _outputs(*targets: Targets) -> int:
    """Classes, or numbers to predict of each sample."""
    if targets[0].dtype.kind == "f":
        return int(targets[0].shape[1])
    return max(int(y.max()) for y in targets) + 1
