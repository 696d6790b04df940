"""Ranges, against NumPy and Python's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab.sweeps.ranges import parse_range

small = st.integers(-50, 50)


@given(small, small, small.filter(bool))
def test_range_is_pythons(start, stop, step):
    found = parse_range(f"range({start}, {stop}, {step})")
    assert list(found.values()) == list(range(start, stop, step))
    assert found.count == len(range(start, stop, step))


@given(st.floats(-20, 20), st.floats(-20, 20), st.integers(1, 30))
def test_linspace_and_logspace_are_numpys(first, last, count):
    for name, function in (("linspace", np.linspace), ("logspace", np.logspace)):
        found = parse_range(f"{name}({first!r}, {last!r}, {count})")
        values = list(found.values())
        assert found.count == len(values) == count
        np.testing.assert_allclose(values, function(first, last, count), rtol=1e-11, atol=1e-12)


def test_decades_are_written_as_one_would_write_them():
    assert list(parse_range("logspace(-4, -1, 4)").values()) == [1e-4, 1e-3, 1e-2, 1e-1]
    assert list(parse_range("linspace(0, 0.3, 4)").values()) == [0.0, 0.1, 0.2, 0.3]
    assert list(parse_range(" range( 3 ) ").values()) == [0, 1, 2]


def test_a_long_range_is_counted_without_being_made():
    assert parse_range("range(0, 10000000000000000000000)").count == 10**22
    assert parse_range("logspace(0, 1, 1000000000000)").count == 10**12


@pytest.mark.parametrize("text", ["relu", "rang(0, 3)", "range", "5", "", "__import__('os').system('true')"])
def test_other_text_is_no_range(text):
    assert parse_range(text) is None


@pytest.mark.parametrize(
    "text",
    ["range()", "range(0, 1, 0)", "range(0.5)", "range(a)", "range(0, 1, 2, 3)", "range(__import__('os').getpid())",
     "logspace(0, 1)", "logspace(0, 1, 0)", "logspace(0, 400, 3)", "linspace(0, 1e999, 3)", "linspace(0, 1, 2.5)",
     "range('a')", "range(0, 1"],
)  # fmt: skip
def test_wrong_arguments_are_told_what_is_right(text):
    if not text.endswith(")"):
        assert parse_range(text) is None
        return
    name = text.partition("(")[0]
    with pytest.raises(ValueError, match=rf"must be {name}\("):
        parse_range(text)
