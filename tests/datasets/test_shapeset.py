"""Shapeset-3×2: what is drawn, and how often."""

from math import atan2, pi, sqrt

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from gradlab.datasets import shapeset

TRIANGLE, PARALLELOGRAM, ELLIPSE = range(3)
SHARES = [1 / 6, 1 / 6, 1 / 6, 1 / 18, 1 / 9, 1 / 9, 1 / 18, 1 / 9, 1 / 18]
"""One object or two with chance 1/2 each, and each object of each kind with chance 1/3, whatever the other is."""


def rng(seed=0):
    return np.random.default_rng(seed)


def objects(kind, number=200, seed=0):
    return shapeset.Objects.drawn(np.full(number, kind), rng(seed))


def corners(drawn, i):
    """Corners of a polygon, (3 or 4, 2), from angles on the circle and the map alone."""
    angles = {TRIANGLE: [90, 210, 330], PARALLELOGRAM: [45, 135, 225, 315]}[drawn.kind_N[i]]
    circle = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))])
    return (drawn.map_N22[i] @ circle).T + drawn.centre_N2[i]


def shoelace(points):
    x, y = points.T
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


def perimeter(points):
    return np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1).sum()


def covariance(mask):
    """Of x and y over the pixels of a mask."""
    return np.cov(np.argwhere(mask)[:, ::-1].T, bias=True)


def invariant(mask):
    """Area / √det covariance, the same for all affine images of a figure."""
    return mask.sum() / sqrt(np.linalg.det(covariance(mask)))


INVARIANT = {TRIANGLE: 6 * sqrt(3), PARALLELOGRAM: 12, ELLIPSE: 4 * pi}
"""Of the right triangle (0, 0), (1, 0), (0, 1), the unit square and the unit disk, by integration."""


def told_apart(mask):
    """The kind of an object whose mask is large enough to tell."""
    return min(INVARIANT, key=lambda kind: abs(invariant(mask) - INVARIANT[kind]))


# ------------------------------------------------------------------------------------------------------ single objects


@pytest.mark.parametrize("kind", [TRIANGLE, PARALLELOGRAM])
def test_a_polygon_covers_the_pixels_and_the_area_between_its_corners(kind):
    drawn = objects(kind)
    masks = drawn.masks()
    middles = np.stack(np.meshgrid(np.arange(32) + 0.5, np.arange(32) + 0.5), axis=2).reshape(-1, 2)
    areas, lengths = np.array([(shoelace(corners(drawn, i)), perimeter(corners(drawn, i))) for i in range(200)]).T
    for i in range(200):
        inside = Outline(corners(drawn, i)).contains_points(middles).reshape(32, 32)
        np.testing.assert_array_equal(masks[i], inside)
    pixels = masks.sum((1, 2))
    assert pixels.sum() == pytest.approx(areas.sum(), rel=0.01)
    assert (np.abs(pixels - areas) < lengths / 3).all()


def test_an_ellipse_has_the_area_and_the_axes_of_its_map():
    """Area π a b; covariance ¼ R diag(a², b²) Rᵀ, in which the map M appears as ¼ M Mᵀ."""
    drawn = objects(ELLIPSE)
    a, b = np.linalg.svd(drawn.map_N22)[1].T
    assert (np.minimum(a, b) >= 3.2 - 1e-9).all() and (np.maximum(a, b) <= 12.8 + 1e-9).all()  # noqa: PT018
    masks = drawn.masks()
    pixels = masks.sum((1, 2))
    assert pixels.sum() == pytest.approx((pi * a * b).sum(), rel=0.01)
    np.testing.assert_allclose(pixels, pi * a * b, atol=12)
    for mask, linear in zip(masks, drawn.map_N22, strict=True):
        np.testing.assert_allclose(covariance(mask), linear @ linear.T / 4, atol=0.05 * np.trace(covariance(mask)))


@pytest.mark.parametrize("kind", range(3))
def test_an_object_is_whole_and_keeps_off_the_edge(kind):
    drawn = objects(kind, 1000)
    masks = drawn.masks()
    assert not masks[:, [0, -1]].any()
    assert not masks[:, :, [0, -1]].any()
    assert masks.sum((1, 2)).min() >= 4
    assert masks[:, 1].any()
    assert masks[:, :, -2].any(), "it comes as near to the edge as it may"
    if kind != ELLIPSE:
        ends = np.array([corners(drawn, i) for i in range(1000)])
        assert ends.min() >= 1 - 1e-9
        assert ends.max() <= 31 + 1e-9


