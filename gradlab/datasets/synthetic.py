"""Data drawn from a seed."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gradlab.choices import Function, Gaussian, Spirals, Teacher
from gradlab.datasets.dataset import Samples, class_numbers
from gradlab.errors import DatasetError
from gradlab.memory import require_memory


def gaussian(data: Gaussian, seed: int) -> Samples:
    """Inputs N(0, 1), labelled by a random linear teacher: argmax over classes of T x + b.

    The offsets b are set so that the classes come out about equally often.
    """
    require_memory(
        2 * 8 * data.samples * data.features, f"data.samples: {data.samples:,} of {data.features:,} features"
    )
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(data.features, data.classes)) / np.sqrt(data.features)
    x = rng.normal(size=(data.samples, data.features))
    scores = x @ teacher
    offsets = np.zeros(data.classes)
    for iteration in range(200):  # raise rare classes and lower frequent ones, in ever smaller steps
        shares = np.bincount((scores + offsets).argmax(1), minlength=data.classes) / data.samples
        offsets += 0.2 * 0.97**iteration * (1 / data.classes - shares) * data.classes
    y = (scores + offsets).argmax(1)
    if len(np.unique(y)) < data.classes:
        raise DatasetError(
            f"data.samples: {data.samples} samples are too few for {data.classes} classes of a linear teacher "
            f"in {data.features} dimensions",
            fix="Use more samples, more features or fewer classes.",
        )
    return Samples(x, class_numbers(y))


def spirals(data: Spirals, seed: int) -> Samples:
    """Interleaved spiral arms in the plane, of radius 1; class k is the arm that begins at angle 2πk/classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(data.samples) % data.classes
    radius = np.sqrt(rng.uniform(size=data.samples))  # about as dense everywhere along the arm
    angle = 2 * np.pi * (y / data.classes + data.turns * radius)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Samples(points + data.noise * rng.normal(size=points.shape), y.astype(np.int64))


def teacher(data: Teacher, seed: int) -> Samples:
    """Inputs N(0, 1), and numbers y = T x + noise; each row of T is random, of length 1."""
    size = 8 * data.samples * (data.features + data.outputs)
    require_memory(2 * size, f"data.samples: {data.samples:,} of {data.features:,} features")
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(data.features, data.outputs))
    x = rng.normal(size=(data.samples, data.features))
    y = x @ (weights / np.sqrt((weights**2).sum(0)))
    return Samples(x, y + data.noise * rng.normal(size=y.shape))


_FUNCTIONS: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "abs": np.abs,
    "square": np.square,
    "sin": lambda x: np.sin(5 * x),
    "step": lambda x: (x > 0).astype(np.float64),
}


def function(data: Function, seed: int) -> Samples:
    """One number, uniform between −√3 and √3, so that its variance is 1, and a function of it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-np.sqrt(3), np.sqrt(3), size=(data.samples, 1))
    return Samples(x, _FUNCTIONS[data.of](x) + data.noise * rng.normal(size=x.shape))
