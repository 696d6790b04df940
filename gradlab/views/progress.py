"""The progress of a training in the terminal: a bar, and the RMS δ of every layer as a strip of blocks.

    ━━━━━━━━━━━━━━━╸━━━━━━━━━  312/500  loss 2.303  148 steps/s  0:00:01
    δ 1e-14 ▁▁▁▂▂▂▃▃▄▄▅▅▆▆▆▇▇██ 1e-2, layer 0 to 20

Nothing is shown where the output is no terminal.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from time import monotonic

import rich.live
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from gradlab.views import terminal

BLOCKS = "▁▂▃▄▅▆▇█"
ZERO_BLOCK, BROKEN_BLOCK, ABSENT_BLOCK = "·", "!", " "
"""Characters of a strip for exactly 0, for NaN or infinity, and for a value that is not there."""
DECADES = 12
"""Decades of δ that the blocks span: a network that loses 12 decades uses all of them, a healthy one looks level."""
SECONDS = 0.1
"""Seconds between two drawings."""
NARROW = 60
"""Columns below which the speed is left out."""


def strip(values: Sequence[float | None], width: int, low: float, high: float) -> str:
    """Positive numbers as a strip of blocks on a log scale.

    Args:
        values: the numbers; None is a gap. Where there are more than `width`, neighbours share a character, which
            shows their geometric mean, or `!` if one of them is not finite.
        width: characters at most.
        low: log10 of the value at the bottom of ▁. Smaller numbers are shown as ▁ too, but 0 is `·`.
        high: log10 of the value at the top of █. Larger numbers are shown as █ too, but infinity and NaN are `!`.

    Returns:
        A character for each value, and `width` characters at most.

    Examples:
        >>> strip([1e-12, 1e-9, 1e-6, 1e-3, 1.0, 0.0, math.nan], 10, low=-12, high=0)
        '▁▃▅▇█·!'
    """
    count = min(len(values), max(width, 0))
    bounds = [round(index * len(values) / count) for index in range(count + 1)] if count else [0]
    return "".join(_block(values[a:b], low, high) for a, b in pairwise(bounds))


def _block(values: Sequence[float | None], low: float, high: float) -> str:
    present = [value for value in values if value is not None]
    if not present:
        return ABSENT_BLOCK
    if not all(map(math.isfinite, present)):
        return BROKEN_BLOCK
    logs = [math.log10(value) for value in present if value > 0]
    if not logs:
        return ZERO_BLOCK
    share = (math.fsum(logs) / len(logs) - low) / (high - low) if high > low else 1.0  # infinite where high ≈ low
    return BLOCKS[min(int(min(max(share, 0.0), 1.0) * len(BLOCKS)), len(BLOCKS) - 1)]


class Live:
    """Draws the progress of one training; made by `live`.

    Args:
        total_steps: steps that training will take.
        display: where to draw; None draws nothing.
        console: the terminal of `display`.
    """

    def __init__(self, total_steps: int, display: rich.live.Live | None, console: Console) -> None:
        self._display = display
        self._console = console
        speed = ["{task.fields[speed]}"] if console.width >= NARROW else []
        self._bar = progress_bar(console, "loss {task.fields[loss]:.4g}", *speed)
        self._task = self._bar.add_task("", total=total_steps, loss=math.nan, speed="")
        self._delta: Sequence[float] = ()
        self._top = -math.inf
        self._begun = monotonic()
        self._next = 0.0

    def update(self, step: int, loss: float, delta_rms: Sequence[float] | None = None) -> None:
        """Show a finished step. Draws ten times a second at most and costs next to nothing otherwise.

        Args:
            step: its number, from 0.
            loss: its loss.
            delta_rms: RMS δ of the weight layers, first to last; None or empty where the step was not recorded.
        """
        if self._display is None:
            return
        if delta_rms:
            self._delta = delta_rms
        now = monotonic()
        if now >= self._next:
            self._next = now + SECONDS
            elapsed = now - self._begun
            speed = f"{(step + 1) / elapsed:.3g} steps/s" if elapsed > SECONDS else ""
            self._bar.update(self._task, completed=step + 1, loss=loss, speed=speed)
            self._display.update(Group(self._bar, self._strip()), refresh=True)

    def _strip(self) -> Text:
        """The newest δ as a strip. The top of its scale never falls, so that the eye can compare successive strips."""
        logs = [math.log10(value) for value in self._delta if 0 < value < math.inf]
        if logs:
            self._top = max(self._top, math.ceil(max(logs)))
        if not math.isfinite(self._top):
            return Text("")
        last = len(self._delta) - 1
        before, after = f"δ 1e{self._top - DECADES:.0f} ", f" 1e{self._top:.0f}"
        layers = f", layer 0 to {last}" if self._console.width >= NARROW else ""
        room = self._console.width - len(before) - len(after) - len(layers) - 1
        blocks = strip(self._delta, room, self._top - DECADES, self._top)
        return Text.assemble((before, "dim"), blocks, (after + layers, "dim"), no_wrap=True, overflow="crop")


@contextmanager
def live(total_steps: int, enabled: bool = True, console: Console | None = None) -> Iterator[Live]:
    """Show the progress of a training for as long as the context lasts. It is wiped off at the end.

    Args:
        total_steps: steps that training will take.
        enabled: False shows nothing.
        console: where to draw; by default stderr, so that stdout holds results only. Nothing is drawn where it is
            redirected or cannot move the cursor.
    """
    console = console or terminal.console(errors=True)
    if not (enabled and can_be_drawn_over(console)):
        yield Live(total_steps, None, console)
        return
    # No refreshing thread: it would take turns with the training for the interpreter; `update` draws instead.
    # Warnings are printed above the bar; stdout is left alone because it may be a file.
    with rich.live.Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as display:
        yield Live(total_steps, display, console)


def progress_bar(console: Console, *texts: str) -> Progress:
    """A bar as wide as the console, with the count, some texts about its task, and the time that is left."""
    bar = BarColumn(bar_width=None, complete_style="cyan", finished_style="cyan")
    columns = (bar, MofNCompleteColumn(), *(TextColumn(text, markup=False) for text in texts), TimeRemainingColumn())
    return Progress(*columns, console=console, auto_refresh=False, expand=True)


def can_be_drawn_over(console: Console) -> bool:
    """Whether a console is a terminal that can move its cursor."""
    return console.is_terminal and not console.is_dumb_terminal
