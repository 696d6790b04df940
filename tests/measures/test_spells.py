import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradlab.measures.spells import WINDOW, lasting, smooth, spell


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
