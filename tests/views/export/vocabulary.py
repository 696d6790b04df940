"""What an export must have, taken from the tables."""

import math
import os

import numpy as np
import polars as pl

from gradlab.tables import SCHEMAS, Finding
from tests.views.synthetic import changed, make_run

FINDING = Finding("vanishing-gradient", "error", "δ shrinks by 1.00 decades per layer")
MIDNIGHT = 1_800_000_000.0
"""When all runs here began."""


def a_run(folder, **options):
    """A made-up run whose folder there is, below `folder`."""
    run = make_run(**{"theory": True, "findings": [FINDING], **options})
    summary = {**run.summary, "verdict": run.verdict, "config": run.config.model_dump(mode="json")}
    run = changed(run, path=folder / "made-up-0123456789ab", summary=summary)
    run.path.mkdir()
    (run.path / "config.yaml").touch()
    os.utime(run.path / "config.yaml", (MIDNIGHT, MIDNIGHT))
    return run


def expected(run):
    """Every number of the stepwise tables that is not null, by its name in the export and its step."""
    numbers = {}
    for row in run.layers.iter_rows(named=True):
        for column in SCHEMAS["layers"]:
            if SCHEMAS["layers"][column] == pl.Float64 and row[column] is not None:
                numbers[f"{column}/{row['layer']:02d} {row['module']}", row["step"]] = row[column]
    for row in run.steps.drop("step").with_columns(run.steps["step"].alias("at")).iter_rows(named=True):
        numbers |= {(f"steps/{k}", row["at"]): v for k, v in row.items() if k != "at" and v is not None}
    for row in run.evaluations.iter_rows(named=True):
        numbers |= {(f"evaluations/{row['split']}_{k}", row["step"]): row[k] for k in ("loss", "accuracy")}
    return numbers


def expected_histograms(run):
    """Limits and counts of the histograms that have limits."""
    return {
        (f"{row['quantity']}_histogram/{row['layer']:02d} {row['module']}", row["step"]): (
            [row["low"] + (row["high"] - row["low"]) * i / len(row["counts"]) for i in range(len(row["counts"]) + 1)],
            row["counts"],
        )
        for row in run.histograms.iter_rows(named=True)
        if row["low"] is not None
    }


def assert_same(actual, wanted):
    """Two dicts of the same numbers, NaN being NaN."""
    assert actual.keys() == wanted.keys()
    wrong = {key: (actual[key], wanted[key]) for key in wanted if not same(actual[key], wanted[key])}
    assert not wrong


def same(left, right):
    return left == right or (math.isnan(left) and math.isnan(right))


def in_32_bits(numbers):
    with np.errstate(over="ignore"):
        return {key: float(np.float32(value)) for key, value in numbers.items()}


def assert_same_histograms(actual, wanted):
    assert actual.keys() == wanted.keys()
    for key, (edges, counts) in wanted.items():
        np.testing.assert_allclose(actual[key][0], edges, rtol=1e-12, atol=1e-12 * max(map(abs, edges)))
        assert list(actual[key][1]) == counts
