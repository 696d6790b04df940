import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab.text import (
    ABSENT,
    bytes_text,
    clock,
    compact,
    counted,
    duration,
    factor_text,
    first_of,
    layers_text,
    log10_text,
    mean_and_interval,
    percent,
    power_of_ten,
    same_decimals,
    seconds_text,
    separated,
    setting_text,
    settings_text,
    shortened,
    strict_json,
    tally,
    three_digits,
    wanted_text,
)

NAN, INF = math.nan, math.inf

# ------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1.00"),
        (-0.5, "-0.500"),
        (0.001, "0.00100"),
        (0.000999, "1.0e-3"),
        (9999.0, "9999"),
        (9999.6, "1.0e4"),
        (1.2e-34, "1.2e-34"),
        (-5e-324, "-5e-324"),
        (NAN, "nan"),
        (INF, "inf"),
        (-INF, "-inf"),
        (None, ABSENT),
    ],
)
def test_compact(value, text):
    assert compact(value) == text


@given(st.floats(-1e300, 1e300))
def test_compact_is_short_and_near(value):
    text = compact(value)
    assert len(text) <= 8
    assert float(text) == pytest.approx(value, rel=0.051 if 1e-99 < abs(value) < 1e99 else 0.51, abs=0)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0%"), (0.004, "<1%"), (0.5, "50%"), (0.996, ">99%"), (1.0, "100%"), (NAN, "nan"), (None, ABSENT)],
)
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(("value", "text"), [(0.001234, "0.00123"), (0.01234, "0.01"), (12.34, "12.3")])
def test_compact_with_few_decimals(value, text):
    assert compact(value, decimals=2) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.2345, "1.23"),
        (-0.0123, "−0.0123"),
        (1e-14, "1e-14"),
        (-1e-14, "−1e-14"),
        (NAN, "nan"),
    ],
)
def test_three_digits(value, text):
    assert three_digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1e-3, "-3.0"), (0.0, "-∞"), (None, ABSENT), (NAN, "nan"), (INF, "inf"), (-1.0, "-1.00")]
)
def test_log10_text(value, text):
    assert log10_text(value) == text


@pytest.mark.parametrize(
    ("numbers", "decimals", "texts"),
    [
        ([0.9, 0.01234], None, ["0.900", "0.012"]),
        ([123.4, 5.6], None, ["123", "6"]),
        ([0.0, 0.0], None, ["0", "0"]),
        ([-0.00001, 0.2], None, ["0.000", "0.200"]),
        ([12345.0, 1.0], None, ["1.2e4", "1.00"]),
        ([1e-5, 1e-6], None, ["1.0e-5", "1.0e-6"]),
        ([-0.0004, 12345.0], 3, ["0.000", "12345.000"]),
        ([], None, []),
    ],
)
def test_same_decimals(numbers, decimals, texts):
    assert same_decimals(numbers, decimals) == texts


def test_powers_of_ten_beyond_floats():
    exponents = (0, 2.861, -3, -12.1, 400, -1e4)
    assert [power_of_ten(exponent) for exponent in exponents] == ["1", "730", "0.001", "1e-12", "1e400", "1e-10000"]


@pytest.mark.parametrize(
    ("value", "half", "words"),
    [
        (None, None, "nothing"),
        (0.93123, None, "0.931"),
        (-0.5, None, "−0.5"),
        (0.93123, 0.0123, "0.931 ± 0.012"),
        (-0.93123, 0.0123, "−0.931 ± 0.012"),
        (0.93123, 0.00123, "0.9312 ± 0.0012"),
        (0.93123, 0.000023, "0.93123 ± 0.00002"),
        (0.93123, 1e-9, "0.931230 ± 0.000000"),
        (1.0, 0.0, "1.000 ± 0.000"),
        (0.0, 0.0, "0.000 ± 0.000"),
        (-0.0001, 0.3, "0.000 ± 0.300"),
        (12.3456, 1.5, "12.346 ± 1.500"),
        (123.456, 12.3, "123.5 ± 12.3"),
        (123.456, 0.03, "123.46 ± 0.03"),
        (4321.9, 12.3, "4322 ± 12"),
        (1.2e-4, 3e-5, "1.20e−04 ± 3.0e−05"),
        (-3.21e7, 1e6, "−3.21e+07 ± 1.0e+06"),
        (0.0, 3e-5, "0.00e+00 ± 3.0e−05"),
    ],
)
def test_a_mean_has_as_many_digits_as_its_interval_deserves(value, half, words):
    assert mean_and_interval(value, half) == words


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9))
def test_a_mean_is_written_to_within_its_interval(value, half):
    written, _, width = mean_and_interval(value, half).replace("−", "-").partition(" ± ")
    assert float(written) == pytest.approx(value, rel=5.1e-3, abs=max(5e-7, 0.51 * half))
    assert float(width) == pytest.approx(half, rel=0.51, abs=6e-7)
    assert len(written) <= 13


