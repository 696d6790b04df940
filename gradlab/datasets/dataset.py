"""A task: samples with class numbers, or with numbers to predict, and their split."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.choices import Data, Model
from gradlab.errors import DatasetError

Features = NDArray[np.float64] | NDArray[np.int64]
Labels = NDArray[np.int64]
Targets = NDArray[np.int64] | NDArray[np.float64]
Image = tuple[int, int, int]
"""Channels, height and width."""

MOST_NUMBERS = 1000
"""More distinct numbers than this are taken for a regression target. Words may be more."""


@dataclass(frozen=True)
class Samples:
    """Samples of a source.

    Attributes:
        x: (samples, features); of data of the user's own (samples, …), integers or others.
        y: class numbers (samples,) from 0, none missing, one for each position where a sample has several; or numbers
            to predict, (samples, outputs).
        image: channels, height and width, where the samples are images; the features are in this order.
    """

    x: Features
    y: Targets
    image: Image | None = None


Draw = Callable[[int, int], Samples]
"""The number of a batch and its size ─► the batch. The same number always gives the same batch."""


@dataclass(frozen=True)
class Dataset:
    """The training and the test split, as the network gets them.

    Attributes:
        train: the training split; all classes are in it.
        test: the test split; all classes are in it.
        classes: number of classes; where numbers are predicted, how many of each sample.
        draw: makes training batches of new samples, if the source has as many as anybody wants; else None.
    """

    train: Samples
    test: Samples
    classes: int
    draw: Draw | None = None

    @property
    def features(self) -> int | tuple[int, ...]:
        """Features of a sample; the shape of a sample that is not one row."""
        shape = self.train.x.shape[1:]
        return int(shape[0]) if len(shape) == 1 else tuple(shape)

    @property
    def numeric(self) -> bool:
        """Whether numbers are predicted, and not classes."""
        return self.train.y.dtype.kind == "f"

    @property
    def flat(self) -> "Dataset":
        """The same with one row of numbers for each sample, which is an image if it has two or three dimensions."""
        shape = self.train.x.shape[1:]
        image = {1: self.image, 2: (1, *shape), 3: shape}.get(len(shape))
        train, test = (
            Samples(split.x.reshape(len(split.x), -1).astype(np.float64, copy=False), split.y, image)
            for split in (self.train, self.test)
        )
        return replace(self, train=train, test=test)

    @property
    def image(self) -> Image | None:
        """Channels, height and width of a sample; None where the samples are no images."""
        return self.train.image

    @property
    def input_second_moment(self) -> float:
        """E x² over all features of the training split: what theory starts from."""
        return float((self.train.x**2).mean())

    @property
    def target_second_moment(self) -> float | None:
        """E y² over all numbers to predict; None of classes."""
        return float((self.train.y**2).mean()) if self.numeric else None

    @property
    def input_second_moments(self) -> NDArray[np.float64]:
        """E x² at each position of the images of the training split, (height, width); over samples and channels."""
        assert self.image is not None
        return np.asarray((self.train.x**2).mean(0).reshape(self.image).mean(0))


def input_shape(model: Model, data: Data, dataset: Dataset) -> int | tuple[int, ...]:
    """What a network is built for: the features of a sample, or the shape of a sample that is not one row.

    Raises:
        DatasetError: the network reads images, and the samples are none.
    """
    if not model.reads_images:
        return dataset.features
    if dataset.image is None:
        raise DatasetError(
            f"model.kind: a {model.kind} reads images, and the samples of {data.name} are {dataset.features} numbers "
            "in a row",
            fix="Images are digits, shapeset, openml data of square images (Fashion-MNIST, CIFAR_10), and an .npz file "
            "whose only array beside the target is (samples, height, width) or (samples, channels, height, width).",
        )
    return dataset.image


SMALLEST_IMAGE = 64
"""A table with fewer columns is not taken for images: many have 16 or 25 columns that are no pixels."""


def image_of(pixels: int) -> Image | None:
    """The shape of square images, grey or of three channels, with so many numbers; None where there is none."""
    for channels in (1, 3):
        side = isqrt(pixels // channels)
        if pixels >= SMALLEST_IMAGE and channels * side * side == pixels:
            return channels, side, side
    return None


def class_numbers(labels: NDArray[np.generic], key: str = "data") -> Labels:
    """Labels of any kind as numbers from 0, in the order of the sorted labels.

    Args:
        labels: (samples,), none of them missing.
        key: the key of the config that chose the labels, for messages.

    Raises:
        DatasetError: fewer than two classes, one too rare to be split, or a regression target.
    """
    values, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(values) < 2:
        only = f"; all samples are {_quoted(values[0])}" if len(values) else ""
        raise DatasetError(f"{key}: a classification task needs at least 2 classes{only}")
    if _too_many(values, len(labels)):
        raise DatasetError(
            f"{key}: {len(values)} distinct values in {len(labels)} samples are no classes",
            fix="train.loss=mse predicts numbers. Or choose a target that names the class of each sample.",
        )
    if counts.min() < 2:
        raise DatasetError(
            f"{key}: a stratified split needs 2 samples of every class; class {_quoted(values[counts.argmin()])} has 1",
            fix="Add samples, or leave out the classes that have only one.",
        )
    return np.asarray(numbers, dtype=np.int64)


def targets(labels: NDArray[Any], key: str, loss: str) -> Targets:
    """Class numbers (samples,), or with squared errors (samples, 1) numbers, where labels are no classes.

    No classes are numbers of which some are fractions, some occur once, or too many differ.

    Raises:
        DatasetError: as `class_numbers`.
    """
    if loss == "mse" and labels.dtype.kind in "iuf":
        values, counts = np.unique(labels, return_counts=True)
        fractions = values.dtype.kind == "f" and bool((values != np.round(values)).any())
        if fractions or counts.min() < 2 or _too_many(values, len(labels)):
            return labels.astype(np.float64)[:, None]
    return class_numbers(labels, key)


def _too_many(values: NDArray[Any], samples: int) -> bool:
    """Whether labels are too many for classes: fractions that hardly repeat, or nearly a value for each sample."""
    fractions = values.dtype.kind == "f" and bool((values != np.round(values)).any())
    return (
        (fractions and len(values) > samples / 5)
        or (values.dtype.kind in "iuf" and len(values) > MOST_NUMBERS)
        or len(values) > max(20, samples / 2)
    )


def _quoted(value: object) -> str:
    return repr(str(value)) if isinstance(value, str) else str(value)


def split(samples: Samples, test_fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the training and the test samples: shuffled by the seed, every class in proportion.

    Numbers, and classes of which a sample has several, are in no proportion.

    Raises:
        DatasetError: a class or a split would be too small.
    """
    if samples.y.dtype.kind == "f" or samples.y.ndim > 1:
        return _in_two(len(samples.y), test_fraction, seed)
    counts = np.bincount(samples.y)
    test = int(np.ceil(test_fraction * len(samples.y)))
    if counts.min() < 2:
        raise DatasetError(
            f"data: a stratified split needs 2 samples of every class; class {counts.argmin()} has {counts.min()}",
            fix="Use more samples or fewer classes.",
        )
    if min(test, len(samples.y) - test) < len(counts):
        raise DatasetError(
            f"data.test_fraction: {test_fraction:g} of {len(samples.y)} samples leaves a split "
            f"smaller than the {len(counts)} classes",
            fix="Use more samples or a test fraction nearer to one half.",
        )
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    trained = _shares(counts, len(samples.y) - test, generator)
    tested = _shares(counts - trained, test, generator)
    train: list[NDArray[np.intp]] = []
    held_out: list[NDArray[np.intp]] = []
    for number, of_train, of_test in zip(range(len(counts)), trained, tested, strict=True):
        order = generator.permutation(counts[number])
        members = np.flatnonzero(samples.y == number)[order]
        train.append(members[:of_train])
        held_out.append(members[of_train : of_train + of_test])
    return generator.permutation(np.concatenate(train)), generator.permutation(np.concatenate(held_out))


