import json
import subprocess
import sys
from pathlib import Path

import pytest

from gradlab.errors import RunFolderError, UserError
from gradlab.measures.headline import headline
from gradlab.reporting import write_report
from gradlab.results import load_run
from gradlab.run_folder import Label, lock_folder
from gradlab.sweeps.grid import load_plan
from tests.views.synthetic import make_run


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "runs" / "made"
    path.parent.mkdir()
    with lock_folder(path, Label("0123456789ab", "made", {"watch": {"model": "Net"}})) as writer:
        writer.start({"torch": "2.13.0"}, {})
        writer.write_rows({"steps": [{"step": 0, "loss": 1.0, "step_seconds": 0.1, "record_seconds": 0.0}]})
        writer.write_summary({"status": "completed", "steps": 1, "verdict": "healthy", "findings": []})
    return path


def test_the_page_of_a_run_is_in_its_folder_and_is_ours_to_replace(folder):
    file = write_report([folder])
    assert file == folder / "report.html"
    assert "2.13.0" in file.read_text(encoding="utf-8")
    assert "report.html" in json.loads((folder / ".gradlab").read_text())["wrote"]
    assert write_report([folder]) == file


def test_another_file_can_be_named(folder, tmp_path):
    assert write_report([folder], tmp_path / "other.html").is_file()
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("name", ["config.yaml", "page", "page.pdf"])
def test_a_page_is_named_like_one(folder, tmp_path, name):
    with pytest.raises(UserError, match="is not named like a page"):
        write_report([folder], tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_file_of_somebody_else_is_left_alone(folder):
    mine = folder / "report.html"
    mine.write_text("<p>my thesis")
    with pytest.raises(UserError, match="gradlab did not write it"):
        write_report([folder])
    assert mine.read_text() == "<p>my thesis"


def test_nothing_is_written_through_a_link(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError):
        write_report([folder], tmp_path / "link" / "report.html")
    target = write_report([folder], tmp_path / "target.html")
    before = target.read_bytes()
    (folder / "report.html").symlink_to(target)
    write_report([folder])
    assert not (folder / "report.html").is_symlink()
    assert target.read_bytes() == before


def test_there_has_to_be_a_run(tmp_path):
    with pytest.raises(RunFolderError, match="there is no run"):
        write_report([tmp_path / "nothing"])


def test_a_run_and_the_command_write_the_same(folder, tmp_path):
    load_run(folder)
    done = subprocess.run(
        [sys.executable, "-m", "gradlab", "report", str(folder), "-o", str(tmp_path / "a.html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"wrote {tmp_path / 'a.html'}\n")


def test_bokeh_is_imported_for_a_report_only():
    code = "import sys, gradlab.cli, gradlab.reporting, gradlab.results; assert 'bokeh' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


SWEEP = """
base:
  model: {width: 4, depth: 2}
  data: {name: digits}
  train: {steps: 1}
grid: {seed: [0, 1]}
claim:
  title: It is claimed
  sentence: Nothing much.
  expect: [{says: it is so, of: {}, measure: decades_per_layer_start, below: 9}]
  picture: [{draw: profile, column: delta_rms, of: {}, lines: model.depth, title: δ}]
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep file, and the runs of its two points in `runs`."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "sweep.yaml"
    file.write_text(SWEEP, encoding="utf-8")
    for point in load_plan(file).points:
        path = tmp_path / "runs" / point.config.folder
        path.parent.mkdir(exist_ok=True)
        run = make_run(depth=2)
        settings = point.config.model_dump(mode="json")
        with lock_folder(path, Label(point.config.id, "sweep", settings)) as writer:
            writer.start({}, {})
            writer.write_rows({"steps": run.steps.to_dicts()})
            about = {"status": "completed", "steps": 3, "verdict": "healthy", "findings": [], **headline(run)}
            writer.write_summary(about)
    return file


def test_several_runs_are_a_page_in_the_working_directory(sweep, tmp_path):
    assert write_report([Path("runs")]) == Path("report.html")
    assert "2 runs in 1 configuration" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert write_report(sorted((tmp_path / "runs").iterdir()), tmp_path / "b.html").is_file()


def test_a_sweep_file_brings_its_claim(sweep, tmp_path):
    text = write_report([sweep]).read_text(encoding="utf-8")
    assert "The claim: It is claimed" in text
    assert "Verdict: confirmed" in text
    gone = next((tmp_path / "runs").iterdir())
    gone.rename(tmp_path / "elsewhere")
    assert "1 of 2 runs are not finished" in write_report([sweep]).read_text(encoding="utf-8")


def test_one_sweep_at_a_time_and_not_without_runs(sweep, tmp_path):
    with pytest.raises(UserError, match="one sweep file at a time"):
        write_report([sweep, sweep])
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="there are no runs"):
        write_report([sweep, tmp_path / "none"])
