"""Whether this machine has the memory for something, asked before anything is made that it has no room for."""

import os
from contextlib import suppress
from pathlib import Path

from gradlab.errors import UserError
from gradlab.text import bytes_text

_GROUP = Path("/sys/fs/cgroup/memory.max")


def machine_memory() -> int | None:
    """Bytes of main memory that this process may use at most; None where that is not known."""
    found = []
    try:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return None
    with suppress(OSError, ValueError):  # there may be no limit
        found.append(int(_GROUP.read_text(encoding="ascii")))
    return min(number for number in found if number > 0)


def require_memory(size: float, what: str, *, fix: str = "", most: int | None = None) -> None:
    """Refuse what cannot fit.

    Args:
        size: bytes that it needs at least.
        what: what needs them, naming the key of the config.
        fix: what to do about it.
        most: bytes that there are; by default those of this machine.

    Raises:
        UserError: there are fewer.
    """
    most = machine_memory() if most is None else most
    if most is not None and size > most:
        raise UserError(f"{what} needs at least {bytes_text(size)} of memory; there are {bytes_text(most)}", fix=fix)
