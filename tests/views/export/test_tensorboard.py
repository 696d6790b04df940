import json

import polars as pl
import pytest

from gradlab.views.export.exporting import export_run
from tests.views.export.vocabulary import (
    FINDING,
    MIDNIGHT,
    a_run,
    assert_same,
    assert_same_histograms,
    expected,
    expected_histograms,
    in_32_bits,
)
from tests.views.synthetic import ODD_RUNS, changed

RUNS = {name: ODD_RUNS[name] for name in ("vanishing", "diverged", "all nan", "underflow", "overflow", "uneven steps")}


@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS)
def test_tensorboard_has_every_number(options, tmp_path, accumulate):
    run = a_run(tmp_path, **options)
    folder = export_run(run, "tensorboard")
    scalars, histograms, texts, _ = accumulate(folder)
    assert folder == run.path / "export" / "tensorboard"
    assert_same(scalars, in_32_bits(expected(run)))
    assert_same_histograms(histograms, expected_histograms(run))
    assert FINDING.message in texts["run/findings"]
    assert json.loads(texts["run/config"].strip("`json\n")) == run.summary["config"]
    assert texts["run/theory"].count("\n") == 1 + run.theory.height if run.theory.height else True


def test_tensorboard_dates_points_by_the_seconds_of_the_steps(tmp_path, accumulate):
    *_, times = accumulate(export_run(a_run(tmp_path, steps=range(3)), "tensorboard"))
    assert times["steps/loss", 1] == pytest.approx(MIDNIGHT + 2 * 0.03, abs=1e-6)
    assert times["evaluations/test_loss", 3] == times["steps/loss", 2]  # after the last step


def test_tensorboard_exported_again_has_each_point_once_and_keeps_foreign_files(tmp_path, accumulate):
    run = a_run(tmp_path)
    folder = run.path / "export" / "tensorboard"
    folder.mkdir(parents=True)
    foreign = [folder / "events.out.tfevents.1.host", folder / "events.out.tfevents.1.gradlab-ba9876543210"]
    for file in foreign:
        file.write_bytes(b"")
    export_run(run, "tensorboard")
    run = changed(run, steps=run.steps.with_columns(pl.lit(7.0).alias("loss")))
    export_run(run, "tensorboard")
    scalars, *_ = accumulate(folder)
    assert_same(scalars, in_32_bits(expected(run)))
    assert len(list(folder.iterdir())) == 3
    assert all(file.exists() for file in foreign)


def test_a_tensorboard_that_is_open_forgets_the_previous_export(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = a_run(tmp_path)
    reader = events.EventAccumulator(str(export_run(run, "tensorboard")), size_guidance={"scalars": 0}).Reload()
    export_run(run, "tensorboard")
    assert [event.step for event in reader.Reload().Scalars("steps/loss")] == [0, 1, 2]


def test_modules_of_any_model_are_sorted_by_depth(tmp_path, accumulate):
    run = a_run(tmp_path, depth=120, steps=[0])
    query = pl.format("encoder.layer.{}.attention.self.query", "layer")
    layers = run.layers.filter(kind="weight").with_columns(query.alias("module"), pl.lit(2.0).alias("sharpness"))
    run = changed(run, layers=layers)
    scalars, *_ = accumulate(export_run(run, "tensorboard"))
    names = sorted(tag for tag, _ in scalars if tag.startswith("sharpness/"))
    assert names == [f"sharpness/{layer:03d} encoder.layer.{layer}.attention.self.query" for layer in range(120)]
