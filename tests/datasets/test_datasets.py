import warnings
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from gradlab import choices, datasets
from gradlab.datasets.dataset import Samples, class_numbers, split, standardized
from gradlab.errors import DatasetError

OFFLINE = [choices.Digits(), choices.BreastCancer(), choices.Wine(), choices.Gaussian(), choices.Spirals()]


def test_the_registry_is_that_of_the_configs():
    assert set(datasets.LOADERS) == set(choices.DATASETS)


@pytest.mark.parametrize("data", OFFLINE, ids=lambda data: data.name)
def test_every_source_is_a_standardized_task(data):
    dataset = datasets.load(data, seed=0)
    assert set(dataset.y_train) == set(dataset.y_test) == set(range(dataset.classes))
    assert len(dataset.x_test) == pytest.approx(0.2 * (len(dataset.x_train) + len(dataset.x_test)), abs=1)
    std = dataset.x_train.std(0)
    np.testing.assert_allclose(dataset.x_train.mean(0), 0, atol=1e-12)
    assert (np.isclose(std, 1) | (std == 0)).all()
    assert dataset.input_second_moment == pytest.approx((std > 0).mean())


@pytest.mark.parametrize("data", OFFLINE, ids=lambda data: data.name)
def test_the_seed_alone_decides(data):
    np.random.seed(3)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (datasets.load(data, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x_train, again.x_train)
    np.testing.assert_array_equal(first.y_test, again.y_test)
    assert not np.array_equal(first.x_train, other.x_train)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_digits_are_scikit_learns():
    dataset = datasets.load(choices.Digits(standardize=False), seed=0)
    rows = np.concatenate([dataset.x_train, dataset.x_test])
    expected = load_digits().data
    np.testing.assert_array_equal(np.sort(rows.sum(1)), np.sort(expected.sum(1)))
    assert dataset.input_second_moment == pytest.approx((dataset.x_train**2).mean())


def test_gaussian_inputs_are_standard_normal_with_linear_balanced_labels():
    data = choices.Gaussian(features=20, classes=5, samples=20_000, standardize=False)
    dataset = datasets.load(data, seed=0)
    assert dataset.x_train.mean() == pytest.approx(0, abs=0.01)
    assert dataset.x_train.std() == pytest.approx(1, abs=0.01)
    assert np.bincount(dataset.y_train).min() > 0.15 * len(dataset.y_train)
    from sklearn.linear_model import LogisticRegression

    assert (
        LogisticRegression(C=100.0).fit(dataset.x_train, dataset.y_train).score(dataset.x_test, dataset.y_test) > 0.97
    )


def test_spirals_are_not_linearly_separable_but_separable():
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    d = datasets.load(choices.Spirals(noise=0.02), seed=0)
    assert LogisticRegression().fit(d.x_train, d.y_train).score(d.x_test, d.y_test) < 0.75
    assert KNeighborsClassifier(3).fit(d.x_train, d.y_train).score(d.x_test, d.y_test) > 0.95


# ------------------------------------------------------------------------------------------ split and standardization


@given(st.lists(st.integers(5, 60), min_size=2, max_size=5), st.floats(0.2, 0.6), st.integers(0, 2**62))
def test_a_split_is_a_stratified_partition(sizes, fraction, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    train, test = split(Samples(np.zeros((len(y), 1)), y), fraction, seed)
    assert sorted([*train, *test]) == list(range(len(y)))
    held_out = np.bincount(y[test], minlength=len(sizes))
    np.testing.assert_allclose(held_out, np.array(sizes) * len(test) / len(y), atol=1)


def test_a_class_of_one_cannot_be_split():
    with pytest.raises(DatasetError, match="2 samples of every class; class 1 has 1"):
        split(Samples(np.zeros((5, 1)), np.array([0, 0, 0, 0, 1])), 0.2, 0)


def test_a_split_smaller_than_the_classes():
    with pytest.raises(DatasetError, match=r"data.test_fraction: 0.2 of 6 samples leaves a split smaller than the 3"):
        split(Samples(np.zeros((6, 1)), np.array([0, 0, 1, 1, 2, 2])), 0.2, 0)


def test_standardization_is_fitted_on_the_training_split_only():
    rng = np.random.default_rng(0)
    train, test = rng.normal(3, 2, (50, 4)), rng.normal(size=(20, 4))
    train[:, 2] = 0.1  # constant in training, not in the test
    a, b = standardized(train, test)
    kept = [0, 1, 3]
    np.testing.assert_allclose(b[:, kept], ((test - train.mean(0)) / train.std(0))[:, kept])
    np.testing.assert_allclose(a.std(0)[kept], 1)
    assert not a[:, 2].any()
    assert not b[:, 2].any()


def test_class_numbers():
    assert class_numbers(np.array(["b", "a", "b"])).tolist() == [1, 0, 1]
    assert class_numbers(np.array([-3, 7, 7])).tolist() == [0, 1, 1]
    with pytest.raises(DatasetError, match="at least 2 classes; all samples are 4"):
        class_numbers(np.array([4, 4]))


# -------------------------------------------------------------------------------------------------------------- files

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2


def table(labels=None, **columns):
    return pl.DataFrame(
        {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], **columns, "target": Y if labels is None else labels}
    )


def load_file(path, target="target", **options):
    return datasets.load(choices.File(path=path, target=target, **options), seed=0)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_every_format_gives_the_same_task(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    if suffix == ".npz":
        np.savez(path, x=X.reshape(40, 3, 1), target=Y)
    elif suffix == ".csv":
        table().write_csv(path)
    else:
        table().write_parquet(path)
    dataset = load_file(path, standardize=False)
    rows = np.concatenate([dataset.x_train, dataset.x_test])
    np.testing.assert_allclose(rows[np.argsort(rows[:, 0])], X[np.argsort(X[:, 0])])
    assert dataset.classes == 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_labels_may_be_words_and_features_whole_numbers_or_truths(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    write(path, table(pl.Series(["yes" if y else "no" for y in Y]), d=pl.Series(Y == 1), e=pl.Series(Y)))
    assert load_file(path).features == 5


def write(path, content):
    if isinstance(content, pl.DataFrame):
        content.write_csv(path) if path.suffix == ".csv" else content.write_parquet(path)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"1", r"ends in '.txt'; a data file is one of .npz, .csv, .parquet"),
        ("x.csv", None, "there is no file .*x.csv"),
        ("x.csv", b"", "x.csv is empty"),
        ("x.csv", b"\xff\xfe\x00\x01", "x.csv"),
        ("x.parquet", b"garbage here", "cannot be read as .parquet"),
        ("x.npz", b"garbage here", "cannot be read as .npz"),
        ("x.npz", {"x": np.array([{}] * 3), "target": Y[:3]}, "cannot be read as .npz: .*pickle"),
        ("x.csv", table().rename({"target": "targte"}), "no column 'target'; did you mean 'targte'.*columns: a, b, c"),
        ("x.csv", table().select("target"), "no column beside the target"),
        ("x.csv", table(d=pl.Series(["w"] * 40)), "features must be numbers; these are not: d"),
        ("x.parquet", table(d=pl.Series([None, *X[1:, 0]])), "'d' has 1 values that are missing or not finite"),
        ("x.parquet", table(d=pl.Series([np.inf, *X[1:, 0]])), "'d' has 1 values that are missing or not finite"),
        ("x.parquet", table(pl.Series([None, *Y[1:]])), "1 labels are missing"),
        ("x.parquet", table(pl.Series([None, *["w"] * 39])), "1 labels are missing"),
        ("x.csv", table(pl.Series(X[:, 0])), "40 distinct values in 40 samples: that is a regression target"),
        ("x.csv", table(pl.Series([1] * 40)), "at least 2 classes; all samples are 1"),
        ("x.npz", {"x": X[:30], "target": Y}, r"'x' has shape \(30, 3\), but there are 40 labels"),
        ("x.npz", {"x": X, "target": X}, r"'target' has shape \(40, 3\); it must be one label a sample"),
        ("x.csv", table().head(3), "stratified split needs 2 samples of every class; class 1 has 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_message(tmp_path, name, content, message):
    path = tmp_path / name
    write(path, content)
    with pytest.raises(DatasetError, match=message):
        load_file(path)


# ------------------------------------------------------------------------------------------------------------- openml


def fetching(monkeypatch, result):
    def fetch(**which):
        if isinstance(result, Exception):
            raise result
        warnings.warn("a version was chosen", UserWarning, stacklevel=1)
        return result

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)


def bunch(**columns):
    frame = pd.DataFrame({"a": X[:, 0], "b": Y, **columns})
    return SimpleNamespace(data=frame, target=pd.Series(["cat", "dog"] * 20, dtype="category"))


def test_openml(monkeypatch):
    fetching(monkeypatch, bunch())
    dataset = datasets.load(choices.OpenML(dataset="pets"), seed=0)
    assert (dataset.features, dataset.classes) == (2, 2)
    small = datasets.load(choices.OpenML(dataset=40_996, samples=20), seed=0)
    assert len(small.y_train) + len(small.y_test) == 20
    assert np.bincount(small.y_train).tolist() == [8, 8]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (URLError("Name or service not known"), "not in the cache, and openml.org cannot be reached: Name or service"),
        (TimeoutError("timed out"), "cannot be reached: timed out"),
        (ValueError("No active dataset pets found."), "no active dataset 'pets'"),
        (ValueError("Bad ARFF"), "cannot be read: Bad ARFF"),
        (bunch(c=["w"] * 40), "features that are not numbers: c"),
        (bunch(c=[np.nan, *X[1:, 1]]), "1 values that are missing"),
        (SimpleNamespace(data=pd.DataFrame({"a": X[:, 0]}), target=None), "no single column of class labels"),
    ],
)
def test_what_is_wrong_with_openml_is_said_in_one_message(monkeypatch, result, message):
    fetching(monkeypatch, result)
    with pytest.raises(DatasetError, match=message):
        datasets.load(choices.OpenML(dataset="pets"), seed=0)


def test_openml_subset_too_small(monkeypatch):
    fetching(monkeypatch, bunch())
    with pytest.raises(DatasetError, match=r"data.samples: 2 samples are too few|split"):
        datasets.load(choices.OpenML(dataset="pets", samples=2), seed=0)
