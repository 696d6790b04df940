"""Two runs beside each other: which settings differ, and where their rows part."""

import math

import polars as pl
import pytest

from gradlab.views.comparison.pair import pair_lines, parting
from gradlab.views.comparison.runs import collect
from tests.views.comparison.folders import write_run
from tests.views.synthetic import changed, make_run


def with_change(run, step, layer, column):
    """A run in which a layer has other values in a column, from a step on."""
    here = (pl.col("step") >= step) & (pl.col("layer") == layer)
    value = pl.when(here).then(1 + 1.5 * pl.col(column)).otherwise(pl.col(column))
    return changed(run, layers=run.layers.with_columns(value.alias(column)))


def test_settings_that_differ_are_named_with_both_values(tmp_path):
    write_run(tmp_path, config={"model": {"depth": 3}})
    write_run(tmp_path, config={"model": {"depth": 5, "activation": {"name": "elu"}}, "seed": 2})
    lines = list(pair_lines(*sorted(collect([tmp_path]).finished, key=lambda run: run.settings["model.depth"])))
    assert lines[0] == (
        "the runs differ in seed (0, 2), model.depth (3, 5), model.activation (relu, elu), "
        "model.activation.alpha (–, 1)"
    )
    assert lines[1] == "they have no row in common"


@pytest.fixture
def run():
    return make_run(depth=4, steps=range(6))


def test_rows_that_are_the_same_are_counted(run):
    height = run.layers.height
    assert parting(run, run) == f"their {height} rows are the same"
    diverged = changed(run, layers=run.layers.with_columns(delta_rms=pl.lit(math.nan), update_ratio=pl.lit(None)))
    assert parting(diverged, diverged) == f"their {height} rows are the same", "NaN is NaN here, and null is null"


def test_the_first_step_and_layer_at_which_rows_part_are_named(run):
    steps = sorted(set(run.layers["step"]))
    later = with_change(with_change(run, steps[2], 3, "weight_norm"), steps[1], 2, "delta_rms")
    said = parting(run, later)
    assert said.startswith(f"their rows part at step {steps[1]}, in `2.linear` and 1 more module")
    assert said.endswith(": delta_rms")
    assert parting(later, run) == said


def test_rows_that_only_one_of_them_has_are_counted(run):
    shorter = changed(run, layers=run.layers.filter(pl.col("layer") != 1))
    kept, missing = shorter.layers.height, run.layers.height - shorter.layers.height
    assert parting(run, shorter) == f"their {kept} rows are the same; {missing} rows only one of them has"
