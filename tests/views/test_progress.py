import io
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gradlab.views.progress import ABSENT_BLOCK, BLOCKS, BROKEN_BLOCK, DECADES, ZERO_BLOCK, live, strip


def terminal(width=80, **options):
    return Console(file=io.StringIO(), width=width, force_terminal=True, **options)


@pytest.fixture
def clock(monkeypatch):
    """Sets the time that `live` reads."""
    return lambda seconds: monkeypatch.setattr("gradlab.views.progress.monotonic", lambda: seconds)


def written(console):
    return console.file.getvalue()


# -------------------------------------------------------------------------------------------------------------- strip


def test_strip_puts_each_decade_in_its_block():
    assert strip([10.0**-k for k in range(8)], 8, low=-8, high=0) == "██▇▆▅▄▃▂"


def test_strip_tells_zero_from_small_and_broken_from_large():
    assert (
        strip([0.0, 5e-324, 1e308, math.inf, math.nan, None], 10, low=-12, high=0)
        == f"{ZERO_BLOCK}▁█{BROKEN_BLOCK}{BROKEN_BLOCK}{ABSENT_BLOCK}"
    )


def test_strip_shares_characters_when_there_are_more_layers_than_columns():
    values = [10.0 ** (-k / 10) for k in range(100)]
    shown = strip(values, 20, low=-10, high=0)
    assert len(shown) == 20
    assert list(shown) == sorted(shown, reverse=True)
    assert strip([1.0, 1e-8], 1, low=-8, high=0) == BLOCKS[4], "the geometric mean, 1e-4, is in the middle"
    assert strip([1.0, math.nan, 1.0, 0.0], 2, low=-8, high=0) == BROKEN_BLOCK + BLOCKS[-1], (
        "one broken layer is not averaged away"
    )


@pytest.mark.parametrize(("values", "width"), [([], 10), ([1.0], 0), ([1.0], -3)])
def test_strip_of_nothing_is_empty(values, width):
    assert strip(values, width, low=-1, high=1) == ""


def test_strip_on_a_scale_without_height_is_full():
    assert strip([2.0, 2.0], 5, low=0, high=0) == "██"


@given(
    st.lists(st.none() | st.floats(min_value=0) | st.just(math.nan), max_size=150),
    st.integers(0, 100),
    st.floats(-300, 300),
    st.floats(-300, 300),
)
def test_strip_is_as_wide_as_it_may_be_whatever_comes(values, width, low, high):
    shown = strip(values, width, low, high)
    assert len(shown) == min(len(values), width)
    assert set(shown) <= set(BLOCKS + ZERO_BLOCK + BROKEN_BLOCK + ABSENT_BLOCK)


# --------------------------------------------------------------------------------------------------------------- live


def test_live_shows_steps_loss_layers_and_its_scale():
    console = terminal()
    with live(500, console=console) as view:
        view.update(311, 2.3026, [1e-14, 1e-8, 0.002])
    out = written(console)
    assert "312/500" in out
    assert "loss 2.303" in out
    assert f"δ 1e{-2 - DECADES} " in out
    assert "▁" in out
    assert "1e-2, layer 0 to 2" in out


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 200])
def test_live_fits_the_terminal(width):
    console = terminal(width, color_system=None, legacy_windows=False)
    with live(100_000, console=console) as view:
        view.update(99_998, 1.234e-30, [1e-300] * 100)
        console.file.seek(0)
    lines = written(console).split("\x1b")[1].splitlines()
    assert max(len(line) for line in lines) <= width


def test_live_keeps_the_last_layers_on_steps_that_are_not_recorded(clock):
    console = terminal(color_system=None)
    with live(10, console=console) as view:
        clock(0.0)
        view.update(0, 1.0, [1.0])
        clock(0.05)
        view.update(1, 1.0, [1.0, 0.0])  # too early to draw
        clock(0.15)
        view.update(2, 1.0, None)
    assert f"█{ZERO_BLOCK} 1e0" in written(console)


def test_live_survives_a_network_that_is_broken_from_the_start():
    console = terminal()
    with live(10, console=console) as view:
        view.update(0, math.nan, [math.nan, math.inf, 0.0])
    assert "loss nan" in written(console)


def test_live_draws_ten_times_a_second_at_most(clock):
    console = terminal()
    with live(1000, console=console) as view:
        for step in range(1000):
            clock(step / 1000)
            view.update(step, 1.0, [1.0])
    assert 10 <= written(console).count("loss") <= 12


@pytest.mark.parametrize(
    ("enabled", "console"),
    [
        (False, terminal()),
        (True, Console(file=io.StringIO())),
        (True, terminal(_environ={"TERM": "dumb"})),
    ],
    ids=["disabled", "redirected", "dumb"],
)
def test_live_is_silent_where_nobody_can_see_it(enabled, console):
    with live(10, enabled, console) as view:
        view.update(0, 1.0, [1.0])
    assert written(console) == ""


def test_live_writes_to_stderr_and_not_when_that_is_redirected(capsys):
    with live(10) as view:
        view.update(0, 1.0, [1.0])
    assert capsys.readouterr() == ("", "")


def test_live_gives_the_terminal_back_after_an_exception():
    console, stderr = terminal(), sys.stderr

    def crash():
        with live(10, console=console) as view:
            view.update(0, 1.0, [1.0])
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        crash()
    assert sys.stderr is stderr
    out = written(console)
    assert out.count("\x1b[?25l") == out.count("\x1b[?25h") == 1, "the cursor is hidden and shown again"
    assert out.endswith("\x1b[2K"), "the last thing written erases the bar"


def test_bounds_that_nearly_touch_do_not_overflow():
    assert strip([4.0], 1, 0.0, 2.2250738585072014e-308) == strip([4.0], 1, 0.0, 0.1)
