"""A user's folder is sacred: gradlab replaces only what it wrote, refuses what is not its own, and follows no link."""

import random
from contextlib import suppress

import pytest
import torch
from torch import nn

import gradlab
from gradlab import marker
from gradlab.errors import RunFolderError
from gradlab.views.export.exporting import export_run

SMALL = {"name": "small", "model": {"depth": 2, "width": 4}, "data": "wine", "train": {"steps": 3}}
NAMES = [
    "layers", "plots", "export", "steps", "histograms", "config.yaml", "summary.json.bak", "theory.parquet",
    "environment.json", "train.py", ".git", "data.csv", ".lock", "notes.md",
]  # fmt: skip


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def train(**options):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, **options):
        model(torch.randn(5, 3)).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("seed", range(100))
def test_a_folder_that_is_no_run_is_refused_and_left_as_it_is(tmp_path, seed):
    choose = random.Random(seed)
    for name in choose.sample(NAMES, choose.randint(1, 6)):
        if "." in name.lstrip("."):
            (tmp_path / name).write_text(f"{name} of somebody")
        else:
            (tmp_path / name).mkdir()
            for inner in choose.sample(["000000.parquet", "a.txt", "overview.png"], choose.randint(0, 3)):
                (tmp_path / name / inner).write_text(f"{inner} of somebody")
    if not any(path.name != ".lock" for path in tmp_path.iterdir()):
        (tmp_path / "work.txt").write_text("somebody's")
    before = bytes_of(tmp_path)
    with pytest.raises(RunFolderError, match="is not empty"):
        train(into=tmp_path)
    assert bytes_of(tmp_path) == before


def test_a_run_of_another_version_is_read_and_never_replaced(tmp_path):
    run = gradlab.run(SMALL, runs=tmp_path, plots=False)
    (run.path / marker.NAME).unlink()
    before = bytes_of(run.path)
    assert gradlab.load_run(run.path).layers.height > 0
    for again in (lambda: train(into=run.path), lambda: gradlab.run(SMALL, runs=tmp_path, rerun=True)):
        with pytest.raises(RunFolderError, match="of another version"):
            again()
    assert bytes_of(run.path) == before


def test_a_second_attempt_replaces_its_own_files_and_nothing_else(tmp_path):
    run = gradlab.run(SMALL, runs=tmp_path)
    export_run(run.tables, "csv")
    own = {"layers/mine.parquet": b"1", "plots/mine.png": b"2", "export/csv/mine.csv": b"3", "remarks.txt": b"4"}
    for name, content in own.items():
        (run.path / name).write_bytes(content)
    again = gradlab.run(SMALL, runs=tmp_path, rerun=True, plots=False)
    assert again.path == run.path
    for name, content in own.items():
        assert (run.path / name).read_bytes() == content
    assert [path.name for path in (run.path / "plots").iterdir()] == ["mine.png"], "pictures of the first attempt"
    assert [path.name for path in (run.path / "export" / "csv").iterdir()] == ["mine.csv"]


@pytest.mark.parametrize("name", ["layers", "plots", "export", "steps"])
def test_nothing_is_written_or_removed_through_a_link(tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    run = gradlab.run(SMALL, runs=tmp_path / "runs", plots=False)
    for file in ("000000.parquet", "overview.png", "layers.csv"):
        (outside / file).write_text("somebody's")
    if (run.path / name).is_dir():
        for part in (run.path / name).iterdir():
            part.unlink()
        (run.path / name).rmdir()
    (run.path / name).symlink_to(outside)
    run = gradlab.load_run(run.path)
    before = bytes_of(outside)
    for act in (
        run.save_plots,
        lambda: export_run(run.tables, "csv"),
        lambda: gradlab.run(SMALL, runs=tmp_path / "runs", rerun=True, plots=False),
    ):
        with suppress(RunFolderError):
            act()
        assert bytes_of(outside) == before


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(tmp_path):
    run = gradlab.run(SMALL, runs=tmp_path / "runs")
    outside = tmp_path / "outside.txt"
    outside.write_text("somebody's")
    for name in ("plots/overview.png", "environment.json", "config.yaml"):
        (run.path / name).unlink()
        (run.path / name).symlink_to(outside)
    gradlab.run(SMALL, runs=tmp_path / "runs", rerun=True)
    assert outside.read_text() == "somebody's"
    assert not (run.path / "config.yaml").is_symlink()


@pytest.mark.parametrize("name", ["../precious.txt", "/precious.txt", "plots/../../precious.txt", 7, "", "."])
def test_a_marker_cannot_lead_out_of_its_folder(tmp_path, name):
    run = gradlab.run(SMALL, runs=tmp_path / "runs", plots=False)
    precious = tmp_path / "runs" / "precious.txt"
    precious.write_text("somebody's")
    listed = str(precious) if name == "/precious.txt" else name
    marker._write(run.path, {"wrote": [listed]})
    gradlab.run(SMALL, runs=tmp_path / "runs", rerun=True, plots=False)
    assert precious.read_text() == "somebody's"


def test_an_id_that_is_a_pattern_deletes_no_other_export(tmp_path):
    pytest.importorskip("tensorboard")
    run = gradlab.run(SMALL, runs=tmp_path / "runs", plots=False)
    folder = run.path / "export" / "tensorboard"
    folder.mkdir(parents=True)
    foreign = folder / "events.out.tfevents.1.gradlab-0123456789ab"
    foreign.write_bytes(b"another run's")
    for id in ("*", "../../x", "?" * 12):
        run.tables.summary["id"] = id
        export_run(run.tables, "tensorboard")
        assert foreign.read_bytes() == b"another run's"
