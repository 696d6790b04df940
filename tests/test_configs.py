"""Every config in the tree runs, and says in its header what it is for and how to run it."""

from pathlib import Path

import pytest

import gradlab

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_config_runs(path, tmp_path):
    run = gradlab.run(path, {"train.steps": 3}, runs=tmp_path, plots=False)
    assert run.status == "completed"
    assert run.layers["step"].n_unique() == 3


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_header_gives_purpose_command_and_what_to_see(path):
    text = path.read_text()
    header = text[: text.index("\n\n")]
    assert all(line.startswith("#") for line in header.splitlines())
    assert f"gradlab run {path.relative_to(ROOT)}" in header
    assert "# See: " in header
    assert 10 <= len(text.splitlines()) <= 40


def test_the_six_are_there():
    names = {path.stem for path in CONFIGS}
    assert names >= {"vanishing", "exploding", "healthy", "batch_norm", "selu", "dying_relu"}
