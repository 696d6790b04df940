"""Tables in Markdown: for pages of the documentation, comparisons and exports."""

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len

from gradlab.text import one_line


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table. Bars within cells are escaped."""
    yield _line(head)
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield _line(row)


def aligned_markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """The lines of a table whose columns line up as plain text too; nothing in a cell is markup.

    Args:
        head: name of each column.
        rows: cells of each row.
        right: for each column, whether it is aligned to the right.
    """
    cells = [[literal(cell) for cell in line] for line in (head, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * (width - 1) + (":" if to_right else "-") for width, to_right in zip(widths, right, strict=True)]
    for line in (cells[0], rule, *cells[1:]):
        blanks = [" " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        padded = [
            blank + cell if to_right else cell + blank
            for cell, blank, to_right in zip(line, blanks, right, strict=True)
        ]
        yield f"| {' | '.join(padded)} |"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def literal(text: str) -> str:
    """Text in one line that Markdown shows as it is: no link, no picture, no HTML, no emphasis."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", one_line(text))
