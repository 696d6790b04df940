"""The one way to print: what files of somebody else say reaches no terminal as a command to it (`gradlab.text`).

`say` prints lines; `gradlab.views.terminal.console` makes the consoles of tables and coloured texts.
"""

import io
import os
import sys
from contextlib import suppress
from typing import IO, Any

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


def fit_terminal() -> None:
    """Print what the terminal's encoding lacks as question marks, and pass over a width that is none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    width = os.environ.get("COLUMNS", "1")
    if not (width.isascii() and width.isdigit() and int(width[:9]) > 0):
        del os.environ["COLUMNS"]


def lost(stream: Any) -> bool:
    """Whether nothing can be written to a stream any more: its disk is full, or its terminal is gone."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is left goes nowhere, without another error
        return True
    return False
