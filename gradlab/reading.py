"""The one way to open a file that somebody else may have made: a regular file, and no larger than it can be meant.

A pipe would wait for a writer that never comes, and a device may never end.
"""

import errno
import json
import math
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
MOST_JSON = 2**26
"""Bytes of a summary and the like."""
MOST_DEPTH = 50
"""Of mappings and lists within each other."""
KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def open_file(path: Path, most: int | None = None) -> BufferedReader:
    """Open a regular file for reading.

    Args:
        path: the file.
        most: how many bytes it may have.

    Raises:
        OSError: it cannot be opened, is no regular file, or is too large.
        ValueError: the path is none, because it holds a NUL.
    """
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            kind = next((name for is_kind, name in KINDS if is_kind(status.st_mode)), "no regular file")
            raise OSError(errno.EINVAL, f"it is {kind} and not a file", str(path))
        if most is not None and status.st_size > most:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes; {most:,} are the most", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, most: int) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        most: how many bytes it may have.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        ValueError: the path is none, because it holds a NUL.
    """
    with open_file(path, most) as file:
        content = b""
        while len(content) <= most and (more := file.read(2**20)):  # it may have grown
            content += more
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The content of a file that holds a JSON object. Numbers that are not finite, or too large for a float, are None.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than any that gradlab writes.
        ValueError: it holds something else, or is nested too deeply; or the path holds a NUL.
    """
    try:
        content = json.loads(read_file(path, MOST_JSON).decode())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    return {key: _usable(value, 1) for key, value in content.items()}


_TOO_DEEP = "it is nested too deeply"


def _usable(value: Any, depth: int) -> Any:
    kind = type(value)  # of what JSON holds, there are no subclasses; and comparisons read thousands of summaries
    if kind is str or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int:
        return value if value.bit_length() < sys.float_info.max_exp else None
    if depth > MOST_DEPTH:
        raise ValueError(_TOO_DEEP)
    if kind is list:
        return [_usable(item, depth + 1) for item in value]
    return {key: _usable(item, depth + 1) for key, item in value.items()}


@contextmanager
def without_panics() -> Iterator[None]:
    """Keep off the terminal what polars prints from its own threads when a file is damaged, before it raises.

    All that is written to the error stream meanwhile is held back, and printed where nothing was raised.
    """
    with ExitStack() as stack:
        try:
            terminal = os.dup(2)
            stack.callback(os.close, terminal)
            held = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # there is no error stream, or no file may be opened
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
        held.seek(0)
        while said := held.read(2**16):
            os.write(2, said)
