"""Shapeset-3×2 (Glorot & Bengio 2010, section 2.1): images of one or two grey shapes, as many as anybody wants.

What the paper leaves open is as in its authors' generator (github.com/glorotxa/Shapeset): sizes, grey levels, and how
often each class comes; only the overlap, which they estimate, is counted in pixels. Array suffixes: N images, or
objects of one each; H × W pixels; 2 the coordinates x and y.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradlab.choices import Shapeset
from gradlab.datasets.dataset import Features, Labels, Samples
from gradlab.errors import DatasetError
from gradlab.memory import require_memory

KINDS = ("triangle", "parallelogram", "ellipse")
CLASSES = (
    *KINDS,
    "triangle + triangle", "triangle + parallelogram", "triangle + ellipse",
    "parallelogram + parallelogram", "parallelogram + ellipse", "ellipse + ellipse",
)  # fmt: skip
"""Half of all images hold one object, and every object is of each kind equally often: the classes of one object have
the share 1/6 each, those of two objects of one kind 1/18, those of two kinds 1/9."""
LABELS = np.array([[3, 4, 5, 0], [4, 6, 7, 1], [5, 7, 8, 2]])
"""Class by the kinds of both objects; the last column, −1, is for no second object."""

SIDE = 32
"""Pixels along an edge of the image."""
MARGIN = 1.0
"""Pixels that an object keeps from the edge."""
SEMI_AXES = (0.1 * SIDE, 0.4 * SIDE)
"""Semi-axes of the ellipse around an object, in pixels."""
GREY = (0.1, 1.0)
"""Grey levels of the light side; those of the dark side are the negatives. The background is on one side, all objects
on the other, so that every object can be told from the background."""
MOST_HIDDEN = 0.5
"""Share of the first object that the second one may cover."""
CHUNK = 256
"""Images drawn at once, so that many need no more working memory than few."""

CORNERS = (
    np.array([[0, 1], [-np.sqrt(3) / 2, -1 / 2], [np.sqrt(3) / 2, -1 / 2]]),
    np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) / np.sqrt(2),
)
"""The triangle and the parallelogram before they are deformed: regular, on the unit circle, which is the ellipse."""

Masks = NDArray[np.bool_]
INSIDE: tuple[Callable[[Features, Features], Masks], ...] = (
    lambda u, v: (v >= -1 / 2) & (np.sqrt(3) * np.abs(u) + v <= 1),
    lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= 1 / np.sqrt(2),
    lambda u, v: u * u + v * v <= 1,
)
"""Whether points lie in the figures before they are deformed, in the order of `KINDS`."""


def shapeset(data: Shapeset, seed: int) -> Samples:
    """The images that stay the same throughout a run.

    Raises:
        DatasetError: there are too few for all nine classes.
    """
    require_memory(2 * 8 * data.samples * SIDE**2, f"data.samples: {data.samples:,} images")
    samples = draw(data.samples, seed)
    rarest = int(np.bincount(samples.y, minlength=len(CLASSES)).min())
    if rarest < 2:
        raise DatasetError(
            f"data.samples: {data.samples} samples are too few for {len(CLASSES)} classes; the rarest has {rarest}, "
            "and a stratified split needs 2",
            fix="Use more samples: the rarest classes are one in eighteen.",
        )
    return samples


def draw(samples: int, seed: int) -> Samples:
    """Images from −1, black, to 1, white, row by row; and their class, the place in `CLASSES`."""
    rng = np.random.default_rng(seed)
    scenes = [Scenes.drawn(min(CHUNK, samples - start), rng) for start in range(0, samples, CHUNK)]
    images = np.concatenate([scene.painted(rng) for scene in scenes])
    labels = np.concatenate([scene.labels for scene in scenes])
    return Samples(images.reshape(samples, SIDE * SIDE), labels, (1, SIDE, SIDE))


@dataclass(frozen=True)
class Objects:
    """One object for each of N images: a figure on the unit circle, deformed, and moved to its place.

    Attributes:
        kind_N: places in `KINDS`.
        map_N22: from the plane of the unit circle to pixels.
        centre_N2: where the circle's centre goes, in pixels.
    """

    kind_N: NDArray[np.int64]
    map_N22: Features
    centre_N2: Features

    @classmethod
    def drawn(cls, kind_N: NDArray[np.int64], rng: np.random.Generator) -> "Objects":
        """Turn the figure, stretch it along both axes, turn it again; then move it, anywhere inside the image.

        The first turn decides how the stretching deforms it: into any triangle, any parallelogram.
        """
        axes_N2 = rng.uniform(*SEMI_AXES, size=(len(kind_N), 2))
        first_N, last_N = rng.uniform(0, 2 * np.pi, size=(2, len(kind_N)))
        map_N22 = (_rotation(last_N) * axes_N2[:, None, :]) @ _rotation(first_N)
        low_N2, high_N2 = _extent(kind_N, map_N22)
        return cls(kind_N, map_N22, rng.uniform(MARGIN - low_N2, SIDE - MARGIN - high_N2))

    def masks(self) -> Masks:
        """(N, H, W): the pixels whose middle lies in the object."""
        inverse_N22 = np.linalg.inv(self.map_N22)
        pixel = np.arange(SIDE) + 0.5
        x_NW, y_NH = (pixel - self.centre_N2[:, i, None] for i in range(2))
        mask_NHW = np.empty((len(self.kind_N), SIDE, SIDE), dtype=np.bool_)
        for kind, inside in enumerate(INSIDE):
            of = self.kind_N == kind
            u, v = (
                inverse_N22[of, i, 0, None, None] * x_NW[of, None, :]
                + inverse_N22[of, i, 1, None, None] * y_NH[of, :, None]
                for i in range(2)
            )
            mask_NHW[of] = inside(u, v)
        return mask_NHW


def _rotation(angle_N: Features) -> Features:
    cos, sin = np.cos(angle_N), np.sin(angle_N)
    return np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2)


def _extent(kind_N: NDArray[np.int64], map_N22: Features) -> tuple[Features, Features]:
    """How far each object reaches from its centre, left and up, then right and down."""
    high_N2 = np.linalg.norm(map_N22, axis=2)  # the ellipse
    low_N2 = -high_N2
    for kind, corners in enumerate(CORNERS):
        of = kind_N == kind
        points = map_N22[of] @ corners.T
        low_N2[of], high_N2[of] = points.min(2), points.max(2)
    return low_N2, high_N2


@dataclass(frozen=True)
class Scenes:
    """What N images show.

    Attributes:
        kind_N2: of the first and the second object; −1 where there is no second.
        first_NHW: pixels of the first object, also those that the second one covers.
        second_NHW: pixels of the second, which lies in front.
    """

    kind_N2: NDArray[np.int64]
    first_NHW: Masks
    second_NHW: Masks

    @classmethod
    def drawn(cls, images: int, rng: np.random.Generator) -> "Scenes":
        """Draw objects; a second one that hides too much of the first is drawn again, of the same kind."""
        kind_N2 = rng.integers(len(KINDS), size=(images, 2))
        pairs = rng.integers(2, size=images) == 1
        first_NHW = Objects.drawn(kind_N2[:, 0], rng).masks()
        second_NHW = np.zeros_like(first_NHW)
        most_N = MOST_HIDDEN * first_NHW.sum((1, 2))
        missing = np.flatnonzero(pairs)
        while len(missing):
            tried = Objects.drawn(kind_N2[missing, 1], rng).masks()
            fits = (tried & first_NHW[missing]).sum((1, 2)) <= most_N[missing]
            second_NHW[missing[fits]] = tried[fits]
            missing = missing[~fits]
        kind_N2[~pairs, 1] = -1
        return cls(kind_N2, first_NHW, second_NHW)

    @property
    def labels(self) -> Labels:
        """(N,): the class of each image, whatever the order of its objects."""
        return np.asarray(LABELS[self.kind_N2[:, 0], self.kind_N2[:, 1]], dtype=np.int64)

    def painted(self, rng: np.random.Generator) -> Features:
        """(N, H, W): each object in a grey of its own, on a background that is dark or light."""
        side_N = rng.choice([-1.0, 1.0], size=len(self.kind_N2))
        grey_3N = rng.uniform(*GREY, size=(3, len(side_N))) * [side_N, -side_N, -side_N]
        background, first, second = grey_3N[..., None, None]
        return np.asarray(np.where(self.second_NHW, second, np.where(self.first_NHW, first, background)))
