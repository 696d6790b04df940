import subprocess
import sys
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from gradlab.arguments import ExportFormat
from gradlab.errors import RunFolderError, UserError
from gradlab.views.export import TARGETS
from gradlab.views.export.exporting import empty_tables, export_run
from tests.views.export.vocabulary import a_run


@pytest.mark.parametrize("to", ["tensorboard", "wandb"])
def test_a_missing_package_is_named_with_what_installs_it(to, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == to]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, to, None)
    with pytest.raises(UserError) as caught:
        export_run(a_run(tmp_path), to)
    assert caught.value.fix == f"pip install 'gradlab[{to}]'"
    assert not (tmp_path / "made-up-0123456789ab" / "export").exists()


@pytest.mark.parametrize("to", TARGETS)
def test_a_run_that_has_recorded_nothing_is_not_exported(to, tmp_path):
    run = a_run(tmp_path, steps=[], theory=False, status="running")
    with pytest.raises(UserError, match="recorded nothing"):
        export_run(run, to)
    assert not (run.path / "export").exists()


def test_what_there_is_gets_exported_and_the_rest_is_named(tmp_path, accumulate):
    run = a_run(tmp_path, steps=[], status="running", histograms=False)
    assert empty_tables(run) == ["layers", "steps", "evaluations", "histograms", "modules"]
    assert not accumulate(export_run(run, "tensorboard"))[0]
    assert pl.read_csv(export_run(run, "csv") / "theory.csv").height == run.theory.height


@pytest.mark.parametrize("to", TARGETS)
def test_a_directory_that_cannot_be_written(to, tmp_path, wandb):
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"cannot write .*file") as caught:
        export_run(a_run(tmp_path), to, tmp_path / "file" / "export")
    assert "--into" in caught.value.fix


def test_a_format_that_there_is_not(tmp_path):
    with pytest.raises(UserError, match="'excel'") as caught:
        export_run(a_run(tmp_path), "excel")
    assert caught.value.fix == "Formats are: tensorboard, wandb, csv."


def write_names(run, folder):
    folder.mkdir(parents=True)
    (folder / "name.txt").write_text(run.name)
    return folder


def test_a_new_export_is_a_function_and_an_entry(tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "names", f"{__name__}:write_names")
    run = a_run(tmp_path)
    assert (export_run(run, "names") / "name.txt").read_text() == run.name
    with pytest.raises(UserError) as caught:
        export_run(run, "excel")
    assert caught.value.fix == "Formats are: tensorboard, wandb, csv, names."


def test_the_command_line_takes_its_formats_from_the_registry_and_starts_without_what_they_need():
    assert get_args(ExportFormat) == tuple(TARGETS)
    code = "import sys, gradlab.cli; print({'torch', 'polars', 'numpy', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_no_export_reaches_torch(tmp_path, wandb):
    code = """
import sys
from pathlib import Path
from gradlab.views.export.exporting import export_run
from tests.views.export.vocabulary import a_run
for to in ("csv", "tensorboard", "wandb"):
    export_run(run := a_run(Path(sys.argv[1]) / to), to)
sys.exit("torch" in sys.modules)
"""
    for to in TARGETS:
        (tmp_path / to).mkdir()
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code, tmp_path], cwd=root, check=False).returncode == 0
