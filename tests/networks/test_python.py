"""Networks of the user's own in a config: made from the seed, tried before anything is written, run by no reader."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import gradlab
from gradlab.config.files import load_config
from gradlab.errors import ConfigError, UserError
from tests import own

ROOT = Path(__file__).parents[2]
NETS = """\
import random
import numpy as np
import torch
from torch import nn
from helper import ONE


class Net(nn.Module):
    def __init__(self, features, classes, depth=3, width=16, drop=0.0):
        super().__init__()
        widths = [features, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        for layer in self.layers:
            x = self.drop(torch.tanh(layer(x)))
        return self.head(x) * ONE


def build(features, classes, **options):
    random.random(), np.random.rand(), torch.rand(3)
    print("built")
    return Net(features, classes, **options)


def lazy(classes):
    return nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Tanh(), nn.LazyLinear(classes))


class Noisy(Net):
    def forward(self, x):
        print("forward")
        return super().forward(x) + 0.01 * torch.randn(()) + 0.01 * random.random()


class Late(Net):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls == 50:
            raise ArithmeticError("late")
        return super().forward(x)


class Leaves(Late):
    def forward(self, x):
        try:
            return super().forward(x)
        except ArithmeticError:
            raise SystemExit(0)


def raises():
    raise KeyError("depth")


def nothing():
    pass


def empty():
    return nn.Flatten()


def narrow(features):
    return nn.Linear(features, 2)


def wide(classes):
    return nn.Sequential(nn.Linear(7, classes))


class Pair(Net):
    def forward(self, x):
        return super().forward(x), x


class Cut(Net):
    def forward(self, x):
        return super().forward(x).detach()


number = 5
"""


@pytest.fixture
def config(tmp_path):
    own.write(tmp_path, NETS, "nets.py")
    data = {"data": {"name": "wine", "batch_size": 32}, "train": {"steps": 60}, "device": "cpu"}

    def write(factory, **options):
        return {"model": {"kind": "python", "factory": f"{tmp_path}/nets.py:{factory}", "options": options}, **data}

    return write


def rows(run):
    return run.steps["loss"].to_list(), run.layers["delta_rms"].to_list(), run.evaluations["loss"].to_list()


def test_a_run_of_ones_own_network_is_recorded_as_one_that_is_watched(config, tmp_path):
    run = gradlab.run(config("build", depth=6), runs=tmp_path / "runs", plots=False)
    assert run.status == "completed"
    names = [f"layers.{number}" for number in range(6)]
    chains = run.tables.modules.filter(chain=0)["module"].to_list()
    assert [name for name in chains if name in names] == names
    assert run.theory.height == 0
    assert run.not_judged["off-theory"] == "theory does not cover this network"
    assert "unregistered-parameters" not in run.not_judged, "the graph of the steps is known"
    assert run.tables.split("test")["accuracy"].null_count() == 0


@pytest.mark.parametrize(("factory", "options"), [("build", {}), ("lazy", {}), ("Noisy", {"drop": 0.2})])
def test_training_is_that_of_a_loop_without_gradlab(config, tmp_path, factory, options):
    before = torch.random.get_rng_state()
    source = config(factory, **options)
    one = gradlab.run(source, runs=tmp_path / "one", plots=False)
    two = gradlab.run(source, {"record.every": 60}, runs=tmp_path / "two", plots=False)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.steps["loss"].to_list() == two.steps["loss"].to_list(), "with and without recording"
    assert rows(one) == rows(gradlab.run(source, runs=tmp_path / "three", plots=False))
    other = gradlab.run(source, {"seed": 1}, runs=tmp_path / "one", plots=False)
    assert other.steps["loss"].to_list() != one.steps["loss"].to_list()


BAD = {
    "raises": r"nets.py:\d+: KeyError: 'depth'",
    "nothing": r"nets.py:\d+: nothing returns NoneType, which is no nn.Module",
    "empty": r"nets.py:\d+: the module has no parameters to train",
    "narrow": r"nets.py:\d+: the module returns a tensor of shape \(32, 2\).*the shape \(32, 3\)",
    "wide": r"nets.py:\d+: RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    "Pair": r"nets.py:\d+: the module returns tuple; the loss needs one tensor",
    "Cut": r"nets.py:\d+: the output does not depend on any parameter",
    "number": "number is int and cannot be called",
    "missing": "there is no missing in it",
}


@pytest.mark.parametrize("factory", BAD)
def test_what_is_no_network_for_the_data_is_one_message_and_nothing_is_written(config, tmp_path, factory):
    with pytest.raises(UserError, match=BAD[factory]):
        gradlab.run(config(factory), runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_options_that_it_does_not_take_are_named(config, tmp_path):
    with pytest.raises(UserError, match=r"nets.py:\d+: Net\(features.*cannot be called with depht, features, classes"):
        gradlab.run(config("Net", depht=5), runs=tmp_path / "runs")
    with pytest.raises(ConfigError, match="'two words' is no name of an argument"):
        load_config(config("Net", **{"two words": 1}))


@pytest.mark.parametrize("factory", ["Late", "Leaves"])
def test_an_error_in_the_fiftieth_step_is_in_the_run_folder(config, tmp_path, factory):
    with pytest.raises(UserError, match=r"nets.py:\d+: .* in step 49"):
        gradlab.run(config(factory), runs=tmp_path / "runs")
    (path,) = (tmp_path / "runs").iterdir()
    summary = json.loads((path / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "nets.py" in summary["traceback"]
    assert gradlab.load_run(path).steps.height == 49


def test_an_id_has_the_content_of_the_files_and_the_options(config, tmp_path):
    first = load_config(config("Net", depth=3)).id
    assert load_config(config("Net", depth=3), {"name": "other"}).id == first
    assert load_config(config("Net", depth=3), ["model.options.depth=4"]).id != first
    (tmp_path / "helper.py").write_text("ONE = 2\n")
    assert load_config(config("Net", depth=3)).id != first


WRITES = """
from pathlib import Path
Path(__file__).with_name("was_here").touch()
from torch import nn
def build(features, classes):
    return nn.Linear(features, classes)
