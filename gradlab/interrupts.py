"""Ctrl-C, and what ends a process like it, so that what is going on can end in order.

A signal that was ignored when the process began stays ignored: `nohup` and shells see to it that way that a command
outlives its terminal.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
