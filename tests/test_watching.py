"""`gradlab.watch` as its user meets it: tables, findings, pictures, run folders."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from torch import nn

import gradlab
from gradlab import tables, watch_records
from gradlab.errors import RunBusyError, RunFolderError, UserError
from gradlab.snapshot import PUBLIC
from gradlab.tables import SCHEMAS
from gradlab.views.pictures import PICTURES

X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))


def network(depth=3, activation=nn.Tanh):
    torch.manual_seed(0)
    hidden = [part for _ in range(depth) for part in (nn.Linear(6, 6), activation())]
    return nn.Sequential(*hidden, nn.Linear(6, 2))


def train(model, steps=5, rate=0.1, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    with gradlab.watch(model, optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            model(X).square().mean().backward()
            optimizer.step()
    return recorder


def test_tables_have_the_columns_of_a_run():
    recorder = train(network())
    assert dict(recorder.rows().schema) == dict(SCHEMAS["layers"])
    assert dict(recorder.steps.schema) == dict(SCHEMAS["steps"])
    assert recorder.steps["step"].to_list() == [0, 1, 2, 3, 4]
    assert recorder.steps["loss"].to_list() == sorted(recorder.steps["loss"], reverse=True)
    assert recorder.steps["record_seconds"].min() > 0
    assert (recorder.steps["learning_rate"] == 0.1).all()
    assert recorder.status == "completed"


def test_findings_and_pictures():
    recorder = train(network(30, nn.Sigmoid))
    assert recorder.verdict == "vanishing-gradient"
    assert recorder.diagnose()[0].rule == "vanishing-gradient"
    for name in PICTURES:
        assert recorder.figure(name).get_axes()


def test_a_snapshot_is_made_once_for_each_state_of_the_data(monkeypatch):
    recorder = train(network())
    made = []
    real = tables.layers_frame
    monkeypatch.setattr(tables, "layers_frame", lambda rows: made.append(rows) or real(rows))
    for name in PICTURES:
        recorder.figure(name)
    recorder.findings, recorder.rows(), recorder.verdict, recorder.layers
    assert len(made) == 1
    assert recorder.tables is recorder.tables
    with pytest.raises(FrozenInstanceError):
        recorder.tables.status = "completed"


def test_a_snapshot_stays_as_it_was_while_training_goes_on(tmp_path):
    for into in (None, tmp_path / "run"):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with gradlab.watch(model, optimizer, into=into) as recorder:
            snapshots = []
            for _ in range(3):
                optimizer.zero_grad()
                model(X).square().mean().backward()
                optimizer.step()
                snapshots.append(recorder.tables)
        assert [snapshot.layers.height for snapshot in snapshots] == [7, 14, 21]
        assert [snapshot.status for snapshot in snapshots] == ["running"] * 3
        assert recorder.tables.status == "completed"


def test_a_watch_a_run_and_their_snapshots_have_the_same_attributes(tmp_path):
    recorder = train(network(), into=tmp_path / "run")
    run = gradlab.load_run(tmp_path / "run")
    for name in PUBLIC:
        assert hasattr(recorder, name)
        if name == "findings":  # in a list that a notebook can show
            assert run.findings == run.tables.findings
        else:
            assert getattr(run, name) is getattr(run.tables, name)
    assert set(PUBLIC) <= set(dir(recorder)) & set(dir(run))
    with pytest.raises(AttributeError, match="'Run' object has no attribute 'colour'"):
        _ = run.colour


def test_rows_can_be_asked_for_while_training():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    heights = []
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            model(X).square().mean().backward()
            optimizer.step()
            heights.append(recorder.rows().height)
    assert heights == [7, 14, 21]


@pytest.mark.parametrize("every", [1, 3])
def test_a_run_folder_holds_the_same_and_is_read_by_every_view(tmp_path, every):
    recorder = train(network(), steps=100, every=every, into=tmp_path / "runs" / "mine")
    memory = train(network(), steps=100, every=every)
    run = gradlab.load_run(tmp_path / "runs" / "mine")
    seconds = ["step_seconds", "record_seconds"]
    assert run.layers.equals(memory.rows())
    assert run.layers.equals(recorder.rows())
    assert run.steps.drop(seconds).equals(memory.steps.drop(seconds))
    assert run.histograms.height > 0
    assert (run.name, run.status, run.config, run.summary["steps"]) == ("mine", "completed", None, 100)
    assert (run.path / "plots" / "gradient_flow.png").is_file()
    assert run.summary["config"]["watch"]["model"] == "Sequential"


def test_a_finished_run_is_not_overwritten_and_one_that_is_being_written_is_left_alone(tmp_path):
    train(network(), into=tmp_path / "run")
    before = (tmp_path / "run" / "summary.json").read_text()
    with pytest.raises(RunFolderError, match="holds a finished run"):
        train(network(), into=tmp_path / "run")
    assert (tmp_path / "run" / "summary.json").read_text() == before
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=tmp_path / "other"), pytest.raises(RunBusyError):
        train(network(), into=tmp_path / "other")


def test_how_a_training_ends_is_its_status(tmp_path):
    for error, status in ((KeyboardInterrupt, "interrupted"), (RuntimeError, "failed")):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(error), gradlab.watch(model, optimizer, into=tmp_path / status):  # noqa: PT012
            model(X).square().mean().backward()
            optimizer.step()
            raise error("stop")
        run = gradlab.load_run(tmp_path / status)
        assert (run.status, run.layers["step"].to_list()) == (status, [0] * 7)
    assert "stop" in run.summary["traceback"]
    assert train(network(), rate=1e30, steps=4).status == "diverged"


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(watch_records, "MEMORY_ROWS", 100)
    recorder = train(network(), steps=200)
    steps = recorder.rows()["step"].unique().to_list()
    assert recorder.rows().height <= 100
    assert steps[0] == 0
    assert len(set(np.diff(steps))) == 1
    assert steps[-1] > 150


def test_wrong_arguments():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UserError, match="needs an optimizer"):
        gradlab.watch(model, [])
    with pytest.raises(UserError, match="every=0"):
        gradlab.watch(model, optimizer, every=0)
    with pytest.raises(UserError, match="there is no picture"):
        train(model).figure("gradient_flew")


def test_a_training_that_is_only_watched_needs_no_tables():
    code = (
        "import sys, torch, gradlab\n"
        "model = torch.nn.Linear(3, 2)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "with gradlab.watch(model, optimizer) as recorder:\n"
        "    model(torch.randn(5, 3)).sum().backward()\n"
        "    optimizer.step()\n"
        "assert not {'polars', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert recorder.rows().height == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_global_random_state_and_threads_are_left_alone(tmp_path):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    model = network()
    state = torch.get_rng_state()
    train(model, into=tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
