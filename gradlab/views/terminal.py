"""What the views in the terminal share: consoles, plain tables, paragraphs, and how they are printed."""

import sys
import textwrap
from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from gradlab.text import printable


class _SafeConsole(Console):
    """Shows what a text holds, also where a terminal would obey it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, str):
            renderable = printable(renderable)
        elif isinstance(renderable, Text) and not renderable.plain.isprintable():
            safe = renderable.copy()
            safe.plain = printable(renderable.plain)
            renderable = safe
        return super().render(renderable, options)


def console(*, errors: bool = False) -> Console:
    """The terminal. Texts that are printed to it may be somebody else's.

    Args:
        errors: standard error instead of standard output.
    """
    return _SafeConsole(file=sys.stderr if errors else None, markup=False, emoji=False, highlight=False)


def plain_console(file: IO[str], width: int) -> Console:
    """A console that writes plain text of a width into a file, as safely as onto the terminal."""
    return _SafeConsole(
        file=file, width=width, color_system=None, force_jupyter=False, markup=False, emoji=False, highlight=False
    )


def plain_table(gap: int = 1) -> Table:
    """A table without lines, with so many blanks between columns."""
    return Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold", expand=False)


def paragraph(text: str, width: int, style: str = "", *, first: str = "", rest: str = "") -> Text:
    """Text in lines of a width.

    Rich breaks lines too, but at hyphens, where names of rules and settings would fall apart, and with blanks at their
    ends.

    Args:
        text: one paragraph.
        width: columns.
        style: a style of rich.
        first: indentation of the first line.
        rest: indentation of the other lines.
    """
    lines = textwrap.fill(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return Text(lines, style)


def print_parts(parts: Iterable[Text | Table], console: Console) -> None:
    """Print tables, which rich fits into the console's width, and texts, whose lines are left as they are."""
    for part in parts:
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text))
