import numpy as np
import polars as pl
import pytest

from gradlab import run_folder
from gradlab.results import conclude, load_run
from gradlab.run_folder import thinning
from gradlab.tables import SCHEMAS

STEPS, MODULES = 3000, 4


def write(path, parts=3, bad=None):
    """A long watched training in some parts; a loss, an update and a looked-at step that stand out."""
    label = run_folder.Label("0" * 12, path.name, {"watch": {}})
    rng = np.random.default_rng(0)
    with run_folder.lock_folder(path, label) as writer:
        writer.start({})
        for part in np.array_split(np.arange(STEPS), parts):
            steps = np.repeat(part, MODULES)
            layers = {
                "step": steps,
                "layer": np.tile(np.arange(MODULES), len(part)),
                "module": [f"net.{number}" for number in range(MODULES)] * len(part),
                "kind": ["weight"] * len(steps),
                "calls": [1] * len(steps),
                "delta_rms": rng.uniform(1, 2, len(steps)),
                "update_ratio": np.where(steps == 1234, 9.0, rng.uniform(1e-4, 2e-4, len(steps))),
                "input_mean": [0.5 if step in (10, 1001) else None for step in steps],
            }
            loss = np.where(part == 777, 50.0, 1 + rng.normal(size=len(part)) / 10)
            loss = loss if bad is None else np.where(part >= bad, np.nan, loss)
            rows = {"step": part, "loss": loss, "skipped": np.zeros(len(part))}
            for table, columns in (("layers", layers), ("steps", rows)):
                (path / table).mkdir(exist_ok=True)
                frame = pl.DataFrame(columns)
                missing = [pl.lit(None).alias(name) for name in SCHEMAS[table] if name not in columns]
                frame = frame.with_columns(missing).select(list(SCHEMAS[table])).cast(SCHEMAS[table])
                frame.write_parquet(path / table / f"{len(list((path / table).iterdir())):06d}.parquet")
        writer.write_summary({"status": "completed" if bad is None else "diverged"})
        return conclude(writer)


@pytest.fixture
def few(monkeypatch):
    """So few rows are read that a small run is a long one."""
    monkeypatch.setattr(thinning, "MOST_ROWS", 1000)
    monkeypatch.setattr(thinning, "ENDS", 20)


def test_a_short_run_is_read_as_a_whole(tmp_path):
    run = write(tmp_path / "run")
    assert "thinned" not in run.summary
    read = run_folder.read_tables(tmp_path / "run", thinned=True)
    assert read.layers.equals(run.layers)
    assert read.steps.equals(run.steps)


@pytest.mark.usefixtures("few")
def test_of_a_long_run_even_steps_and_extremes_are_read(tmp_path):
    run = write(tmp_path / "run")
    read = run_folder.read_tables(tmp_path / "run", thinned=True)
    assert run.summary["thinned"] == read.summary["thinned"] == STEPS * MODULES / 1000
    steps = set(read.recorded_steps)
    assert set(range(0, STEPS, 12)) <= steps
    assert {*range(20), *range(STEPS - 20, STEPS), 1234, 10, 1001} <= steps
    assert {0, 777, STEPS - 1} <= set(read.steps["step"])
    assert len(steps) < STEPS / 6
    assert read.layers.equals(run.layers.filter(pl.col("step").is_in(sorted(steps))))
    assert run.layers.height == STEPS * MODULES, "who asks for rows gets all of them"
    assert run.save_plots()


@pytest.mark.usefixtures("few")
def test_the_first_number_that_is_not_finite_is_read_and_what_came_before(tmp_path):
    run = write(tmp_path / "run", bad=2003)
    read = run_folder.read_tables(tmp_path / "run", thinned=True)
    assert set(range(1993, 2004)) <= set(read.steps["step"])
    assert read.bad_step == 2003
    assert run.verdict == "diverged"
    assert run.findings[0].steps == (2003, 2003)


@pytest.mark.usefixtures("few")
def test_damaged_parts_are_passed_over(tmp_path):
    write(tmp_path / "run")
    (tmp_path / "run" / "layers" / "000001.parquet").write_bytes(b"no")
    read = run_folder.read_tables(tmp_path / "run", thinned=True)
    assert read.recorded_steps[0] == 0
    assert read.recorded_steps[-1] == STEPS - 1
    assert [problem.split(" cannot")[0] for problem in read.problems] == ["layers/000001.parquet"]
    assert load_run(tmp_path / "run").summary["thinned"] == 12
