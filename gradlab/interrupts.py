"""Ctrl-C, and what ends a process like it, so that what is going on can end in order.

A signal that was ignored when the process began stays ignored: `nohup` and shells see to it that way that a command
outlives its terminal.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_IGNORED = {number for number in (signal.SIGINT, *_ENDING) if signal.getsignal(number) is signal.SIG_IGN}
_remembering: list[Callable[[int, FrameType | None], Any]] = []


@contextmanager
def first_one_remembered() -> Iterator[threading.Event]:
    """Remember the first Ctrl-C instead of raising it where it comes; the second one is raised.

    Only the main thread of a process receives signals. In any other thread nothing is remembered.

    Yields:
        An event that the first Ctrl-C sets.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    previous = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            (previous if callable(previous) else signal.default_int_handler)(number, frame)
        asked.set()

    if signal.SIGINT not in _IGNORED:
        signal.signal(signal.SIGINT, remember)
    _remembering.append(remember)
    try:
        yield asked
    finally:
        _remembering.remove(remember)
        if signal.SIGINT not in _IGNORED:
            signal.signal(signal.SIGINT, previous)


@contextmanager
def all_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP are Ctrl-C, unless they are ignored or somebody else handles them."""

    def take(number: int, frame: FrameType | None) -> None:
        (_remembering[-1] if _remembering else signal.default_int_handler)(number, frame)

    taken = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, take)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def end_with_parent(grace: float) -> None:
    """Have this worker process end when the process dies that has started it: by Ctrl-C first, then at once.

    Args:
        grace: seconds between the two.
    """
    parent = multiprocessing.parent_process()

    def wait() -> None:
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(grace)
        os._exit(1)

    if parent is not None:
        threading.Thread(target=wait, daemon=True, name="gradlab-parent").start()


# ------------------------------------------------------------------------------------------- before a signal ends us


class _Ending:
    """What is to be done before a signal ends the process.

    Attributes:
        acts: what is to be done.
        depth: contexts that hold a signal back.
        came: the signal that is held back.
    """

    def __init__(self) -> None:
        self.acts: list[Callable[[], None]] = []
        self.depth = 0
        self.came: int | None = None

    def end(self, number: int, frame: FrameType | None = None) -> None:
        """Do what is to be done, and end the process by a signal."""
        if self.depth:
            self.came = number
            return
        acts, self.acts = self.acts, []
        try:
            for act in reversed(acts):
                act()
        finally:
            self.restore()
            os.kill(os.getpid(), number)

    def restore(self) -> None:
        """Handle no signal any more; in another thread than the main one, that is not possible."""
        for number in _ENDING:
            if signal.getsignal(number) == self.end:
                with suppress(ValueError):
                    signal.signal(number, signal.SIG_DFL)

    def forget(self) -> None:
        """This is a forked child: nothing of it is to be done here."""
        self.acts, self.depth, self.came = [], 0, None
        self.restore()


_before = _Ending()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_before.forget)


def before_the_end(act: Callable[[], None]) -> Callable[[], None]:
    """Do something before SIGTERM or SIGHUP ends the process, where nobody else handles them.

    They end the process as they would have. Only in the main thread, which alone receives signals; a forked child does
    nothing of it.

    Args:
        act: what to do.

    Returns:
        a function that takes this back.
    """
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _before.end)
        _before.acts.append(act)

    def take_back() -> None:
        with suppress(ValueError):
            _before.acts.remove(act)
        if not _before.acts:
            _before.restore()

    return take_back


@contextmanager
def held_back() -> Iterator[None]:
    """Let a signal that ends the process wait until the context is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _before.depth += 1
    try:
        yield
    finally:
        _before.depth -= 1
        if _before.came is not None and not _before.depth:
            _before.end(_before.came)
