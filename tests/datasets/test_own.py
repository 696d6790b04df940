"""Data that a function of the user makes, and data with numbers to predict."""

import numpy as np
import pytest
import torch

import gradlab
from gradlab import choices, datasets
from gradlab.config.files import load_config
from gradlab.errors import DatasetError, UserError
from gradlab.theory import predict_on
from tests import own

CODE = """\
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset


def arrays(seed, samples=60):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 3, 4))
    y = (x.sum((1, 2)) > 0).astype(int)
    return x[:40], y[:40], x[40:], y[40:]


def tensors():
    x = torch.randn(60, 2, 5, 5)
    return x[:40], x[:40].mean((1, 2, 3)), x[40:], x[40:].mean((1, 2, 3))


def pair():
    x, y, other, z = arrays(0)
    made = [(torch.tensor(a, dtype=torch.float32), torch.tensor(b)) for a, b in ((x, y), (other, z))]
    return tuple(TensorDataset(*part) for part in made)


def tokens():
    x = torch.randint(0, 7, (80, 6))
    return x, x.flip(1)


def whole():
    x, y, *_ = arrays(0)
    return x.astype("float32"), y.astype(float)


def one():
    return 5


def missing():
    x, y, *_ = arrays(0)
    x[0] = np.nan
    return x, y


def uneven():
    x, y, *_ = arrays(0)
    return x, y[:-1]


def negative():
    x, y, *_ = arrays(0)
    return x, y - 1


def words():
    return np.array(["a", "b"]), np.array([0, 1])


def raises():
    return {}["x"]


class Tagger(nn.Module):
    def __init__(self, classes, width=16):
        super().__init__()
        self.embed = nn.Embedding(7, width)
        self.mix = nn.Linear(6 * width, 6 * width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        h = torch.tanh(self.mix(self.embed(x).flatten(1)))
        return self.head(h.unflatten(1, (6, -1)))


def conv(features, classes):
    assert features == (2, 5, 5)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, classes))
"""


@pytest.fixture
def data(tmp_path):
    path = own.write(tmp_path, CODE, "data.py")
    return lambda name, **options: choices.PythonData(factory=f"{path}:{name}", options=options)


def test_arrays_tensors_and_torch_datasets_in_their_shape(data):
    arrays = datasets.load(data("arrays", samples=50), 0)
    assert arrays.train.x.shape == (40, 3, 4)
    assert arrays.features == (3, 4)
    assert (len(arrays.test.x), arrays.classes, arrays.numeric) == (10, 2, False)
    assert arrays.flat.features == 12
    assert np.array_equal(datasets.load(data("arrays"), 0).train.x, datasets.load(data("arrays"), 0).train.x)
    assert not np.array_equal(datasets.load(data("arrays"), 0).train.x, datasets.load(data("arrays"), 1).train.x)
    pair = datasets.load(data("pair"), 0)
    assert pair.train.x.shape == (40, 3, 4)
    assert pair.train.x.dtype == np.float64
    tokens = datasets.load(data("tokens"), 0)
    assert (tokens.train.x.dtype, tokens.train.x.shape, tokens.train.y.shape) == (np.int64, (64, 6), (64, 6))
    assert datasets.load(data("whole"), 0).train.y.dtype == np.int64, "classes may be written as 1.0"