@pytest.mark.parametrize("kind", range(3))
def test_a_kind_is_known_by_its_moments(kind):
    masks = [mask for mask in objects(kind).masks() if mask.sum() > 100]
    assert np.mean([invariant(mask) for mask in masks]) == pytest.approx(INVARIANT[kind], rel=0.01)


def test_lengths_and_angles_are_random():
    """Corner angles of triangles and parallelograms go from acute to obtuse, directions all the way round."""
    angles, directions = [], []
    for kind in (TRIANGLE, PARALLELOGRAM):
        drawn = objects(kind, 400)
        for i in range(400):
            before, here, after = corners(drawn, i)[:3]
            cosine = (before - here) @ (after - here) / np.linalg.norm(before - here) / np.linalg.norm(after - here)
            angles.append(np.degrees(np.arccos(cosine)))
            directions.append(atan2(*(after - here)))
    assert min(angles) < 30
    assert max(angles) > 120
    assert np.histogram(directions, 8, (-pi, pi))[0].min() > 60


# -------------------------------------------------------------------------------------------------------------- images


def test_classes_come_in_their_shares():
    y = shapeset.draw(6000, 0).y
    standard_deviations = (np.bincount(y, minlength=9) / 6000 - SHARES) / np.sqrt(np.array(SHARES) / 6000)
    assert np.abs(standard_deviations).max() < 3.5


def test_every_pair_of_kinds_in_either_order_has_the_class_of_its_name():
    for first, name in enumerate(shapeset.KINDS):
        assert shapeset.CLASSES[shapeset.LABELS[first, -1]] == name
        for second, other in enumerate(shapeset.KINDS):
            names = {f"{name} + {other}", f"{other} + {name}"}
            assert shapeset.CLASSES[shapeset.LABELS[first, second]] in names
    assert sorted(set(shapeset.LABELS.flat)) == list(range(9))


def test_the_second_object_covers_at_most_half_of_the_first():
    scenes = shapeset.Scenes.drawn(2000, rng())
    first, second = scenes.first_NHW, scenes.second_NHW
    covered = np.array([(a & b).sum() / a.sum() for a, b in zip(first, second, strict=True)])
    assert covered.max() <= 0.5
    assert covered.max() > 0.45, "nor is more refused than that"
    assert (covered > 0).mean() > 0.2
    assert (covered == 0).mean() > 0.1
    np.testing.assert_array_equal(scenes.kind_N2[:, 1] >= 0, second.any((1, 2)))
    assert (scenes.kind_N2[:, 1] >= 0).mean() == pytest.approx(0.5, abs=0.04)


def test_labels_are_what_the_masks_show():
    scenes = shapeset.Scenes.drawn(600, rng())
    right = []
    for first, second, label in zip(scenes.first_NHW, scenes.second_NHW, scenes.labels, strict=True):
        shown = [mask for mask in (first, second) if mask.any()]
        if all(mask.sum() > 120 for mask in shown):
            names = sorted(told_apart(mask) for mask in shown)
            right.append(" + ".join(shapeset.KINDS[kind] for kind in names) == shapeset.CLASSES[label])
    assert len(right) > 150
    assert np.mean(right) > 0.97


def test_images_alone_tell_the_number_of_objects_and_the_kind_of_one():
    samples = shapeset.draw(600, 1)
    right = []
    for image, label in zip(samples.x.reshape(-1, 32, 32), samples.y, strict=True):
        greys = np.unique(image)
        assert len(greys) == (2 if label < 3 else 3)
        mask = image != image[0, 0]
        if label < 3 and mask.sum() > 120:
            right.append(told_apart(mask) == label)
    assert len(right) > 100
    assert np.mean(right) > 0.97


def test_the_second_object_lies_in_front():
    generator = rng()
    scenes = shapeset.Scenes.drawn(300, generator)
    for image, first, second in zip(scenes.painted(generator), scenes.first_NHW, scenes.second_NHW, strict=True):
        parts = [image[~first & ~second], image[first & ~second], image[second]]
        assert [len(set(part)) for part in parts] == [1, 1, int(second.any())]


def test_background_and_objects_are_on_different_sides_of_grey():
    images = shapeset.draw(2000, 0).x.reshape(-1, 32, 32)
    background = images[:, 0, 0]
    objects_ = [image[image != image[0, 0]] for image in images]
    assert (background > 0).mean() == pytest.approx(0.5, abs=0.04)
    for ground, greys in zip(background, objects_, strict=True):
        assert (np.sign(greys) == -np.sign(ground)).all()
    assert 0.1 <= np.abs(images).min() < 0.101
    assert 0.99 < np.abs(images).max() <= 1
    assert np.abs(background).mean() == pytest.approx(0.55, abs=0.02)
