"""What the shell offers where one presses Tab, as bash asks for it."""

import os
import subprocess
import sys

import pytest

from gradlab.choices import ACTIVATIONS
from gradlab.config.keys import CHOICES
from tests.views.comparison.folders import write_run


@pytest.fixture
def offered(tmp_path):
    """What bash is told for a line, given as its words; the last one is under the cursor."""

    def ask(*words):
        asked = {
            "_GRADLAB_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(["gradlab", *words]),
            "COMP_CWORD": str(len(words)),
        }
        code = "import sys; sys.argv = ['gradlab']; from gradlab.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **asked}, cwd=tmp_path, capture_output=True, check=False
        )
        assert not done.stderr
        return done.stdout.decode().split("\n")[:-1]

    return ask


def test_commands_and_registries(offered):
    assert offered("ru") == ["run"]
    assert offered("list", "a") == ["activations"]


def test_configs_are_yaml_files_and_folders(offered, tmp_path):
    (tmp_path / "configs").mkdir()
    for name in ("configs/one.yaml", "two.yml", "three.txt", ".hidden.yaml"):
        (tmp_path / name).touch()
    assert offered("run", "") == ["configs/", "two.yml"]
    assert offered("run", "configs/o") == ["configs/one.yaml"]
    assert offered("run", "nowhere/") == [""]


@pytest.mark.parametrize("shell_splits", [True, False])
def test_settings_and_the_names_that_they_take(offered, shell_splits):
    def override(text):
        key, sign, value = text.partition("=")
        return [key, *filter(None, [sign, value])] if shell_splits else [text]

    before = "" if shell_splits else "model.activation="
    assert offered("run", "x.yaml", "model.act")[0] == "model.activation="
    assert offered("run", "x.yaml", *override("model.activation=re")) == [f"{before}relu", f"{before}relu6"]
    every = [f"{before}{name}" for name in CHOICES["model.activation"].names]
    assert offered("sweep", "x.yaml", *override("model.activation=")) == every
    assert set(ACTIVATIONS) <= set(CHOICES["model.activation"].names)


def test_of_a_setting_that_takes_a_number_its_default_is_offered(offered):
    assert offered("predict", "x.yaml", "seed=1", "model.dep") == ["model.depth=20"]
    assert offered("predict", "x.yaml", "train.learning_rate", "=") == ["0.05"]


def test_after_an_override_the_next_setting_is_offered(offered):
    assert "model.depth=" in offered("run", "x.yaml", "model.activation", "=", "relu", "")
    assert "model.depth=" in offered("run", "x.yaml", "model.activation=relu", "")


def test_runs_are_offered_by_name_and_by_path(offered, tmp_path):
    path = write_run(tmp_path / "runs")
    assert offered("show", path.name[:3]) == [path.name]
    assert offered("show", "runs/") == [f"runs/{path.name}"]
    assert offered("compare", "nothing") == [""]