"""


def test_who_reads_run_folders_runs_no_code_of_the_user(config, tmp_path):
    (tmp_path / "nets.py").write_text(WRITES)
    for seed in (0, 1):
        gradlab.run(config("build"), {"seed": seed, "train.steps": 5}, runs=tmp_path / "runs", plots=False)
    (tmp_path / "was_here").unlink()
    paths = sorted(map(str, (tmp_path / "runs").iterdir()))
    for arguments in (
        ["show", paths[0], "--plots"],
        ["compare", "runs", "--format", "markdown"],
        ["export", paths[0], "--to", "csv"],
        ["report", paths[0]],
        ["report", *paths],
        ["compare", "runs", "--plot", "picture.png"],
    ):
        done = command(tmp_path, *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
    assert not (tmp_path / "was_here").exists()


def command(folder, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "150"}
    start = [sys.executable, "-m", "gradlab", *arguments]
    return subprocess.run(start, cwd=folder, env=environment, capture_output=True, text=True, check=False, **options)


CONFIG = """
model: {kind: python, factory: "nets.py:build"}
data: {name: wine, batch_size: 32}
train: {steps: 5}
"""


def test_a_file_that_hangs_when_it_is_imported_is_ended_by_ctrl_c(tmp_path):
    (tmp_path / "nets.py").write_text("from pathlib import Path\nPath('here').touch()\nwhile True: pass\n")
    (tmp_path / "config.yaml").write_text(CONFIG)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = [sys.executable, "-m", "gradlab", "run", "config.yaml"]
    process = subprocess.Popen(start, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    while not (tmp_path / "here").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.stderr.close()
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_options_are_axes_of_a_sweep_and_columns_of_a_comparison(tmp_path):
    own.write(tmp_path, NETS, "nets.py")
    (tmp_path / "config.yaml").write_text(CONFIG.replace("build", "Net"))
    done = command(tmp_path, "sweep", "config.yaml", "model.options.depth=2,3", "seed=0,1", "--workers", "1")
    assert done.returncode == 0, done.stderr + done.stdout
    table = command(tmp_path, "compare", "--where", "model.options.depth == 3", "--format", "markdown").stdout
    assert "2 runs in 1 configuration" in command(tmp_path, "compare", "--where", "model.options.depth == 3").stdout
    assert table
    said = command(tmp_path, "predict", "config.yaml").stdout
    assert "Net(), on wine" in said
    assert "Theory does not cover this network" in said
    (tmp_path / "nets.py").write_text("raise ValueError('no')\n")
    done = command(tmp_path, "sweep", "config.yaml", "model.options.depth=2,3", "--workers", "1")
    assert done.returncode == 2
    assert "nets.py:1: ValueError: no" in done.stderr
