"""The composer: statuses, identity, interruption, and what is left on disk."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import gradlab
from gradlab import experiment, run_folder
from gradlab.config import SCHEMA
from gradlab.errors import ConfigError, RunBusyError, RunFolderError, RunInterrupted
from gradlab.tables import SCHEMAS

SMALL = {
    "name": "small",
    "model": {"depth": 3, "width": 16, "activation": "relu"},
    "data": {"name": "gaussian", "samples": 200, "features": 8, "classes": 3, "batch_size": 32},
    "train": {"steps": 12},
}


def run(tmp_path, overrides=(), **options):
    return gradlab.run(SMALL, overrides, runs=tmp_path, **{"plots": False, **options})


def test_a_run_leaves_every_table_with_its_columns(tmp_path):
    done = run(tmp_path, {"model.batch_norm": "before"}, plots=True)
    assert (done.status, done.path.name) == ("completed", f"small-{done.config.id}")
    for table in ("layers", "steps", "evaluations", "histograms"):
        frame = getattr(done, table)
        assert frame.schema == pl.Schema(SCHEMAS[table])
        assert not frame.is_empty()
    assert done.steps["step"].to_list() == list(range(12))
    assert done.layers.group_by("step").len()["len"].unique().to_list() == [3 * 3 + 1]
    assert set(done.layers["kind"]) == {"weight", "norm", "activation", "output"}
    evaluated = done.evaluations.filter(split="test")["step"].to_list()
    assert (evaluated[0], evaluated[-1], len(evaluated)) == (0, 12, experiment.EVALUATIONS)
    assert set(done.evaluations["split"]) == {"train", "test", "train_batch_statistics"}
    assert done.summary["steps"] == 12
    assert {path.name for path in done.path.glob("plots/*")} >= {"overview.png", "gradient_flow.png"}
    assert json.loads((done.path / "environment.json").read_text())["torch"] == torch.__version__


def test_every_column_is_filled_where_it_applies(tmp_path):
    layers = run(tmp_path, {"model.batch_norm": "after"}).layers
    everywhere = [
        "activation_mean",
        "activation_std",
        "activation_rms",
        "activation_min",
        "activation_max",
        "zero_fraction",
        "delta_rms",
    ]
    assert layers.select(pl.col(everywhere).null_count()).row(0) == (0,) * len(everywhere)
    weighted = pl.col("kind").is_in(["weight", "norm", "output"])
    for column in ("weight_norm", "weight_gradient_norm"):
        assert layers.select((pl.col(column).is_not_null() == weighted).all()).item()
    assert layers.select((pl.col("saturated_fraction").is_not_null() == (pl.col("kind") == "activation")).all()).item()
    full = layers.filter(pl.col("dead_fraction").is_not_null())
    assert full["step"].unique().sort().to_list() == sorted(experiment.spread(5, 12))
    assert set(full["kind"]) == {"activation"}


@pytest.mark.parametrize(
    ("times", "steps", "expected"), [(0, 9, []), (1, 9, [0]), (2, 9, [0, 8]), (3, 9, [0, 4, 8]), (5, 2, [0, 1])]
)
def test_spread(times, steps, expected):
    assert sorted(experiment.spread(times, steps)) == expected


def test_thinning_records_the_first_the_last_and_every_nth(tmp_path):
    done = run(tmp_path, {"record.every": 5, "record.histograms": 0, "record.dead_units": 0})
    assert done.layers["step"].unique().sort().to_list() == [0, 5, 10, 11]
    assert done.steps["gradient_norm"].is_not_null().sum() == 4
    assert done.histograms.is_empty()


def test_recording_changes_nothing_that_is_trained(tmp_path):
    often = run(tmp_path, {"model.batch_norm": "before"})
    seldom = run(
        tmp_path, {"model.batch_norm": "before", "record.every": 100, "record.histograms": 0, "record.dead_units": 0}
    )
    assert often.path != seldom.path
    assert often.steps["loss"].to_list() == seldom.steps["loss"].to_list()
    assert often.evaluations.equals(seldom.evaluations)


def test_the_same_config_gives_the_same_numbers_and_touches_no_global_state(tmp_path):
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = run(tmp_path / "a")
    torch.rand(5)
    torch.set_rng_state(state)
    second = run(tmp_path / "b")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert first.layers.equals(second.layers)
    assert first.histograms.equals(second.histograms)


def test_a_run_found_again_with_other_remarks_stays_as_it_is(tmp_path):
    first = run(tmp_path, {"tags": ["lecture"], "notes": "first try"})
    written = {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()}
    again = run(tmp_path, {"tags": ["other"], "notes": "", "name": "renamed"})
    assert (again.path, again.config.tags, again.config.notes) == (first.path, ("lecture",), "first try")
    assert {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()} == written
    assert first.summary["schema"] == SCHEMA


def test_a_finished_run_is_not_run_again_unless_asked(tmp_path):
    said = []
    first = run(tmp_path)
    written = (first.path / "summary.json").stat().st_mtime_ns
    again = run(tmp_path, notify=said.append)
    assert (again.path / "summary.json").stat().st_mtime_ns == written
    assert said == [f"already done: {first.path} (--rerun trains it again)"]
    assert (run(tmp_path, rerun=True).path / "summary.json").stat().st_mtime_ns != written
    assert run(tmp_path, {"name": "other"}).path == first.path, "the name is not part of the identity"


def test_float64_works_throughout(tmp_path):
    for batch_norm in ("none", "before"):
        done = run(tmp_path, {"dtype": "float64", "model.batch_norm": batch_norm, "train.optimizer": "adam"})
        assert done.status == "completed"


def test_a_run_from_a_file_and_from_its_own_resolved_config_are_the_same(tmp_path):
    first = run(tmp_path)
    assert gradlab.run(first.path / "config.yaml", runs=tmp_path, plots=False).path == first.path
    assert gradlab.load_run(first.path).config == first.config


def test_divergence_is_a_result(tmp_path):
    done = run(tmp_path, {"train.learning_rate": 1e6, "train.steps": 50}, plots=True)
    assert (done.status, done.verdict) == ("diverged", "diverged")
    last = done.steps["step"][-1]
    assert done.steps["step"].to_list() == list(range(last + 1))
    assert not math.isfinite(done.steps["loss"][-1])
    assert done.steps["loss"][:-1].is_finite().all()
    assert done.layers["step"].max() == last
    assert done.summary["train_loss"] is None
    assert run(tmp_path, {"train.learning_rate": 1e6, "train.steps": 50}).steps["step"][-1] == last


def test_a_crash_is_kept_as_failed_with_its_traceback(tmp_path, monkeypatch):
    def broken(*args):
        raise RuntimeError("out of memory, say")

    with monkeypatch.context() as patch:
        patch.setattr(experiment.training, "evaluate", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            run(tmp_path)
    (path,) = run_folder.find_runs(tmp_path)
    summary = run_folder.read_summary(path)
    assert summary["status"] == "failed"
    assert "out of memory, say" in summary["traceback"]
    said = []
    assert run(tmp_path, notify=said.append).status == "completed"
    assert said == [f"{path}: an earlier attempt failed; starting afresh"]


def test_interruption_ends_the_step_and_keeps_everything(tmp_path, monkeypatch):
    real = experiment.training.train

    def interrupting(*args):
        for step in real(*args):
            if step.step == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield step

    with monkeypatch.context() as patch:
        patch.setattr(experiment.training, "train", interrupting)
        with pytest.raises(RunInterrupted) as caught:
            run(tmp_path)
    interrupted = caught.value.run
    assert interrupted.status == "interrupted"
    assert interrupted.steps["step"].to_list() == list(range(5))
    assert interrupted.evaluations["step"].max() == 5
    assert "verdict" in interrupted.summary
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    said = []
    assert run(tmp_path, notify=said.append).status == "completed"
    assert "interrupted" in said[0]
    assert "starting afresh" in said[0]


def test_runs_in_other_threads_work(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert results[0].status == "completed"


def test_a_device_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="device: cuda:99 is not on this machine"):
        run(tmp_path, {"device": "cuda:99"})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(RunFolderError, match="cannot write"):
        gradlab.run(SMALL, runs=tmp_path / "runs", plots=False)


LONG = {**SMALL, "train": {"steps": 1_000_000}, "name": "long"}


def start(tmp_path):
    """A long run in a process of its own, flushing often; returns once it has flushed."""
    code = (
        "import sys, json, gradlab, gradlab.run_folder\n"
        "gradlab.run_folder.FLUSH_SECONDS = 0.05\n"
        "gradlab.run(json.loads(sys.argv[1]), runs=sys.argv[2], plots=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps(LONG), str(tmp_path)])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        paths = list(run_folder.find_runs(tmp_path))
        if paths and len(list(Path(paths[0]).glob("layers/*.parquet"))) >= 3:
            return process, paths[0]
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the run wrote nothing")


def test_kill_minus_9_leaves_what_was_flushed_and_the_next_run_starts_afresh(tmp_path):
    process, path = start(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = gradlab.load_run(path)
    assert killed.status == "running"
    steps = killed.layers["step"].unique().sort().to_list()
    assert steps == list(range(len(steps)))
    assert len(steps) >= 3
    assert not list(path.glob("*/.*.parquet")), "parts appear whole or not at all"
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment.training, "total_steps", lambda config, samples: 3)
        done = gradlab.run(LONG, runs=tmp_path, plots=False, notify=said.append)
    assert said == [f"{path}: an earlier attempt was cut off; starting afresh"]
    assert done.layers["step"].unique().sort().to_list() == [0, 1, 2]


def test_a_second_process_is_refused_while_the_first_one_writes(tmp_path):
    process, path = start(tmp_path)
    try:
        with pytest.raises(RunBusyError, match="another process is writing"):
            gradlab.run(LONG, runs=tmp_path, plots=False)
        assert gradlab.load_run(path).status == "running"
    finally:
        process.kill()
        process.wait()
