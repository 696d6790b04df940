import math

import numpy as np
import polars as pl

from gradlab.statistics import LAYER_STATISTICS, StepRows
from gradlab.tables import SCHEMAS, layers_frame, rows_frame


def step_rows(step, values, applies):
    return StepRows(step, [0, 0], ["a", "b"], ["weight", "activation"], [1, 2], ["float32"] * 2, values, applies)


def test_null_means_not_applicable_and_nan_is_a_value():
    values = np.full((2, len(LAYER_STATISTICS)), math.nan)
    applies = np.zeros_like(values, dtype=bool)
    applies[0, 0] = applies[1, 1] = True
    values[1, 1] = 3.5
    frame = layers_frame([step_rows(7, values, applies)])
    assert math.isnan(frame[LAYER_STATISTICS[0]][0])
    assert frame[LAYER_STATISTICS[0]][1] is None
    assert frame[LAYER_STATISTICS[1]].to_list() == [None, 3.5]
    assert frame["step"].to_list() == [7, 7]


def test_rows_of_different_steps_and_values_stay_together():
    rng = np.random.default_rng(0)
    steps = [(step, rng.normal(size=(2, len(LAYER_STATISTICS)))) for step in (0, 5, 9)]
    frame = layers_frame([step_rows(step, values, np.ones_like(values, dtype=bool)) for step, values in steps])
    for step, values in steps:
        np.testing.assert_array_equal(frame.filter(step=step).select(LAYER_STATISTICS).to_numpy(), values)


def test_empty_tables_have_their_columns():
    assert layers_frame([]).schema == pl.Schema(SCHEMAS["layers"])
    for table in ("steps", "evaluations", "histograms", "theory"):
        assert rows_frame(table, []).schema == pl.Schema(SCHEMAS[table])


def test_missing_columns_are_null():
    frame = rows_frame("steps", [{"step": 3, "loss": math.inf}])
    assert frame.row(0, named=True)["gradient_norm"] is None
    assert frame["loss"][0] == math.inf
