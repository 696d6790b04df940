"""The one way to write a file: whole or not at all, and never through a link.

A file is written under a name of its own that nobody can guess, and renamed when it is whole. So a reader never sees
half of a file, whatever happens to the writer, and a full disk leaves what was there before.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a whole file, in place of the one that is there, or none.

    Raises:
        OSError: it cannot be written, or the folder that it belongs into is a link.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file to write, which takes the place of `path` when it is whole; on failure it is gone.

    The caller sees to it that nobody else writes the same file.

    Raises:
        OSError: the file cannot be made, or the folder that it belongs into is a link.
    """
    refuse_link(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, _NEW, 0o666))
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder inside one that is there.

    Raises:
        OSError: it cannot be made, or it is a link.
    """
    path.mkdir(exist_ok=True)
    refuse_link(path)


def refuse_link(path: Path) -> None:
    """Raise `OSError` where a path is a link: what is written there would land elsewhere."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a link, through which gradlab does not write", str(path))
