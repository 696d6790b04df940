"""A convolutional network in run, sweep, predict and compare."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import gradlab
from gradlab import datasets, preparation, training
from gradlab.cli import app
from gradlab.config import Config
from gradlab.diagnosis.gradients import _profiles
from gradlab.errors import DatasetError, UserError
from gradlab.measures.slopes import fit_depth
from gradlab.networks.building import build

CPU = torch.device("cpu")
SMALL = {
    "name": "maps",
    "model": {"kind": "cnn", "depth": 3, "channels": 4, "stride": [1, 2, 1]},
    "data": {"batch_size": 32},
    "train": {"steps": 6, "learning_rate": 0.1},
}


def run(tmp_path, overrides=(), **options):
    return gradlab.run(SMALL, overrides, runs=tmp_path, **{"plots": False, **options})


@pytest.mark.parametrize("normalization", ["none", "batch_norm", "layer_norm", "rms_norm"])
def test_a_run(tmp_path, normalization):
    done = run(tmp_path, {"model.normalization": normalization, "model.residual": False})
    assert done.status == "completed"
    first = done.layers.filter(step=0)
    assert first.filter(kind="weight")["module"].to_list() == [f"hidden.{layer}.conv" for layer in range(3)]
    assert first.filter(kind="output")["module"].to_list() == ["output"]
    assert first.filter(kind="norm").height == 3 * (normalization != "none")
    assert (first.filter(kind="weight")["delta_rms"] > 0).all()
    entries = dict(done.modules.select("module", "entries").iter_rows())
    assert [entries[f"hidden.{layer}.conv"] for layer in range(3)] == [32 * 4 * 64, 32 * 4 * 16, 32 * 4 * 16]
    assert ("train_batch_statistics" in done.evaluations["split"]) == (normalization == "batch_norm")


def test_delta_is_the_rms_over_all_entries_and_units_are_channels(tmp_path):
    done = run(tmp_path, {"train.steps": 1, "train.learning_rate": 1e-12, "dtype": "float64", "record.dead_units": 1})
    config = done.config
    data = datasets.load(config.data, config.seed)
    network = build(config.model, features=data.image, classes=10, seed=0, dtype=torch.float64, device=CPU)
    splits = training.Data.on(CPU, torch.float64, data)
    _, x, y = next(training.batches(splits.train, 32, config.seed))
    seen = {}
    for layer in network.hidden:
        layer.conv.register_forward_hook(lambda module, inputs, output: seen.update({module: output}))
    loss = torch.nn.functional.cross_entropy(network(x), y)
    deltas = torch.autograd.grad(loss, list(seen.values()))
    expected = [float(delta.square().mean().sqrt()) for delta in deltas]
    weights = done.layers.filter(kind="weight")
    np.testing.assert_allclose(weights["delta_rms"].to_numpy(), expected, rtol=1e-9)
    with torch.no_grad():
        network(splits.train.x)
    dead = [float((maps.relu() == 0).all(3).all(2).all(0).double().mean()) for maps in seen.values()]
    assert done.layers.filter(kind="activation")["dead_fraction"].to_list() == dead


def test_data_without_images_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DatasetError, match="a cnn reads images"):
        run(tmp_path, {"data": "wine"})
    assert not list(tmp_path.iterdir())


def test_a_sweep_over_channels_and_a_comparison(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maps.yaml").write_text("model: {kind: cnn, depth: 2}\ntrain: {steps: 3}\n")
    swept = CliRunner().invoke(app, ["sweep", "maps.yaml", "model.channels=2,4", "--workers", "1"])
    assert swept.exit_code == 0, swept.output
    compared = CliRunner().invoke(app, ["compare", "--where", "model.channels == 4"])
    assert "1 run in 1 configuration" in " ".join(compared.output.split())


def test_maps_that_do_not_fit_into_memory_are_refused():
    model = {"kind": "cnn", "depth": 10000, "channels": 500, "kernel": 1}
    config = Config.model_validate({"model": model, "data": {"batch_size": "full"}})
    with pytest.raises(UserError, match="what 10000 layers of maps put out for a batch of 1437 needs at least"):
        preparation._require_memory(config, CPU, torch.float32, datasets.load(config.data, 0))


def test_strides_are_no_slope(tmp_path):
    """A kernel of 1 × 1 without an activation keeps Σδ²; strides from 64 positions to 1 change δ an entry eightfold."""
    linear = {"activation": "identity", "initializer": "lecun_normal", "kernel": 1, "channels": 64}
    model = {"kind": "cnn", "depth": 6, "stride": [1, 2, 1, 2, 1, 2], **linear}
    done = gradlab.run({**SMALL, "model": model, "train": {"steps": 1}}, runs=tmp_path, plots=False)
    (judged,), _ = _profiles(done.tables, sign=-1)
    assert judged.modules == tuple(f"hidden.{layer}.conv" for layer in range(6))
    assert abs(float(fit_depth(judged.layers, judged.values_TL).range_T[0])) < 0.2
    per_entry = done.layers.filter(kind="weight")["delta_rms"].to_numpy()
    assert per_entry[0] / per_entry[-1] == pytest.approx(1 / 8, rel=0.3)
    predicted = done.theory["delta_relative"]
    assert predicted[0] == pytest.approx(1 / 8, rel=0.01)
