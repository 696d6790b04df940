"""Every config and sweep to start from runs, and says in its header what it is for and how to run it."""

from pathlib import Path

import pytest

import gradlab
from gradlab.config.files import read_document
from gradlab.sweeps.grid import load_plan

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "configs").glob("*.yaml"))
SWEEPS = [path for path in FILES if {"grid", "pairs"} & set(read_document(path).data)]
CONFIGS = [path for path in FILES if path not in SWEEPS]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_config_runs(path, tmp_path):
    run = gradlab.run(path, {"train.steps": 3}, runs=tmp_path, plots=False)
    assert run.status == "completed"
    assert run.layers["step"].n_unique() == 3


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_sweep_runs(path, tmp_path):
    points = load_plan(path).points
    assert 2 <= len(points) <= 100
    for point in points[:2]:
        assert gradlab.run(point.config, {"train.steps": 3}, runs=tmp_path, plots=False).status == "completed"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_header_gives_purpose_command_and_what_to_see(path):
    text = path.read_text()
    header = text[: text.index("\n\n")]
    assert all(line.startswith("#") for line in header.splitlines())
    assert f"gradlab {'sweep' if path in SWEEPS else 'run'} {path.relative_to(ROOT)}" in header
    assert "# See: " in header
    assert 10 <= len(text.splitlines()) <= 40


def test_the_six_are_there():
    names = {path.stem for path in CONFIGS}
    assert names >= {"vanishing", "exploding", "healthy", "batch_norm", "selu", "dying_relu"}


def test_the_three_sweeps_are_there():
    assert {path.stem for path in SWEEPS} >= {"sweep_depth", "sweep_activations", "sweep_initializers"}


OWN = sorted((ROOT / "configs" / "own").glob("*.yaml"))


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_examples_of_own_networks_run(path, tmp_path):
    assert any(f"gradlab {command} configs/own/{path.name}" in path.read_text() for command in ("run", "sweep"))
    points = load_plan(path).points if {"grid", "pairs"} & set(read_document(path).data) else []
    for config in [point.config for point in points[:1]] or [path]:
        assert gradlab.run(config, {"train.steps": 2}, runs=tmp_path, plots=False).status == "completed"
