"""Which samples are images, and of which shape."""

import numpy as np
import pytest

from gradlab import datasets
from gradlab.choices import CNN, DATASETS, MLP, File
from gradlab.datasets.dataset import image_of
from gradlab.errors import DatasetError


def saved(folder, x, **arrays):
    path = folder / "data.npz"
    np.savez(path, x=x, target=np.arange(len(x)) % 2, **arrays)
    return File(path=path, standardize=False)


@pytest.mark.parametrize(
    ("name", "options", "image"),
    [
        ("digits", {}, (1, 8, 8)),
        ("shapeset", {"samples": 200}, (1, 32, 32)),
        ("wine", {}, None),
        ("gaussian", {"features": 64}, None),  # numbers without an order are no pixels
        ("spirals", {}, None),
    ],
)
def test_sources_in_the_package(name, options, image):
    data = datasets.load(DATASETS[name](**options), 0)
    assert data.image == image
    assert data.test.image == image
    if data.draw is not None:
        assert data.draw(0, 4).image == image


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((5, 6), (1, 5, 6)),
        ((3, 5, 6), (3, 5, 6)),
        ((4, 4, 3), (4, 4, 3)),
        ((32, 32, 3), None),  # height, width, channels: somebody else's order
        ((64,), None),
        ((2, 3, 4, 5), None),
    ],
)
def test_the_shape_of_the_only_array_of_a_file(tmp_path, shape, image):
    x = np.arange(20 * np.prod(shape), dtype=float).reshape(20, *shape)
    data = datasets.load(saved(tmp_path, x), 0)
    assert data.image == image
    assert data.features == np.prod(shape)
    rows = {tuple(row) for row in x.reshape(20, -1)}
    assert all(tuple(row) in rows for row in data.train.x), "the order of the numbers is that of the array"


def test_two_arrays_are_no_image(tmp_path):
    assert datasets.load(saved(tmp_path, np.ones((20, 5, 6)), age=np.arange(20.0)), 0).image is None


@pytest.mark.parametrize(
    ("pixels", "image"),
    [
        (784, (1, 28, 28)),
        (3072, (3, 32, 32)),
        (64, (1, 8, 8)),
        (1024, (1, 32, 32)),
        (192, (3, 8, 8)),
        (16, None),
        (617, None),
        (27, None),
    ],
)
def test_square_images_in_a_table(pixels, image):
    assert image_of(pixels) == image


def test_what_a_network_is_built_for():
    digits, wine = (datasets.load(DATASETS[name](), 0) for name in ("digits", "wine"))
    assert datasets.input_shape(CNN(), DATASETS["digits"](), digits) == (1, 8, 8)
    assert datasets.input_shape(MLP(), DATASETS["digits"](), digits) == 64
    with pytest.raises(DatasetError, match="a cnn reads images, and the samples of wine are 13 numbers in a row"):
        datasets.input_shape(CNN(), DATASETS["wine"](), wine)
