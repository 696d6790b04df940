"""What the system denies to a process: memory, open files, threads. It is told as one message, wherever it happens."""

import errno
from collections.abc import Callable

_FILES = (errno.EMFILE, errno.ENFILE)
_NO_MEMORY = ("failed to map segment", "cannot allocate memory", "can't allocate memory")
LEAST_MEMORY = 750 * 2**20
"""Bytes of address space below which polars ends the process when it is imported, and no error can be caught."""


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


def too_little() -> str:
    """Why nothing can be done under the limits of this process; empty where something can."""
    limit = _soft_limit("RLIMIT_AS")
    too_low = limit is not None and limit < LEAST_MEMORY
    return denied(MemoryError()) if too_low else ""


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
