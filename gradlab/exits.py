"""How the program ends: an error of the user's making, or of the system's, is one message and not a traceback."""

import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from gradlab import limits
from gradlab.errors import UserError
from gradlab.printing import complain


def run(command: Callable[[], object]) -> None:
    """Run a command line to its end.

    An error of the user's making ends with 2, what the system denies with 1, each with one message. Typer itself ends
    quietly with 130 after Ctrl-C, and with 1 where the reader of a pipe has left.
    """
    _fit_terminal()
    if reason := limits.too_little():
        _give_up(reason)
    try:
        try:
            command()
        finally:
            if sys.stdout is not None:  # it may be closed
                sys.stdout.flush()
    except UserError as error:
        complain(error.message, error.fix)
        sys.exit(2)
    except OSError as error:
        if _lost(sys.stdout):
            _give_up(f"cannot write the output: {error.strerror or error}")
        if reason := limits.denied(error):
            _give_up(reason)
        raise
    except BaseException as error:  # polars panics, which is no Exception
        if reason := limits.denied(error):
            _give_up(reason)
        raise


def _give_up(reason: str) -> NoReturn:
    complain(reason)
    sys.exit(1)


def _fit_terminal() -> None:
    """Print what the terminal's encoding lacks as question marks, and pass over a width that is none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    width = os.environ.get("COLUMNS", "1")
    if not (width.isascii() and width.isdigit() and int(width[:9]) > 0):
        del os.environ["COLUMNS"]


def _lost(stream: Any) -> bool:
    """Whether nothing can be written to a stream any more: its disk is full, or its terminal is gone."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # what is left goes nowhere, without another error
        return True
    return False