def test_tensors_are_drawn_from_the_seed_and_leave_the_random_state_alone(data):
    before = torch.random.get_rng_state()
    one, again, other = (datasets.load(data("tensors"), seed, "mse") for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(one.train.x, again.train.x)
    assert not np.array_equal(one.train.x, other.train.x)
    assert (one.numeric, one.classes, one.train.y.shape) == (True, 1, (40, 1))
    assert one.target_second_moment == pytest.approx((one.train.y**2).mean())


def test_standardization_is_of_each_feature_and_only_of_numbers_that_are_not_whole(data):
    standardized = datasets.load(data("arrays").model_copy(update={"standardize": True}), 0)
    assert np.allclose(standardized.train.x.mean(0), 0)
    assert np.allclose(standardized.train.x.std(0), 1)
    tokens = data("tokens")
    plain = datasets.load(tokens, 0).train.x
    assert np.array_equal(datasets.load(tokens.model_copy(update={"standardize": True}), 0).train.x, plain)


BAD = {
    "one": r"data.py:\d+: one returns int; it must return \(x_train",
    "missing": r"data.py:\d+: missing returns 12 of 480 numbers in x that are not finite",
    "uneven": r"data.py:\d+: uneven returns 40 samples in x, and 39 targets",
    "negative": r"data.py:\d+: negative returns the class number -1 in y",
    "words": r"data.py:\d+: words returns <U1 in x; features must be numbers",
    "raises": r"data.py:\d+: KeyError: 'x'",
    "tensors": r"the targets of tensors\(\) are numbers, and train.loss=cross_entropy is about classes",
}


@pytest.mark.parametrize("name", BAD)
def test_what_are_no_data_is_one_message_and_nothing_is_written(data, tmp_path, name):
    with pytest.raises(UserError, match=BAD[name]):
        gradlab.run({"data": data(name).model_dump(), "device": "cpu"}, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


SHORT = {"train": {"steps": 30, "learning_rate": 0.05}, "device": "cpu"}


def test_sequences_of_tokens_with_a_class_for_each_position(data, tmp_path):
    model = {"kind": "python", "factory": data("Tagger").factory}
    config = {**SHORT, "model": model, "data": {**data("tokens").model_dump(), "batch_size": 16}}
    run = gradlab.run(config, {"train.optimizer": "adam", "train.steps": 200}, runs=tmp_path, plots=False)
    train = run.tables.split("train")
    assert 0.05 < train["accuracy"][0] < 0.35
    assert train["accuracy"][-1] > 0.6
    assert train["loss"][0] == pytest.approx(np.log(7), rel=0.3), "the mean over positions"


def test_images_with_numbers_to_predict(data, tmp_path):
    model = {"kind": "python", "factory": data("conv").factory}
    config = {"train": {**SHORT["train"], "loss": "mse"}, "model": model, "data": data("tensors").model_dump()}
    run = gradlab.run(config, {"data.batch_size": "full"}, runs=tmp_path)
    assert run.evaluations["accuracy"].null_count() == run.evaluations.height
    assert run.steps["loss"][-1] < run.steps["loss"][0]
    assert run.summary["test_accuracy"] is None
    assert (run.path / "plots" / "training.png").exists()
    mlp = gradlab.run({**config, "model": {"depth": 2, "width": 8}}, runs=tmp_path, plots=False)
    assert mlp.status == "completed", "an mlp gets one row of numbers of each image"


@pytest.mark.parametrize("source", [{"name": "teacher", "outputs": 3, "features": 200}, {"name": "function"}])
def test_numbers_to_predict_and_the_size_of_their_gradient(tmp_path, source):
    model = {"depth": 5, "width": 200, "activation": "tanh", "initializer": {"name": "normal", "std": 0.005}}
    config = load_config({**SHORT, "model": model, "data": source, "train": {"loss": "mse", "steps": 1}})
    dataset = datasets.load_for(config)
    assert dataset.numeric
    assert dataset.train.x.var() == pytest.approx(1, abs=0.05)
    predicted = predict_on(config, dataset)
    run = gradlab.run(config, runs=tmp_path, plots=False)
    delta = run.layers.filter(kind="output")["delta_rms"][0]
    y = dataset.train.y
    assert delta == pytest.approx(2 * np.sqrt((y**2).mean()) / y.shape[1] / 128, rel=0.1)
    last = run.layers.filter(kind="weight")["delta_rms"][-1]
    assert last == pytest.approx(predicted.delta_last, rel=0.3)


def test_a_file_with_a_numeric_target(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    np.savez(tmp_path / "data.npz", x=x, price=x.sum(1), grade=rng.integers(0, 3, 100), age=np.arange(100))
    for target, numeric in {"price": True, "age": True, "grade": False}.items():
        data = choices.File(path=tmp_path / "data.npz", target=target)
        assert datasets.load(data, 0, "mse").numeric is numeric
    with pytest.raises(DatasetError, match="100 distinct values in 100 samples are no classes") as refused:
        datasets.load(choices.File(path=tmp_path / "data.npz", target="price"), 0)
    assert "train.loss=mse" in str(refused.value)
    prices = datasets.load(choices.File(path=tmp_path / "data.npz", target="price"), 0, "mse")
    split = np.concatenate([prices.train.y, prices.test.y])[:, 0]
    assert np.array_equal(np.sort(split), np.sort(x.sum(1)))
    assert len(prices.test.y) == 20
