import json
import math
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gradlab import run_folder
from gradlab.config import Config
from gradlab.errors import RunBusyError, RunFolderError
from gradlab.locking import FileLock
from gradlab.run_folder import writing
from gradlab.statistics import LAYER_STATISTICS, StepRows
from gradlab.tables import SCHEMAS

CONFIG = Config(name="test")


def rows(step, modules=2):
    values = np.full((modules, len(LAYER_STATISTICS)), float(step))
    return StepRows(
        step,
        [0] * modules,
        ["a"] * modules,
        ["weight"] * modules,
        [1] * modules,
        ["float32"] * modules,
        values,
        np.ones_like(values, dtype=bool),
    )


def visible(path):
    """Every file below a folder but the lock."""
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file() and file.name != ".lock")


def test_a_written_run_reads_back(tmp_path):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({"torch": "2"})
        writer.append("layers", rows(0))
        writer.append("steps", {"step": 0, "loss": 1.5})
        writer.append("histograms", {"step": 0, "counts": [1, 2], "low": None})
        writer.flush()
        writer.append("layers", rows(1))
        writer.flush()
        writer.write_theory([{"layer": 0, "chi": 0.5}])
        writer.write_summary({"status": "completed"})
    (path,) = run_folder.find_runs(tmp_path)
    assert path.name == f"test-{CONFIG.id}"
    assert run_folder.read_tables(path).config == CONFIG
    assert run_folder.read_tables(path).config.id == CONFIG.id
    assert run_folder.read_environment(path) == {"torch": "2"}
    assert run_folder.read_tables(path).layers["step"].to_list() == [0, 0, 1, 1]
    assert run_folder.read_tables(path).steps["loss"].to_list() == [1.5]
    assert run_folder.read_tables(path).histograms["counts"].to_list() == [[1, 2]]
    assert run_folder.read_tables(path).theory["chi"].to_list() == [0.5]
    assert run_folder.read_tables(path).evaluations.schema == pl.Schema(SCHEMAS["evaluations"])
    summary = run_folder.read_summary(path)
    assert (summary["id"], summary["name"], summary["status"]) == (CONFIG.id, "test", "completed")


def test_parts_are_plain_parquet_for_any_reader(tmp_path):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
        for step in range(3):
            writer.append("layers", rows(step))
            writer.flush()
    assert pl.read_parquet(tmp_path / "*" / "layers" / "*.parquet")["step"].to_list() == [0, 0, 1, 1, 2, 2]


def test_flushes_by_rows_and_by_time(tmp_path, monkeypatch):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
        monkeypatch.setattr(writing, "FLUSH_ROWS", 10)
        for step in range(5):
            assert run_folder.read_tables(writer.path).layers.is_empty()
            writer.append("layers", rows(step))
        assert len(run_folder.read_tables(writer.path).layers) == 10
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now)
        writer.append("layers", rows(5))
        now += writing.FLUSH_SECONDS - 0.1
        writer.append("layers", rows(6))
        assert len(run_folder.read_tables(writer.path).layers) == 10
        now += 0.2
        writer.append("layers", rows(7))
        assert len(run_folder.read_tables(writer.path).layers) == 16


def test_the_summary_is_strict_json(tmp_path):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
        writer.write_summary({"status": "diverged", "loss": math.nan, "deep": [{"x": math.inf}, 1.5]})
    text = (writer.path / "summary.json").read_text()

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    summary = json.loads(text, parse_constant=refuse)
    assert summary["loss"] is None
    assert summary["deep"] == [{"x": None}, 1.5]


def test_starting_clears_an_earlier_attempt_but_not_the_users_own_files(tmp_path):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
        writer.append("layers", rows(0))
        writer.flush()
        writer.write_summary({"status": "interrupted"})
    (writer.path / "notes.txt").write_text("mine")
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        assert writer.previous["status"] == "interrupted"
        writer.start({})
        assert run_folder.read_tables(writer.path).layers.is_empty()
    assert visible(writer.path) == [".gradlab", "config.yaml", "environment.json", "notes.txt", "summary.json"]


def test_nothing_is_half_written(tmp_path, monkeypatch):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
        writer.append("layers", rows(0))

        def full(path, content):
            with path.open("wb") as file:
                file.write(content[:10])
            raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunFolderError, match="No space left on device"):
            writer.flush()
    assert visible(writer.path) == [".gradlab", "config.yaml", "environment.json", "summary.json"]


def hold(runs, ready, release):
    with run_folder.lock_run(runs, CONFIG) as writer:
        writer.start({})
        ready.set()
        release.wait(30)


def other_process(target, *args):
    process = multiprocessing.get_context("spawn").Process(target=target, args=args)
    process.start()
    return process


def test_a_run_belongs_to_one_process_at_a_time_and_a_dead_one_lets_go(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = other_process(hold, tmp_path, ready, release)
    try:
        assert ready.wait(60)
        with pytest.raises(RunBusyError, match="another process is writing"), run_folder.lock_run(tmp_path, CONFIG):
            raise AssertionError("claimed twice")
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with run_folder.lock_run(tmp_path, CONFIG) as writer:
            assert writer.previous["status"] == "running"
    finally:
        process.kill()


def test_a_lock_that_is_removed_by_hand_is_taken_again(tmp_path):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
        (writer.path / ".lock").unlink()
        assert not run_folder.is_busy(writer.path)
        writer.append("steps", {"step": 0, "loss": 1.0})
        writer.flush()
        assert run_folder.is_busy(writer.path)
    assert run_folder.read_tables(writer.path).steps["step"].to_list() == [0]


def test_who_has_lost_the_lock_to_another_process_writes_no_more(tmp_path):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
        (writer.path / ".lock").unlink()
        other = FileLock(writer.path / ".lock")
        writer.append("steps", {"step": 0, "loss": 1.0})
        with pytest.raises(RunBusyError, match="another process is writing"):
            writer.flush()
        other.release()
    assert run_folder.read_tables(writer.path).steps.height == 0


def test_a_folder_that_is_moved_away_in_mid_run_is_said(tmp_path):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
        writer.path.rename(tmp_path / "elsewhere")
        writer.append("steps", {"step": 0, "loss": 1.0})
        with pytest.raises(RunFolderError, match="cannot write"):
            writer.flush()
    assert not writer.path.exists()


def test_a_run_is_found_by_its_id_under_another_name(tmp_path):
    with run_folder.lock_run(tmp_path, CONFIG) as writer:
        writer.start({})
    assert run_folder.run_path(tmp_path, CONFIG.model_copy(update={"name": "other"})) == writer.path


@pytest.mark.parametrize("obstacle", ["file", "below a file"])
def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path, obstacle):
    (tmp_path / "taken").write_text("")
    runs = tmp_path / "taken" if obstacle == "file" else tmp_path / "taken" / "runs"
    with pytest.raises(RunFolderError, match="cannot write"), run_folder.lock_run(runs, CONFIG):
        raise AssertionError("claimed")
    assert visible(tmp_path) == ["taken"]


def test_reading_what_is_no_run(tmp_path):
    with pytest.raises(RunFolderError, match="there is no run "):
        run_folder.read_summary(tmp_path / "nothing")
    with pytest.raises(RunFolderError, match="not a run folder"):
        run_folder.read_summary(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(RunFolderError, match="cannot be read"):
        run_folder.read_summary(tmp_path)
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(RunFolderError, match="cannot be read: it is no JSON object"):
        run_folder.read_summary(tmp_path)