def _in_two(samples: int, test_fraction: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    test = int(np.ceil(test_fraction * samples))
    if test >= samples:
        raise DatasetError(f"data.test_fraction: {test_fraction:g} of {samples} samples leaves nothing to train on")
    order = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed))).permutation(samples)
    return order[test:], order[:test]


def _shares(counts: NDArray[np.intp], wanted: int, generator: np.random.RandomState) -> NDArray[np.intp]:
    """How many samples of each class make `wanted` in all, in proportion to `counts`.

    Shares are rounded down, and what is missing goes to the classes with the largest remainders; of equal ones the
    generator chooses. The numbers, and what is drawn, are those of scikit-learn's `train_test_split`: a seed gives
    the split that it always gave, and nobody has to import scikit-learn for it, which takes as long as torch.
    """
    exact = counts / counts.sum() * wanted
    shares: NDArray[np.intp] = np.floor(exact).astype(np.intp)
    remainders = exact - shares
    for remainder in np.unique(remainders)[::-1]:
        missing = wanted - int(shares.sum())
        if missing == 0:
            break
        equal = np.flatnonzero(remainders == remainder)
        shares[generator.choice(equal, size=min(len(equal), missing), replace=False)] += 1
    return shares


def standardization(x_train: Features) -> Callable[[Features], Features]:
    """The map that gives each feature of the training split zero mean and unit variance.

    A feature that does not vary in training becomes 0 everywhere, so that it cannot become huge in the test.

    Raises:
        DatasetError: a feature is so large that its variance is infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = x_train.mean(0), x_train.std(0)
    if not np.isfinite(std).all():
        which = int(np.flatnonzero(~np.isfinite(std.ravel()))[0])
        raise DatasetError(f"data.standardize: feature {which} has values too large for a variance")
    varies = std > 1e-12 * np.abs(x_train).max(0, initial=0)
    scale = np.where(varies, 1 / np.where(varies, std, 1.0), 0.0)
    return lambda x: (x - mean) * scale
