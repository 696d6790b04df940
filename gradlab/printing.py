"""The one way to print: what files of somebody else say reaches no terminal as a command to it (`gradlab.text`).

`say` prints lines; `gradlab.views.terminal.console` makes the consoles of tables and coloured texts.
"""

import sys
from contextlib import suppress
from typing import IO

from gradlab.text import printable


def say(text: str, stream: IO[str] | None = None) -> None:
    """Print a line, or several, at once.

    Args:
        text: the lines; the last one may lack its line break.
        stream: where to; by default standard output.
    """
    print(printable(text.removesuffix("\n")), file=sys.stdout if stream is None else stream, flush=True)


def complain(message: str, fix: str = "") -> None:
    """Print on standard error what is wrong, and what to do about it."""
    color = sys.stderr.isatty()
    red, dim, plain = ("\x1b[31m", "\x1b[2m", "\x1b[0m") if color else ("", "", "")
    gap = "\n" if "\n" in message else " "
    parts = [f"{red}Error:{plain}{gap}{printable(message)}"]
    parts += [f"{dim}{printable(fix)}{plain}"] if fix else []
    with suppress(OSError):
        print("\n".join(parts), file=sys.stderr, flush=True)
