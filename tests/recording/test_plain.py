import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gradlab.recording.plain import BINS, Plain, histogram

FLOATS = st.floats(-1e6, 1e6, width=32)
TENSORS = arrays(np.float32, array_shapes(max_dims=3, max_side=9), elements=FLOATS)
PLAIN = Plain(torch.device("cpu"))  # one for all tests: what it keeps must not leak from one to the next


def statistics(x):
    names = ("mean", "centred_squares", "minimum", "maximum", "zeros")
    sums = dict(zip(names, torch.zeros(5, dtype=torch.float64).unbind(), strict=True))
    PLAIN.output(x, sums)
    return [float(sums[name]) for name in names]


@given(TENSORS)
def test_output_statistics_equal_numpy_in_float64(x):
    mean, squares, low, high, zeros = statistics(torch.tensor(x))
    wide = x.astype(np.float64)
    scale = np.abs(wide).max()
    assert mean == pytest.approx(wide.mean(), rel=1e-12, abs=1e-12 * scale)
    assert squares == pytest.approx(((wide - wide.mean()) ** 2).sum(), rel=1e-9, abs=1e-20 * scale**2)
    assert (low, high, zeros) == (wide.min(), wide.max(), (wide == 0).sum())


@given(TENSORS, st.sampled_from([2.0**-60, 0.5, 2.0, 2.0**40]))
def test_sum_of_squares_scales(x, a):
    slots = torch.zeros(2, dtype=torch.float64).unbind()
    PLAIN.sum_of_squares(torch.tensor(x), slots[0])
    PLAIN.sum_of_squares(torch.tensor(x.astype(np.float64) * a), slots[1])
    assert float(slots[1]) == pytest.approx(a**2 * float(slots[0]), rel=1e-12)


def test_norms_do_not_underflow_before_their_numbers_do():
    slot = torch.zeros((), dtype=torch.float64)
    tiny = torch.full((1000,), 1e-26)
    assert float(tiny.square().sum()) == 0, "float32 squares of 1e-26 are 0: the trap"
    PLAIN.sum_of_squares(tiny, slot)
    assert math.sqrt(float(slot)) == pytest.approx(1e-26 * math.sqrt(1000), rel=1e-6)


def test_small_spread_on_a_large_mean_survives():
    x = torch.tensor(100 + 0.01 * np.random.default_rng(0).normal(size=10_000), dtype=torch.float32)
    _, squares, *_ = statistics(x)
    assert math.sqrt(squares / len(x)) == pytest.approx(x.double().numpy().std(), rel=1e-9)


def test_constant_tensors_have_no_spread():
    assert statistics(torch.full((7, 3), 0.1))[1] < 1e-30


def test_nan_stays_visible():
    mean, squares, low, high, zeros = statistics(torch.tensor([0.0, math.nan, 1.0]))
    assert all(map(math.isnan, (mean, squares, low, high)))
    assert zeros == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_formats_and_strides(dtype):
    x = torch.arange(24, dtype=dtype).reshape(4, 6).t()
    mean, _, low, high, zeros = statistics(x)
    assert (mean, low, high, zeros) == (11.5, 0, 23, 1)


@given(TENSORS, st.lists(FLOATS, min_size=4, max_size=4, unique=True))
def test_count_inside(x, edges):
    a, b, c, d = sorted(edges)
    two_sides = ((-math.inf, -abs(a)), (abs(a), math.inf))
    for intervals in [(), ((-math.inf, a),), ((d, math.inf),), two_sides, ((-math.inf, a), (b, c), (d, math.inf))]:
        slot = torch.full((), 5.0, dtype=torch.float64)
        PLAIN.count_inside(torch.tensor(x), intervals, slot)
        assert float(slot) == sum(((x > low) & (x < high)).sum() for low, high in intervals), intervals


@given(arrays(np.float32, 40, elements=st.floats(width=32)))
def test_histogram_counts_everything_once(x):
    low, high, non_finite, *counts = histogram(torch.tensor(x)).tolist()
    finite = x[np.isfinite(x)].astype(np.float64)
    assert len(counts) == BINS
    assert non_finite == len(x) - len(finite)
    assert sum(counts) == len(finite)
    if len(finite):
        assert (low, high) == (finite.min(), finite.max())


def test_histogram_equals_numpy():
    x = np.random.default_rng(0).normal(size=5000)
    low, high, _, *counts = histogram(torch.tensor(x)).tolist()
    expected, _ = np.histogram(x, BINS, (low, high))
    assert np.abs(np.array(counts) - expected).sum() <= 2, "an entry on an edge may fall to either side"


def test_histogram_of_a_constant_is_in_the_first_bin():
    low, high, non_finite, *counts = histogram(torch.full((9,), 0.5)).tolist()
    assert (low, high, non_finite, counts[0]) == (0.5, 0.5, 0, 9)
