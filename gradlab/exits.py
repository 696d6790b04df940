"""How the program ends: an error of the user's making, or of the system's, is one message and not a traceback."""

import sys
from collections.abc import Callable
from typing import NoReturn

from gradlab import limits
from gradlab.errors import UserError
from gradlab.printing import complain, fit_terminal, lost


def run(command: Callable[[], object]) -> None:
    """Run a command line to its end.

    An error of the user's making ends with 2, what the system denies with 1, each with one message. Typer itself ends
    quietly with 130 after Ctrl-C, and with 1 where the reader of a pipe has left.
    """
    fit_terminal()
    require("read")
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
        if lost(sys.stdout):
            _give_up(f"cannot write the output: {error.strerror or error}")
        if reason := limits.denied(error):
            _give_up(reason)
        raise
    except BaseException as error:  # polars panics, which is no Exception
        if reason := limits.denied(error):
            _give_up(reason)
        raise


def require(what: str) -> None:
    """End here where the limits of this process are too low to `read`, `draw` or `train`."""
    if reason := limits.too_little(what):
        _give_up(reason)


def _give_up(reason: str) -> NoReturn:
    complain(reason)
    sys.exit(1)