# ---------------------------------------------------------------------------------------------- time, settings, names


def test_durations():
    assert [clock(seconds) for seconds in (0.4, 100, 3661)] == ["0:00:00", "0:01:40", "1:01:01"]
    assert [duration(seconds) for seconds in (0, 119.4, 120, 300)] == ["0 s", "119 s", "2 minutes", "5 minutes"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("relu", "relu"),
        (1, "1"),
        (1.0, "1"),
        (1e-5, "1e-05"),
        ((5, 3.0), "[5, 3]"),
        ({"name": "elu", "alpha": 0.5}, "{name: elu, alpha: 0.5}"),
    ],
)
def test_the_text_of_a_setting(value, text):
    assert setting_text(value) == text


@given(st.floats(allow_nan=False))
def test_an_exact_setting_keeps_every_digit(value):
    assert float(setting_text(value, exact=True)) == value


def test_settings_are_as_one_types_them():
    assert settings_text({"model.depth": 5, "model.residual": False}) == "model.depth=5 model.residual=false"
    assert settings_text({"a": 1.0, "b": [0.25]}, ", ", exact=True) == "a=1.0, b=[0.25]"
    assert settings_text({}) == ""


def test_wanted_settings():
    either = [{"name": "normal", "std": 0.01}, "he_normal"]
    assert wanted_text({"model.initializer": either}) == "model.initializer=normal (std=0.01)|he_normal"
    assert wanted_text({"model.residual": True, "model.width": (5, 3)}) == "model.residual=true, model.width=[5, 3]"
    assert wanted_text({"model.width": [[5, 3]]}) == "model.width=[5, 3]"


def test_first_of_says_how_many_there_are():
    assert first_of("abc") == "a, b, c"
    assert first_of(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … (12 in all)"


@pytest.mark.parametrize(
    ("decades", "text"),
    [(-0.63, "÷ 4.3"), (0.63, "× 4.3"), (0.02, "× 1.05"), (0.0, "× 1.00"), (-1.0, "÷ 10"), (-2.5, "÷ 320"),
     (-30.0, "÷ 1e30"), (float("nan"), "–"), (float("-inf"), "–")],
)  # fmt: skip
def test_decades_are_told_as_a_factor(decades, text):
    assert factor_text(decades) == text


def test_seconds_are_no_powers_of_ten():
    assert [seconds_text(seconds) for seconds in (0.04, 2.53, 140.2, 12345.0)] == [
        "0.04 s",
        "2.5 s",
        "140 s",
        "12345 s",
    ]


def test_counts():
    assert tally({"completed": 20, "diverged": 1}) == "20 completed, 1 diverged"
    assert [counted(count, "run") for count in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


@pytest.mark.parametrize(
    ("layers", "text"),
    [([3], "layer 3"), ([0, 1, 2, 3], "layers 0–3"), ([0, 1, 4, 7, 8], "layers 0–1, 4, 7–8"), ([], "layers ")],
)
def test_neighbouring_layers_are_a_range(layers, text):
    assert layers_text(layers) == text


@given(st.lists(st.text("ab", min_size=1, max_size=30)), st.integers(1, 80))
def test_separated_breaks_between_parts_only(parts, width):
    lines = separated(parts, width).split("\n")
    assert [part for line in lines for part in line.split(" · ") if part] == parts
    assert all(len(line) <= width or " · " not in line for line in lines)


def test_strict_json_has_no_nan_and_no_infinity():
    value = {"a": [1.5, NAN], "b": (INF, {"c": -INF}), "d": True, "e": "nan", "f": None}
    plain = {"a": [1.5, None], "b": [None, {"c": None}], "d": True, "e": "nan", "f": None}
    assert strict_json(value) == plain
    assert json.loads(json.dumps(strict_json(value), allow_nan=False)) == plain


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999_999, "999,999 bytes"),
        (3.21e6, "3.21 MB"),
        (64e9, "64 GB"),
        (4e15, "4 PB"),
        (16e12, "16 TB"),
    ],
)
def test_bytes_as_one_says_them(size, text):
    assert bytes_text(size) == text


@pytest.mark.parametrize("width", [1, 2, 5, 8, 14, 40])
def test_shortened_names_fit_and_keep_more_of_their_ends(width):
    name = "bert.encoder.layer.0.attention.self.query"
    start, mark, end = shortened(name, width).partition("…")
    assert len(start + mark + end) == width
    assert name.startswith(start)
    assert name.endswith(end)
    assert len(end) >= len(start)
    assert shortened(name, 41) == name
    assert shortened("a\x1b", 9) == "a\\x1b"
