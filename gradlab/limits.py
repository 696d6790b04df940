"""What the system denies to a process: memory, open files, threads. It is told as one message, wherever it happens."""

import errno
import os
from collections.abc import Callable, Mapping

_FILES = (errno.EMFILE, errno.ENFILE)
_NO_MEMORY = ("failed to map segment", "cannot allocate memory", "can't allocate memory")
MEBIBYTE = 2**20
LEAST_MEMORY: Mapping[str, int] = {"read": 750 * MEBIBYTE, "draw": 1250 * MEBIBYTE, "train": 1650 * MEBIBYTE}
"""Bytes of address space below which a library ends the process or waits for ever, and no error can be caught: polars,
which reads runs, the BLAS of NumPy, which draws them, and torch. Measured on two cores."""
FOR_A_CORE = 20 * MEBIBYTE
"""What the threads of these libraries need for each further core."""
LEAST_FILES = 16
"""Open files below which polars panics."""


def denied(error: BaseException) -> str:
    """What the system has denied where an error says so; empty where it does not."""
    text = str(error).lower()
    number = getattr(error, "errno", None)
    if number in _FILES or "too many open files" in text or "toomanyopenfiles" in text:
        return "the system lets this process open no more files" + _limit("RLIMIT_NOFILE", str, "ulimit -n")
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(words in text for words in _NO_MEMORY):
        return "the system gives this process no more memory" + _limit("RLIMIT_AS", _kilobytes, "ulimit -v")
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return "the system lets this process start no more threads" + _limit("RLIMIT_NPROC", str, "ulimit -u")
    return ""


def too_little(what: str = "read") -> str:
    """Why something cannot be done under the limits of this process; empty where it can.

    Args:
        what: `read`, `draw` or `train`.
    """
    memory, files = _soft_limit("RLIMIT_AS"), _soft_limit("RLIMIT_NOFILE")
    if files is not None and files < LEAST_FILES:
        return denied(OSError(errno.EMFILE, ""))
    least = LEAST_MEMORY[what] + FOR_A_CORE * max(0, (os.cpu_count() or 1) - 2)
    return denied(MemoryError()) if memory is not None and memory < least else ""


def _kilobytes(size: int) -> str:
    return str(size // 1024)


def _limit(name: str, shown: Callable[[int], str], command: str) -> str:
    """The limit that a user has set, and how it is called."""
    limit = _soft_limit(name)
    return "" if limit is None else f" ({command} says {shown(limit)})"


def _soft_limit(name: str) -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(getattr(resource, name))[0]
    return None if limit == resource.RLIM_INFINITY else limit
