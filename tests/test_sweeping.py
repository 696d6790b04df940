"""`gradlab.sweep`, `gradlab.predict` and `gradlab.load_runs`, and the newcomer's path of the README."""

import re
from pathlib import Path

import pytest

import gradlab
from gradlab.errors import ConfigError, RunFolderError
from tests import own

README = Path(__file__).parents[1] / "README.md"


def test_a_prediction_is_that_of_the_run(tmp_path):
    config = own.config(tmp_path, {"activation": "tanh", "initializer": "lecun_normal"})
    predicted = gradlab.predict(config, {"model.depth": 4})
    assert len(predicted.layers) == 4
    run = gradlab.run(config, {"model.depth": 4, "train.steps": 2}, runs=tmp_path / "runs", plots=False)
    assert run.theory["chi"].to_list() == [layer.chi for layer in predicted.layers]
    own.write(tmp_path, "def net():\n    pass\n", "nets.py")
    theirs = gradlab.predict({"model": {"kind": "python", "factory": f"{tmp_path}/nets.py:net"}})
    assert "its kind is python" in theirs.not_covered


def test_the_sweep_of_the_readme(tmp_path):
    """Word by word, with shorter runs."""
    text = README.read_text(encoding="utf-8").partition("### From `class Net")[2]
    nets, config = re.findall(r"```\w+\n(.*?)```", text, re.S)[:2]
    file, axis, seeds = re.search(r"gradlab sweep (.*)", text)[1].split()
    (tmp_path / "nets.py").write_text(nets)
    (tmp_path / file).write_text(config.replace("steps: 200", "steps: 5"))
    key, _, names = axis.partition("=")
    axes = {key: names.split(","), "seed": [0, 1]}
    done = gradlab.sweep(tmp_path / file, axes, runs=tmp_path / "runs", workers=1, progress=False)
    assert seeds == "seed=0,1"
    assert not done.report.failed
    assert [run.config.seed for run in done.runs] == [0, 1] * 3
    assert {run.path for run in gradlab.load_runs(tmp_path / "runs")} == {run.path for run in done.runs}
    assert set(gradlab.compare(tmp_path / "runs")[key]) == set(names.split(","))
    again = gradlab.sweep(tmp_path / file, [axis, seeds], runs=tmp_path / "runs", workers=1, progress=False)
    assert not again.report.ran


def test_what_is_wrong_is_an_error(tmp_path):
    with pytest.raises(RunFolderError, match="there is no folder"):
        gradlab.load_runs(tmp_path / "nowhere")
    with pytest.raises(ConfigError):
        gradlab.sweep(own.config(tmp_path, {}), {"model.dept": [1, 2]}, runs=tmp_path / "runs")
