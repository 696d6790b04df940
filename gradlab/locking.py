"""An exclusive lock of a file, which the system gives back when the process ends, however that comes about.

A forked child does not hold the locks of its parent, cannot give them back, and does not keep them after the parent's
death. Asking whether a lock is held changes nothing, also where the file is somebody else's: a link is not followed.
"""

import errno
import os
import stat
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path

PATIENCE = 0.25
"""Seconds in which a lock is tried again: who only asks whether it is held, holds it for a moment."""
_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class FileLock:
    """A lock that this process holds.

    Args:
        path: the file, which is made where it is missing, and stays.

    Raises:
        BlockingIOError: somebody else holds the lock; also an earlier lock of this process.
        OSError: the file cannot be opened, is a link, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        self._owner = os.getpid()
        until = time.monotonic() + PATIENCE
        while not self._take(path):
            if time.monotonic() > until:
                raise BlockingIOError(errno.EAGAIN, "is locked by another process", str(path))
            time.sleep(PATIENCE / 10)
        _held.add(self)

    def _take(self, path: Path) -> bool:
        descriptor = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            taken = _try_lock(descriptor, shared=False) and os.path.samestat(os.fstat(descriptor), path.lstat())
        except FileNotFoundError:  # removed, between opening and locking it
            taken = False
        except BaseException:
            os.close(descriptor)
            raise
        if taken:
            self._descriptor = descriptor
        else:
            os.close(descriptor)
        return taken

    def guards(self, path: Path) -> bool:
        """Whether this is still the lock of the file of this name: nobody has removed or replaced the file."""
        try:
            return self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), path.lstat())
        except OSError:
            return False

    def release(self) -> None:
        """Give the lock back; it is the process that holds it that does so, and not a forked child."""
        if self._descriptor is not None:
            if self._owner == os.getpid():
                with suppress(OSError):
                    _unlock(self._descriptor)
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def __del__(self) -> None:
        self._close()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of a file; False where there is no such file, or nobody can say."""
    try:
        descriptor = _open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor, shared=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | _SAFELY, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return descriptor


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in _HELD:
                return False
            raise
        if shared:
            _unlock(descriptor)
        return True

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                return False
            raise
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    for lock in list(_held):
        lock._close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
