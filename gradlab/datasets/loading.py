"""Config ─► Dataset: the registry of sources, then split and standardization."""

from collections.abc import Callable, Mapping
from typing import Any

from gradlab.choices import Data
from gradlab.datasets import bundled, files, openml, synthetic
from gradlab.datasets.dataset import Dataset, Samples, split, standardized
from gradlab.seeding import stream

LOADERS: Mapping[str, Callable[[Any, int], Samples]] = {
    "digits": bundled.digits,
    "breast_cancer": bundled.breast_cancer,
    "wine": bundled.wine,
    "gaussian": synthetic.gaussian,
    "spirals": synthetic.spirals,
    "file": files.file,
    "openml": openml.openml,
}
"""Sources by their name in a config; each takes its choice and the seed of its own random draws."""


def load(data: Data, seed: int) -> Dataset:
    """Load, split and standardize the configured data.

    Args:
        data: the source and its options.
        seed: the config's; data and split each have a stream of their own.

    Raises:
        DatasetError: the data cannot be read or do not make a classification task.
    """
    samples = LOADERS[data.name](data, stream(seed, "data"))
    train, test = split(samples, data.test_fraction, stream(seed, "split"))
    x_train, x_test = samples.x[train], samples.x[test]
    if data.standardize:
        x_train, x_test = standardized(x_train, x_test)
    return Dataset(x_train, samples.y[train], x_test, samples.y[test], classes=int(samples.y.max()) + 1)
