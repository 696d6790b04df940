"""`gradlab fix` as people use it: on real runs, in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import gradlab
from gradlab.config.files import load_config
from gradlab.errors import UserError

SICK = """
model: {depth: 12, width: 32, activation: sigmoid, initializer: glorot_uniform}
train: {learning_rate: 0.1, steps: 60}
record: {every: 10, histograms: 0, dead_units: 0}
"""
HEALTHY = """
model: {depth: 2, width: 32, activation: relu, initializer: he_normal}
train: {learning_rate: 0.1, steps: 60}
record: {every: 10, histograms: 0, dead_units: 0}
"""


def fix(folder, *arguments, **options):
    command = [sys.executable, "-m", "gradlab", "fix", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def repaired(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fix")
    (folder / "sick.yaml").write_text(SICK)
    return folder, fix(folder, "sick.yaml", env=os.environ | {"COLUMNS": "80"})


def test_it_proves_a_repair_and_writes_it(repaired):
    folder, done = repaired
    assert done.returncode == 0, done.stderr + done.stdout
    assert "proven: model.batch_norm=before" in done.stdout
    assert "wrote sick-fixed.yaml" in done.stdout
    table = [line for line in done.stdout.splitlines() if not re.match(r" *\d+/\d+  ", line)]
    assert max(map(len, table)) <= 80
    assert load_config(folder / "sick-fixed.yaml").model.normalization.where == "before"
    assert "changed because of" in (folder / "sick-fixed.yaml").read_text()


def test_the_repaired_file_is_healthy_on_fresh_seeds(repaired):
    folder, _ = repaired
    for seed in (101, 102):
        assert gradlab.run(folder / "sick-fixed.yaml", {"seed": seed}, runs=folder / "fresh", plots=False).verdict == (
            "healthy"
        )


def test_its_runs_are_there_to_be_compared_and_nothing_runs_twice(repaired):
    folder, _ = repaired
    summaries = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/summary.json")}
    assert len(summaries) >= 6
    again = fix(folder, "sick.yaml")
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/summary.json")} == summaries
    command = [sys.executable, "-m", "gradlab", "compare", "--format", "json"]
    table = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert len(json.loads(table.stdout)) >= 2


def test_in_python_it_gives_what_was_tried(repaired):
    folder, _ = repaired
    repair = gradlab.fix(folder / "sick.yaml", runs=folder / "runs")
    assert repair.proven
    assert repair.before.findings[0].rule == "vanishing-gradient"
    assert repair.after.mean("test_accuracy").value > repair.before.mean("test_accuracy").value + 0.2


def test_a_healthy_config_says_so(tmp_path):
    (tmp_path / "well.yaml").write_text(HEALTHY)
    done = fix(tmp_path, "well.yaml", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "healthy already on 2 seeds" in done.stdout
    assert not (tmp_path / "well-fixed.yaml").exists()


def test_nothing_proven_exits_with_1_and_writes_nothing(tmp_path):
    (tmp_path / "sick.yaml").write_text(SICK)
    done = fix(tmp_path, "sick.yaml", "model.width=1", "model.depth=1", "train.learning_rate=1e-12", "--seeds", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "nothing proven" in done.stdout
    assert not (tmp_path / "sick-fixed.yaml").exists()


def test_bad_input_is_one_message_and_nothing_runs(tmp_path):
    (tmp_path / "sick.yaml").write_text(SICK)
    (tmp_path / "sick-fixed.yaml").write_text("mine\n")
    for arguments, said in (
        (["sick.yaml"], "exists already"),
        (["sick.yaml", "--write", "nowhere/x.yaml"], "there is no folder"),
        (["none.yaml"], "there is no such file"),
        (["sick.yaml", "model.activation=relux", "--write", "x.yaml"], "relu"),
        (["sick.yaml", "data.name=file", "data.path=none.csv", "--write", "x.yaml"], "none.csv"),
    ):
        done = fix(tmp_path, *arguments)
        assert done.returncode == 2, (arguments, done.stdout, done.stderr)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "sick-fixed.yaml").read_text() == "mine\n"
    assert not [path for path in tmp_path.glob("runs/*") if path.is_dir()]
    with pytest.raises(UserError, match="too few"):
        gradlab.fix(tmp_path / "sick.yaml", seeds=1, runs=tmp_path / "runs")


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="sends Ctrl-C to a process")
def test_ctrl_c_ends_it_with_130_and_the_same_command_goes_on(tmp_path):
    (tmp_path / "long.yaml").write_text(SICK.replace("steps: 60", "steps: 100000"))
    command = [sys.executable, "-m", "gradlab", "fix", "long.yaml"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if list(tmp_path.glob("runs/*/layers/*")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert not (tmp_path / "long-fixed.yaml").exists()
    assert {json.loads(path.read_text())["status"] for path in tmp_path.glob("runs/*/summary.json")} == {"interrupted"}


def test_of_a_network_of_ones_own_what_the_config_reaches_is_tried(tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n\ndef build(features, classes):\n"
        "    return nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, classes))\n"
    )
    (tmp_path / "own.yaml").write_text(
        'model: {kind: python, factory: "nets.py:build"}\ntrain: {learning_rate: 20.0, steps: 60}\n'
        "record: {every: 10, histograms: 0, dead_units: 0}\n"
    )
    done = fix(tmp_path, "own.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "proven: train." in done.stdout
    repaired = load_config(tmp_path / "own-fixed.yaml")
    assert repaired.model.factory.endswith("nets.py:build")
    assert repaired.train.learning_rate < 20
