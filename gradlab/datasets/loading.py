"""Config ─► Dataset: the registry of sources, then split and standardization."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradlab.choices import Data
from gradlab.datasets import bundled, files, openml, shapeset, synthetic
from gradlab.datasets.dataset import Dataset, Samples, split, standardization
from gradlab.seeding import stream

LOADERS: Mapping[str, Callable[[Any, int], Samples]] = {
    "digits": bundled.digits,
    "breast_cancer": bundled.breast_cancer,
    "wine": bundled.wine,
    "gaussian": synthetic.gaussian,
    "spirals": synthetic.spirals,
    "shapeset": shapeset.shapeset,
    "file": files.file,
    "openml": openml.openml,
}
"""Sources by their name in a config; each takes its choice and the seed of its own random draws."""

ENDLESS: Mapping[str, Callable[[int, int], Samples]] = {"shapeset": shapeset.draw}
"""Sources that never run out: how many samples and a seed ─► new samples."""


def load(data: Data, seed: int) -> Dataset:
    """Load, split and standardize the configured data.

    Args:
        data: the source and its options.
        seed: the config's; data, split and batches each have a stream of their own.

    Raises:
        DatasetError: the data cannot be read or do not make a classification task.
    """
    samples = LOADERS[data.name](data, stream(seed, "data"))
    train, test = split(samples, data.test_fraction, stream(seed, "split"))
    seen = standardization(samples.x[train]) if data.standardize else np.asarray

    def draw(number: int, size: int) -> Samples:
        batch = ENDLESS[data.name](size, stream(seed, "batch", number))
        return Samples(seen(batch.x), batch.y)

    return Dataset(
        seen(samples.x[train]),
        samples.y[train],
        seen(samples.x[test]),
        samples.y[test],
        classes=int(samples.y.max()) + 1,
        draw=draw if data.name in ENDLESS else None,
    )
