"""The numbers of the summary, derived again from the tables with NumPy."""

import numpy as np
import polars as pl
import pytest

import gradlab
from gradlab.measures.headline import headline
from gradlab.tables import Tables, layers_frame


def test_every_number_is_that_of_the_tables(tmp_path):
    source = {
        "model": {"depth": 5, "width": 16, "activation": "tanh", "initializer": "pytorch_default"},
        "data": {"name": "wine", "batch_size": 32},
        "train": {"steps": 30},
    }
    run = gradlab.run(source, runs=tmp_path, plots=False)
    summary = run.summary
    for split in ("train", "test"):
        last = run.evaluations.filter(split=split, step=30).row(0, named=True)
        assert (summary[f"{split}_loss"], summary[f"{split}_accuracy"]) == (last["loss"], last["accuracy"])
    for moment, step in (("start", 0), ("end", 29)):
        delta = run.layers.filter(kind="weight", step=step).sort("layer")["delta_rms"].to_numpy()
        np.testing.assert_allclose(summary[f"log10_delta_{moment}"], np.log10(delta), rtol=1e-12)
        expected = -np.polyfit(np.arange(5), np.log10(delta), 1)[0]
        assert summary[f"decades_per_layer_{moment}"] == pytest.approx(expected, rel=1e-9)
    activations = run.layers.filter(kind="activation", step=29)
    for column in ("dead_fraction", "saturated_fraction", "zero_fraction"):
        assert summary[column] == pytest.approx(activations[column].mean())
    bare = 1000 * (run.steps["step_seconds"] - run.steps["record_seconds"]).to_numpy()
    assert summary["step_ms"] == pytest.approx(np.median(bare))
    ratios = run.layers["update_ratio"].drop_nulls().to_numpy()
    assert summary["log10_update_ratio"] == pytest.approx(np.median(np.log10(ratios)))


def test_a_run_without_rows_has_no_numbers():
    numbers = headline(Tables(layers=layers_frame([])))
    assert set(numbers.values()) == {None}
    assert "train_loss" in numbers


def test_a_diverged_run_has_what_it_has():
    delta = {"layer": [0, 1], "module": ["a", "b"], "kind": ["weight"] * 2, "delta_rms": [float("nan"), 0.0]}
    rows = pl.concat([layers_frame([]), pl.DataFrame({"step": [0, 0], **delta})], how="diagonal_relaxed")
    numbers = headline(Tables(layers=rows, status="diverged"))
    assert np.isnan(numbers["log10_delta_start"][0])
    assert numbers["log10_delta_start"][1] == -np.inf
