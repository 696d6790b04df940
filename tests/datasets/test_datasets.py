import contextlib
import http.client
import importlib
import os
import subprocess
import sys
import warnings
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from gradlab import choices, datasets
from gradlab.datasets.dataset import Samples, class_numbers, split, standardization
from gradlab.datasets.openml import _subset
from gradlab.datasets.synthetic import gaussian
from gradlab.errors import DatasetError

OFFLINE = [
    choices.Digits(),
    choices.BreastCancer(),
    choices.Wine(),
    choices.Gaussian(),
    choices.Spirals(),
    choices.Shapeset(samples=1000),
]


@pytest.mark.parametrize("name", choices.DATASETS)
def test_every_source_of_the_configs_has_the_functions_that_its_facts_promise(name):
    facts = choices.DATASETS[name].facts
    module = importlib.import_module(f"gradlab.datasets.{facts.module}")
    assert callable(getattr(module, name))
    assert callable(getattr(module, "draw", None)) == facts.endless


@pytest.mark.parametrize("data", OFFLINE, ids=lambda data: data.name)
def test_every_source_is_a_standardized_task(data):
    dataset = datasets.load(data, seed=0)
    assert set(dataset.train.y) == set(dataset.test.y) == set(range(dataset.classes))
    assert len(dataset.test.x) == pytest.approx(0.2 * (len(dataset.train.x) + len(dataset.test.x)), abs=1)
    std = dataset.train.x.std(0)
    np.testing.assert_allclose(dataset.train.x.mean(0), 0, atol=1e-12)
    assert (np.isclose(std, 1) | (std == 0)).all()
    assert dataset.input_second_moment == pytest.approx((std > 0).mean())


