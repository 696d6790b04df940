"""Ctrl-C, so that what is going on can end in order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
        if asked.is_set() and callable(previous):
            previous(number, frame)
        asked.set()

    signal.signal(signal.SIGINT, remember)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, previous)
