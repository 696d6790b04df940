"""Config ─► Dataset: the samples of the configured source, then split and standardization."""

from collections.abc import Callable
from importlib import import_module

import numpy as np

from gradlab.choices import Data
from gradlab.datasets.dataset import Dataset, Samples, split, standardization
from gradlab.seeding import stream


def _function(data: Data, name: str) -> Callable[..., Samples]:
    """A function of the module of a data source."""
    function: Callable[..., Samples] = getattr(import_module(f"gradlab.datasets.{data.facts.module}"), name)
    return function


def load(data: Data, seed: int) -> Dataset:
    """Load, split and standardize the configured data.

    Args:
        data: the source and its options.
        seed: the seed of the config; data, split and batches each have a random stream of their own.

    Raises:
        DatasetError: the data cannot be read, or are no classification task.
    """
    samples = _function(data, data.name)(data, stream(seed, "data"))
    train, test = split(samples, data.test_fraction, stream(seed, "split"))
    seen = standardization(samples.x[train]) if data.standardize else np.asarray

    def draw(number: int, size: int) -> Samples:
        batch = _function(data, "draw")(size, stream(seed, "batch", number))
        return Samples(seen(batch.x), batch.y, batch.image)

    return Dataset(
        Samples(seen(samples.x[train]), samples.y[train], samples.image),
        Samples(seen(samples.x[test]), samples.y[test], samples.image),
        classes=int(samples.y.max()) + 1,
        draw=draw if data.facts.endless else None,
    )
