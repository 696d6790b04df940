"""Data drawn from a seed."""

import numpy as np

from gradlab.choices import Gaussian, Spirals
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
