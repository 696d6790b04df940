import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradlab.measures.profiles import delta_profile, profiles
from gradlab.measures.slopes import decades_per_layer, fit_depth, slope
from gradlab.measures.spells import WINDOW, lasting, smooth, spell
from tests.diagnosis.tables import geometric, tables


def test_profile_is_delta_at_the_hidden_preactivations():
    run = tables(depth=3, delta_rms=[1.0, 2.0, 4.0])
    assert delta_profile(run.layers, 7).to_dicts() == [{"layer": k, "delta_rms": 2.0**k} for k in range(3)]
    assert delta_profile(run.layers, 99).is_empty()


def test_slope_reads_toward_the_input():
    line = decades_per_layer(tables(depth=20, delta_rms=geometric(20, -0.63)).layers, 0)
    assert line.value == pytest.approx(-0.63)
    assert line.range_decades == pytest.approx(-0.63 * 19)
    assert line.r_squared == pytest.approx(1)
    assert line.n == 20


def test_zeros_and_non_finite_stay_out_of_the_fit_but_are_known():
    values = geometric(6, -1.0)
    values[0], values[1], values[5] = 0, np.nan, np.inf
    line = slope(np.arange(6), values)
    assert line.value == pytest.approx(-1)
    assert line.range_decades == pytest.approx(-5)
    assert (line.n, line.zeros, line.non_finite) == (3, (0,), (1, 5))


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


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-10, 10) | st.just(np.nan)))
def test_smooth_is_the_median_of_a_centred_window(values):
    expected = [values[0]]
    for t in range(1, len(values)):
        window = values[max(0, t - WINDOW // 2) : t + WINDOW // 2 + 1]
        window = window[np.isfinite(window)]
        expected.append(np.median(window) if len(window) else np.nan)
    np.testing.assert_allclose(smooth(values), expected)


def test_one_noisy_step_is_outvoted():
    noisy = np.zeros(20)
    noisy[7] = 50
    assert not smooth(noisy).any()


def test_grid_keeps_only_steps_that_have_the_column():
    run = tables(depth=2, steps=[0, 1, 2])
    frame = run.layers.with_columns(
        dead_fraction=run.layers["dead_fraction"].set(run.layers["step"] == 1, None)  # no full pass in step 1
    )
    assert profiles(frame, "dead_fraction", ["activation"]).steps.tolist() == [0, 2]
    assert not profiles(frame, "dead_fraction", ["weight"])


def test_a_trouble_lasts_until_it_is_cured():
    values = np.array([1.9, 2.1, 1.9, np.nan, 1.1, 0.9, 1.9, 2.0])
    assert lasting(values, 2.0, 1.0).tolist() == [False, True, True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("present", "words"),
    [
        ("####", "from the first recorded step to the last"),
        ("##..", "at the start; gone after step 10"),
        ("..##", "not at the start, but since step 20"),
        (".##.", "from step 10 to 20 only"),
        (".#..", "in step 10 only"),
        ("#", "in step 0"),
    ],
)
def test_a_spell_says_when(present, words):
    flags = np.array([sign == "#" for sign in present])
    assert str(spell(10 * np.arange(len(flags)), flags)) == words


def test_no_spell():
    assert spell(np.arange(3), np.zeros(3, dtype=bool)) is None
    assert spell(np.arange(0), np.zeros(0, dtype=bool)) is None
