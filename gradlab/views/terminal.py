"""What the views in the terminal share: plain tables, paragraphs, and how both are printed."""

import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text


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
