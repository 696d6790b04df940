"""Shapeset-3×2 in training: it never ends, and everything that takes a dataset takes it."""

from math import log

import numpy as np
import pytest
import torch

import gradlab
from gradlab import choices, datasets, theory, training
from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.datasets import shapeset
from gradlab.errors import ConfigError, DatasetError
from tests.datasets.test_shapeset import SHARES

# ------------------------------------------------------------------------------------------------------ without an end

SMALL = choices.Shapeset(samples=300, batch_size=32)


def digests(batches):
    return [row.tobytes() for x in batches for row in np.asarray(x)]


@pytest.mark.parametrize("size", [1, 32, 256, 257])
def test_any_number_can_be_drawn(size):
    samples = shapeset.draw(size, 3)
    assert samples.x.shape == (size, 1024)
    assert samples.y.shape == (size,)
    np.testing.assert_array_equal(samples.x, shapeset.draw(size, 3).x)


def test_no_sample_comes_twice_in_training_nor_in_a_split():
    dataset = datasets.load(SMALL, seed=0)
    split = training.Data.on(torch.device("cpu"), torch.float64, dataset).train
    drawn = [next_ for _, next_ in zip(range(14), training.batches(split, 32, 0), strict=False)]
    assert [epoch for epoch, _, _ in drawn] == [0] * 7 + [1] * 7, "240 samples are 7 whole batches of 32"
    seen = digests([x for _, x, _ in drawn] + [dataset.train.x, dataset.test.x])
    assert len(seen) == len(set(seen)) == 14 * 32 + 300


def test_a_batch_depends_on_its_number_and_the_seed_alone():
    first, again, other = (datasets.load(SMALL, seed).draw for seed in (1, 1, 2))
    third = first(3, 8)
    assert not np.array_equal(first(4, 8).x, third.x)
    np.testing.assert_array_equal(again(3, 8).x, third.x)
    np.testing.assert_array_equal(again(3, 8).y, third.y)
    assert not np.array_equal(other(3, 8).x, third.x)


def test_new_samples_are_standardized_as_the_training_split_was():
    plain = datasets.load(SMALL.model_copy(update={"standardize": False}), seed=0)
    seen = datasets.load(SMALL, seed=0)
    mean, std = plain.train.x.mean(0), plain.train.x.std(0)
    assert std.min() > 0, "every pixel shows the background, so every pixel varies"
    np.testing.assert_allclose(seen.draw(5, 16).x, (plain.draw(5, 16).x - mean) / std, atol=1e-12)
    np.testing.assert_array_equal(seen.draw(5, 16).y, plain.draw(5, 16).y)


def test_other_sources_end():
    assert datasets.load(choices.Spirals(samples=30), seed=0).draw is None


def test_too_few_samples_for_nine_classes():
    with pytest.raises(DatasetError, match=r"data.samples: 20 samples are too few for 9 classes; the rarest has [01],"):
        datasets.load(choices.Shapeset(samples=20), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "data.samples"),
        ({"samples": "many"}, "data.samples"),
        ({"samples": 2.5}, "data.samples"),
        ({"classes": 3}, "data.classes"),
        ({"batch_size": 0}, "data.batch_size"),
    ],
)
def test_wrong_options_are_errors_of_the_config(options, message):
    with pytest.raises(ConfigError, match=message):
        load_config({"data": {"name": "shapeset", **options}})


# -------------------------------------------------------------------------------------------------------------- a run

RUN = {
    "name": "shapes",
    "model": {"depth": 2, "width": 16, "activation": "tanh", "initializer": "glorot_uniform"},
    "data": {"name": "shapeset", "samples": 300, "batch_size": 32},
    "train": {"steps": 9},
}


def run(folder, **overrides):
    return gradlab.run(RUN, overrides, runs=folder, plots=False)


def test_a_run_from_end_to_end(tmp_path):
    done = run(tmp_path / "a")
    assert done.status == "completed"
    assert set(done.evaluations["split"]) == {"train", "test"}
    assert done.layers["dead_fraction"].drop_nulls().len() > 0
    assert done.steps["epoch"].to_list() == [0] * 7 + [1] * 2
    again, other = run(tmp_path / "b"), run(tmp_path / "a", seed=1)
    assert again.path.name == done.path.name != other.path.name
    assert again.layers.equals(done.layers)
    assert again.evaluations.equals(done.evaluations)
    assert not other.steps["loss"].equals(done.steps["loss"])


@pytest.mark.parametrize(
    "overrides",
    [
        {"dtype": "float64", "model.batch_norm": "before"},
        {"train.optimizer": "lbfgs"},
        {"model.initializer": "lsuv"},
        {"data.batch_size": 1000},
        {"data.standardize": False, "train.steps": None, "train.epochs": 2},
    ],
    ids=str,
)
def test_every_way_to_train_takes_it(tmp_path, overrides):
    done = run(tmp_path, **overrides)
    assert done.status == "completed"
    assert done.steps["loss"].is_finite().all()
    if "data.batch_size" in overrides:
        assert done.steps["epoch"].to_list() == list(range(9)), "a batch is at most the training split"


def test_theory_starts_from_the_fixed_split():
    config = Config.model_validate(RUN)
    dataset = datasets.load(config.data, config.seed)
    assert (dataset.features, dataset.classes) == (1024, 9)
    assert dataset.input_second_moment == pytest.approx(1)
    assert len(theory.predict_on(config, dataset).layers) == 2


def test_a_network_learns_it(tmp_path):
    """Within 300 steps two hidden layers beat both numbers of the best constant prediction, on images never seen."""
    entropy = sum(share * log(1 / share) for share in SHARES)
    assert entropy == pytest.approx(2.11, abs=0.001)
    done = run(
        tmp_path,
        **{
            "model.width": 100,
            "data.samples": 2000,
            "data.batch_size": 128,
            "train.optimizer": {"name": "sgd", "momentum": 0.9},
            "train.learning_rate": 0.03,
            "train.steps": 300,
            "record.every": 300,
        },
    )
    for split in ("train", "test"):
        last = done.evaluations.filter(done.evaluations["split"] == split).row(-1, named=True)
        assert last["loss"] < entropy - 0.08
        assert last["accuracy"] > 0.21, "0.17 is the share of the most frequent class"
