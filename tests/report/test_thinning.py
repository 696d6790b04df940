import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab.report.thinning import NAN, columns_of, matrices, thinned_line


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300, unique=True), st.integers(2, 80))
def test_columns_cover_every_step_once(steps, most):
    steps = sorted(steps)
    columns = columns_of(steps, most)
    assert len(columns.first) == min(most, len(steps))
    covered = [
        step for first, last in zip(columns.first, columns.last, strict=True) for step in steps if first <= step <= last
    ]
    assert covered == steps
    assert columns.shown[0] == steps[0] or len(columns.first) == 1
    assert columns.shown[-1] == steps[-1]
    assert set(columns.shown.tolist()) <= set(steps)


def frame(values, module="a"):
    return pl.DataFrame({"step": range(len(values)), "module": [module] * len(values), "delta_rms": values})


def test_a_column_keeps_the_smallest_and_the_largest_of_its_steps():
    values = np.random.default_rng(0).lognormal(size=1000)
    values[700] = 1e9  # one step in a thousand
    columns = columns_of(range(1000), 10)
    found = matrices(frame(values.tolist()), ["delta_rms"], columns)["delta_rms"]
    for column in range(10):
        part = values[column * 100 : column * 100 + 100]
        assert found.low_RC[0, column] == part.min()
        assert found.high_RC[0, column] == part.max()
        assert found.value_RC[0, column] == (part[0] if column < 9 else part[-1])


def test_what_is_missing_and_what_is_not_a_number_are_told_apart():
    rows = frame([1.0, None, float("nan"), 2.0, float("nan"), float("inf")])
    found = matrices(rows, ["delta_rms"], columns_of(range(6), 6))["delta_rms"]
    np.testing.assert_equal(found.value_RC[0], [1.0, np.nan, NAN, 2.0, NAN, np.inf])
    thinned = matrices(rows, ["delta_rms"], columns_of(range(6), 2))["delta_rms"]
    np.testing.assert_equal(thinned.low_RC[0], [1.0, 2.0])
    np.testing.assert_equal(thinned.high_RC[0], [NAN, NAN])


def test_modules_keep_their_order_and_those_without_values_are_left_out():
    rows = pl.concat([frame([1.0], "b"), frame([None], "c"), frame([2.0], "a")])
    found = matrices(rows, ["delta_rms"], columns_of([0], 5))["delta_rms"]
    assert found.modules == ["b", "a"]
    np.testing.assert_equal(found.value_RC, [[1.0], [2.0]])


@pytest.mark.parametrize("count", [1, 5, 5000])
def test_a_thinned_line_keeps_its_peaks_and_its_ends(count):
    values = np.random.default_rng(1).normal(size=count)
    values[count // 3] = 50.0
    steps = pl.DataFrame({"step": range(count), "loss": values})
    line = thinned_line(steps, "loss", 200)
    assert line.height <= 202
    assert line["step"][0] == 0
    assert line["step"][-1] == count - 1
    assert line["loss"].max() == 50.0
    assert line["loss"].min() == values.min()
    assert line.join(steps, on=["step", "loss"]).height == line.height  # steps and values as they were recorded


def test_a_line_leaves_out_what_is_not_finite():
    steps = pl.DataFrame({"step": [0, 1, 2, 3], "loss": [1.0, float("nan"), None, float("inf")]})
    assert thinned_line(steps, "loss", 100).rows() == [(0, 1.0)]
