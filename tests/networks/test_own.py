"""Activations and initializers of the user's own, against those that gradlab has under a name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import gradlab
from gradlab import user_code
from gradlab.choices import ELU, LeakyReLU, PythonActivation, PythonInitializer, ReLU, SiLU, Tanh
from gradlab.config.files import load_config
from gradlab.errors import ConfigError, UserError
from gradlab.networks import initializers
from gradlab.networks.activations import activation, traits
from gradlab.theory import predict
from gradlab.theory.blocks import moments
from tests import own

ROOT = Path(__file__).parents[2]


@pytest.fixture
def acts(tmp_path):
    path = own.write(tmp_path)
    return lambda name: PythonActivation(function=f"{path}:{name}")


SAME = {"tanh": Tanh(), "relu": ReLU(), "leaky": LeakyReLU(negative_slope=0.2), "silu": SiLU()}


@pytest.mark.parametrize("name", SAME)
def test_traits_kinks_and_saturation_are_those_of_the_named_activation(acts, name):
    mine, known = activation(acts(name)), activation(SAME[name])
    for trait in ("bounded", "can_die", "homogeneous", "zero_centred", "half_stable"):
        assert getattr(traits(acts(name)), trait) == getattr(SAME[name].traits, trait), trait
    assert mine.kinks == known.kinks
    assert np.allclose(mine.saturation, known.saturation, rtol=1e-6, atol=1e-12)
    h = np.linspace(-30, 30, 1000)  # without 0, where PyTorch has other slopes for other functions
    assert np.allclose(mine.function(h), known.function(h), rtol=1e-12, atol=1e-14)
    assert np.allclose(mine.derivative(h), known.derivative(h), rtol=1e-9, atol=1e-12)


def test_kinks_between_the_points_of_the_grid_are_found(acts):
    assert activation(acts("hard")).kinks == (-0.5, 0.5)
    assert traits(acts("hard")).bounded
    assert traits(acts("hard")).can_die
    assert not traits(acts("hard")).zero_centred


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 40.0])
@pytest.mark.parametrize("name", SAME)
def test_moments_are_those_of_the_named_activation(acts, name, q):
    mine, known = moments(acts(name), q), moments(SAME[name], q)
    for field in ("mean", "second_moment", "variance", "slope", "spread"):
        assert getattr(mine, field) == pytest.approx(getattr(known, field), rel=1e-9, abs=1e-14), field


@pytest.mark.parametrize("norm", ["before", "after"])
def test_a_prediction_is_that_of_the_named_ones(tmp_path, norm):
    path = own.write(tmp_path)
    mine = {"activation": {"name": "python", "function": f"{path}:tanh"}, "initializer": "lecun_normal"}
    about = {"features": 30, "classes": 4, "input_second_moment": 1.0, "batch_size": 32}
    one = predict(load_config({"model": {**mine, "batch_norm": norm}}), **about)
    other = predict(load_config({"model": {**mine, "activation": "tanh", "batch_norm": norm}}), **about)
    assert [row["chi"] for row in one.rows()] == pytest.approx([row["chi"] for row in other.rows()], rel=1e-9)


def test_the_variance_of_an_initializer_is_measured(tmp_path):
    path = own.write(tmp_path)
    he = PythonInitializer(function=f"{path}:he")
    for fan_in, fan_out in [(100, 100), (64, 10), (500, 500)]:
        assert initializers.variance(he, fan_in, fan_out) == pytest.approx(2 / fan_in, rel=0.02)
    assert initializers.mean(he) == 0
    assert initializers.mean(PythonInitializer(function=f"{path}:shifted")) == pytest.approx(0.1, rel=0.02)


def test_an_initializer_draws_from_the_seed_alone_and_moves_no_global_random_state(tmp_path):
    path = own.write(tmp_path)
    before = torch.random.get_rng_state()
    for name in ("he", "returned"):
        weights = []
        for seed in (1, 1, 2):
            weights.append(torch.empty(30, 20))
            choice = PythonInitializer(function=f"{path}:{name}")
            initializers.fill(choice, weights[-1], torch.Generator().manual_seed(seed))
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
    assert torch.equal(before, torch.random.get_rng_state())


BAD_ACTIVATIONS = {
    "softmax": "its result for a number depends on the numbers beside it",
    "noisy": "must not draw at random",
    "total": r"of a tensor of shape \(3, 4\) and torch.float32 it returns \(\) torch.float32",
    "raises": r"acts.py:\d+: ArithmeticError: no such thing",
    "detached": "autograd cannot follow it",
    "in_place": "it changes the tensor that it gets",
    "Shape": "an activation is a function of a tensor, not a class",
    "nothing": "there is no nothing in it  .there is: ONE, Shape",
}


@pytest.mark.parametrize("name", BAD_ACTIVATIONS)
def test_what_is_no_activation_is_refused_and_nothing_is_written(tmp_path, acts, name):
    config = own.config(tmp_path, {"activation": acts(name).model_dump()})
    with pytest.raises(UserError, match=BAD_ACTIVATIONS[name]):
        gradlab.run(config, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("name", "said"), [("unset", "not set"), ("too_small", r"a tensor of shape \(1, ")])
def test_what_is_no_initializer_is_refused(tmp_path, name, said):
    path = own.write(tmp_path)
    config = own.config(tmp_path, {"initializer": {"name": "python", "function": f"{path}:{name}"}})
    with pytest.raises(UserError, match=said):
        gradlab.run(config, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_is_that_of_the_named_activation_and_reading_it_needs_no_code(tmp_path, acts):
    config = own.config(tmp_path, {"activation": {"name": "python", "function": "acts.py:tanh"}})
    before = torch.random.get_rng_state()
    mine = gradlab.run(config, runs=tmp_path / "runs", plots=False)
    assert torch.equal(before, torch.random.get_rng_state())
    named = gradlab.run(config, {"model.activation": "tanh"}, runs=tmp_path / "runs", plots=False)
    for column in ("delta_rms", "activation_rms", "zero_fraction"):
        assert mine.layers[column].to_list() == named.layers[column].to_list()
    kinds = mine.layers.filter(pl.col("kind") == "activation")
    assert kinds["saturated_fraction"].null_count() == 0
    assert mine.theory["chi"].to_list() == pytest.approx(named.theory["chi"].to_list(), rel=1e-9)

    (tmp_path / "acts.py").unlink()
    read = gradlab.load_run(mine.path)
    assert read.tables.activation_traits.bounded
    assert not read.tables.activation_traits.can_die
    shutil.rmtree(named.path)
    command = [sys.executable, "-m", "gradlab", "compare", str(tmp_path / "runs"), "--format", "markdown"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_id_goes_by_content_and_not_by_place(tmp_path):
    configs = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        own.write(folder)
        configs.append(own.config(folder, {"activation": {"name": "python", "function": "acts.py:tanh"}}))
    one, two = (load_config(config).id for config in configs)
    assert one == two
    (tmp_path / "two" / "other.py").write_text("ONE = 1.0\n")  # no import statement leads there
    assert load_config(configs[1]).id == one
    (tmp_path / "two" / "helper.py").write_text("ONE = 1.0\n")
    changed = load_config(configs[1]).id
    assert changed != one
    other = {"model.activation.function": f"{tmp_path / 'two' / 'acts.py'}:relu"}
    assert load_config(configs[1], other).id not in (one, changed)


def test_a_changed_file_is_measured_again_in_the_same_process(tmp_path):
    path = own.write(tmp_path, "import torch\ndef f(h):\n    return torch.tanh(h)\n")
    choice = PythonActivation(function=f"{path}:f")
    tanh = moments(choice, 1.0).slope
    path.write_text("import torch\ndef f(h):\n    return torch.nn.functional.elu(h)\n")
    assert moments(choice, 1.0).slope == pytest.approx(moments(ELU(), 1.0).slope)
    assert moments(choice, 1.0).slope != tanh


def test_files_of_one_name_beside_two_configs_are_two_files(tmp_path):
    values = []
    for number, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        path = own.write(tmp_path / folder, "from helper import ONE\nvalue = ONE\n")
        (path.parent / "helper.py").write_text(f"ONE = {number}\n")
        values.append(user_code.load(f"{path}:value"))
    assert values == [0, 1]
    assert "helper" not in sys.modules
    assert str(tmp_path / "one") not in sys.path


@pytest.mark.parametrize("reference", ["acts.py", "acts.py:", ":f", "a b:f", "acts.py:f()"])
def test_what_names_no_function_is_a_problem_of_the_config(reference):
    with pytest.raises(ConfigError, match="must name a file and what is in it"):
        load_config({"model": {"activation": {"name": "python", "function": reference}}})


def test_a_failure_in_training_keeps_the_traceback_in_the_run_folder(tmp_path):
    own.write(tmp_path)
    config = own.config(tmp_path, {"activation": {"name": "python", "function": "acts.py:late"}})
    with pytest.raises(UserError, match=r"acts.py:\d+: ArithmeticError in step \d+: late"):
        gradlab.run(config, runs=tmp_path / "runs")
    (summary,) = (tmp_path / "runs").glob("*/summary.json")
    written = json.loads(summary.read_text())
    assert written["status"] == "failed"
    assert "acts.py" in written["traceback"]
    assert "ArithmeticError: late" in written["traceback"]