@pytest.mark.parametrize("data", OFFLINE, ids=lambda data: data.name)
def test_the_seed_alone_decides(data):
    np.random.seed(3)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (datasets.load(data, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.x, again.train.x)
    np.testing.assert_array_equal(first.test.y, again.test.y)
    assert not np.array_equal(first.train.x, other.train.x)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_digits_are_scikit_learns():
    dataset = datasets.load(choices.Digits(standardize=False), seed=0)
    rows = np.concatenate([dataset.train.x, dataset.test.x])
    expected = load_digits().data
    np.testing.assert_array_equal(np.sort(rows.sum(1)), np.sort(expected.sum(1)))
    assert dataset.input_second_moment == pytest.approx((dataset.train.x**2).mean())


def test_gaussian_inputs_are_standard_normal_with_linear_balanced_labels():
    data = choices.Gaussian(features=20, classes=5, samples=20_000, standardize=False)
    dataset = datasets.load(data, seed=0)
    assert dataset.train.x.mean() == pytest.approx(0, abs=0.01)
    assert dataset.train.x.std() == pytest.approx(1, abs=0.01)
    assert np.bincount(dataset.train.y).min() > 0.15 * len(dataset.train.y)
    from sklearn.linear_model import LogisticRegression

    assert (
        LogisticRegression(C=100.0).fit(dataset.train.x, dataset.train.y).score(dataset.test.x, dataset.test.y) > 0.97
    )


@pytest.mark.parametrize(("features", "classes", "samples"), [(1, 3, 2048), (2, 50, 2048), (64, 10, 2048), (9, 9, 90)])
def test_classes_are_balanced_in_few_dimensions_too(features, classes, samples):
    y = gaussian(choices.Gaussian(features=features, classes=classes, samples=samples), seed=0).y
    assert np.bincount(y).min() >= 0.8 * samples / classes


def test_too_few_samples_for_the_classes_of_a_teacher():
    with pytest.raises(DatasetError, match=r"data.samples: 20 samples are too few for 30 classes of a linear teacher"):
        datasets.load(choices.Gaussian(classes=30, samples=20), seed=0)


def test_importing_the_sources_is_light():
    code = "import sys, gradlab.datasets; print({'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_spirals_are_not_linearly_separable_but_separable():
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    d = datasets.load(choices.Spirals(noise=0.02), seed=0)
    assert LogisticRegression().fit(d.train.x, d.train.y).score(d.test.x, d.test.y) < 0.75
    assert KNeighborsClassifier(3).fit(d.train.x, d.train.y).score(d.test.x, d.test.y) > 0.95


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
    seen = standardization(train)
    a, b = seen(train), seen(test)
    kept = [0, 1, 3]
    np.testing.assert_allclose(b[:, kept], ((test - train.mean(0)) / train.std(0))[:, kept])
    np.testing.assert_allclose(a.std(0)[kept], 1)
    assert not a[:, 2].any()
    assert not b[:, 2].any()


def test_class_numbers():
    assert class_numbers(np.array(["b", "a", "b", "a"])).tolist() == [1, 0, 1, 0]
    assert class_numbers(np.array([-3, 7, 7, -3])).tolist() == [0, 1, 1, 0]
    assert class_numbers(np.repeat([0.5, 1.0, 1.5], 6)).tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert len(set(class_numbers(np.repeat([f"w{i}" for i in range(1200)], 2)))) == 1200
    with pytest.raises(DatasetError, match="at least 2 classes; all samples are 4"):
        class_numbers(np.array([4, 4]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.linspace(0, 1, 30), "30 distinct values in 30 samples are no classes"),
        (np.arange(60) * 7, "60 distinct values in 60 samples are no classes"),
        (np.repeat(np.arange(1001), 3), "1001 distinct values in 3003 samples are no classes"),
        (np.array([f"house {i}" for i in range(30)]), "30 distinct values in 30 samples are no classes"),
        (np.array(["cat"] * 9 + ["dog"] * 9 + ["mouse"]), "2 samples of every class; class 'mouse' has 1"),
        (np.array([]), "at least 2 classes$"),
    ],
)
def test_labels_that_are_no_classes(labels, message):
    with pytest.raises(DatasetError, match=f"^data.target: .*{message}"):
        class_numbers(labels, key="data.target")


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
    rows = np.concatenate([dataset.train.x, dataset.test.x])
    np.testing.assert_allclose(rows[np.argsort(rows[:, 0])], X[np.argsort(X[:, 0])])
    assert dataset.classes == 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_labels_may_be_words_and_features_whole_numbers_or_truths(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    write(path, table(pl.Series(["yes" if y else "no" for y in Y]), d=pl.Series(Y == 1), e=pl.Series(Y)))
    assert load_file(path).features == 5


def test_what_polars_holds_otherwise_than_numpy(tmp_path):
    path = tmp_path / "data.PARQUET"  # endings count in any case
    a = pl.Series("a", X).cast(pl.Array(pl.Float64, 3))
    frame = pl.DataFrame([a, pl.Series("b", X[:, 0]).cast(pl.Decimal(10, 3)), pl.Series("target", Y == 1)])
    frame.write_parquet(path)
    assert load_file(path).features == 4


def write(path, content):
    if isinstance(content, pl.DataFrame):
        content.write_csv(path) if path.suffix.endswith("csv") else content.write_parquet(path)
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
        ("x.npz", b"garbage here", "cannot be read as .npz: it is no complete archive of arrays"),
        ("x.npz", b"\x93NUMPY\x01\x00", "cannot be read as .npz: it is no complete archive of arrays"),
        ("x.npz", {"x": np.array([{}] * 3), "target": Y[:3]}, "cannot be read as .npz: array 'x' holds pickled"),
        ("x.npz", {"x": X, "target": np.array(3)}, r"'target' has shape \(\); it must be one label a sample"),
        ("x.npz", {"x": np.zeros((40, 0)), "target": Y}, "no column beside the target"),
        ("x.npz", {}, "no column 'target'  .columns: none"),
        ("x.csv", b"a,target\n", "x.csv has no rows"),
        ("x.csv", b"a,target\n1,2\n1,2,3\n", "x.csv cannot be read as .csv"),
        ("x.csv", b"a,target\n" + b"1,0\nNA,1\n" * 9, "features must be numbers; these are not: a .such as 'NA'"),
        ("x.parquet", table(pl.Series([[1], [2]] * 20)), "'target' holds lists; it must be one label a sample"),
        ("x.parquet", table(d=pl.Series([None] + [True] * 39)), r"missing or not finite: d \(1 of 40\)"),
        ("x.parquet", table(d=pl.Series([None] * 40)), r"missing or not finite: d \(40 of 40\)"),
        ("x.csv", table().rename({"target": "targte"}), "no column 'target'; did you mean 'targte'.*columns: a, b, c"),
        ("x.csv", table().select("target"), "no column beside the target"),
        ("x.csv", table(d=pl.Series(["w"] * 40)), "features must be numbers; these are not: d .such as 'w'"),
        ("x.parquet", table(d=pl.Series([None, *X[1:, 0]])), r"missing or not finite: d \(1 of 40\)"),
        ("x.parquet", table(d=pl.Series([np.inf, *X[1:, 0]])), r"missing or not finite: d \(1 of 40\)"),
        ("x.parquet", table(pl.Series([None, *Y[1:]])), "1 of 40 labels in 'target' are missing"),
        ("x.parquet", table(pl.Series([None, *["w"] * 39])), "1 of 40 labels in 'target' are missing"),
        ("x.csv", table(pl.Series(X[:, 0])), "^data.target: 'target': 40 distinct values in 40 samples are no classes"),
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


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DatasetError, match=r"is a folder; name a file in it, one of .npz, .csv, .parquet"):
        load_file(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "x.csv"
    write(path, table())
    path.chmod(0)
    with pytest.raises(DatasetError, match=r"cannot be read as .csv: .*denied"):
        load_file(path)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, suffix, data):
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    columns = {"a": np.linspace(0, 1, 12), "target": np.arange(12) % 2}
    np.savez_compressed(path, **columns) if suffix == ".npz" else pl.DataFrame(columns).write_csv(path)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(DatasetError), np.errstate(over="ignore"):
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
    assert len(small.train.y) + len(small.test.y) == 20
    assert np.bincount(small.train.y).tolist() == [8, 8]
    nearly_all = datasets.load(choices.OpenML(dataset="pets", samples=39), seed=0)
    assert len(nearly_all.train.y) + len(nearly_all.test.y) == 39


