import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradlab.measures.slopes import decades_per_layer, fit_depth, slope
from tests.diagnosis.tables import geometric, tables


def test_slope_reads_toward_the_input():
    line = decades_per_layer(tables(depth=20, delta_rms=geometric(20, -0.63)).layers, 0)
    assert line.value == pytest.approx(-0.63)
    assert line.range_decades == pytest.approx(-0.63 * 19)
    assert line.r_squared == pytest.approx(1)
    assert line.n == 20


def test_zeros_and_non_finite_stay_out_of_the_fit_and_zeros_are_known():
    values = geometric(6, -1.0)
    values[0], values[1], values[5] = 0, np.nan, np.inf
    line = slope(np.arange(6), values)
    assert line.value == pytest.approx(-1)
    assert line.range_decades == pytest.approx(-5)
    assert (line.n, line.zeros) == (3, (0,))


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 1.0], [0.0, 0.0]])
def test_a_line_needs_two_points(values):
    line = slope(np.arange(len(values)), np.array(values))
    assert np.isnan(line.value)
    assert np.isnan(line.range_decades)


def test_a_flat_profile_is_a_perfect_line():
    assert slope(np.arange(5), np.full(5, 3.0)).r_squared == 1


@given(arrays(np.float64, (4, 7), elements=st.floats(-6, 6)))
def test_fits_equal_numpy(logs_TL):
    layers = np.array([0, 1, 2, 4, 5, 8, 9])
    fits = fit_depth(layers, 10**logs_TL)
    expected = [np.polyfit(-layers, row, 1)[0] for row in logs_TL]
    np.testing.assert_allclose(fits.value_T, expected, atol=1e-9)
    np.testing.assert_allclose(fits.range_T, 9 * np.array(expected), atol=1e-8)
    assert ((fits.r_squared_T >= 0) & (fits.r_squared_T <= 1 + 1e-9)).all()