def test_openml_asks_for_a_name_and_version_or_an_id(monkeypatch):
    asked = []
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda **which: asked.append(which) or bunch())
    datasets.load(choices.OpenML(dataset="pets", version=2), seed=0)
    datasets.load(choices.OpenML(dataset=61), seed=0)
    assert (asked[0]["name"], asked[0]["version"]) == ("pets", 2)
    assert asked[1]["data_id"] == 61
    assert not {"name", "version"} & set(asked[1])


@given(st.lists(st.integers(8, 40), min_size=2, max_size=5), st.floats(0.3, 1), st.integers(0, 2**62))
def test_a_subset_holds_every_class_in_proportion(sizes, share, seed):
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    samples = round(share * len(y))
    chosen = _subset(y, samples, seed)
    assert len(set(chosen)) == len(chosen) == samples
    np.testing.assert_allclose(np.bincount(y[chosen]), np.array(sizes) * samples / len(y), atol=1)
    np.testing.assert_array_equal(chosen, _subset(y, samples, seed))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (URLError("Name or service not known"), "not in the cache, and openml.org cannot be reached: Name or service"),
        (TimeoutError("timed out"), "cannot be reached: timed out"),
        (http.client.IncompleteRead(b""), "cannot be reached: IncompleteRead"),
        (HTTPError("https://openml.org", 503, "Service Unavailable", None, None), "cannot be reached: Service Unav"),
        (HTTPError("https://openml.org", 404, "Not Found", None, None), "no active dataset 'pets'"),
        (http.client.InvalidURL("URL can't contain control characters"), "no active dataset 'pets'"),
        (ValueError("No active dataset pets found."), "no active dataset 'pets'"),
        (ValueError("Dataset with data_id 7 not found."), "no active dataset 'pets'"),
        (ValueError("Sparse ARFF datasets cannot be loaded with as_frame=True."), "'pets' is sparse"),
        (PermissionError(13, "Permission denied"), "cannot be read: .*Permission denied"),
        (ValueError("Bad ARFF"), "cannot be read: Bad ARFF"),
        (bunch(c=["w"] * 40), "features that are not numbers: c"),
        (bunch(c=[np.nan, *X[1:, 1]]), r"missing or not finite: c \(1 of 40\)"),
        (bunch(c=pd.array([None, *Y[1:]], dtype="Int64")), r"missing or not finite: c \(1 of 40\)"),
        (SimpleNamespace(data=bunch().data, target=pd.Series([None, *Y[1:]])), "1 of 40 labels are missing"),
        (SimpleNamespace(data=bunch().data, target=pd.Series(X[:, 0])), "^data.dataset: 40 distinct values"),
        (SimpleNamespace(data=bunch().data, target=bunch().data), "no single column of class labels"),
        (SimpleNamespace(data=pd.DataFrame({"a": X[:, 0]}), target=None), "no single column of class labels"),
    ],
)
def test_what_is_wrong_with_openml_is_said_in_one_message(monkeypatch, result, message):
    fetching(monkeypatch, result)
    with pytest.raises(DatasetError, match=message) as raised:
        datasets.load(choices.OpenML(dataset="pets"), seed=0)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_openml_subset_too_small(monkeypatch):
    fetching(monkeypatch, bunch())
    with pytest.raises(
        DatasetError, match=r"data.samples: 2 samples are too few for 2 classes in proportion; the rarest would have 1"
    ):
        datasets.load(choices.OpenML(dataset="pets", samples=2), seed=0)
