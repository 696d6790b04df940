"""What the tests of sweeps say often."""

import json
import threading
import time
from pathlib import Path

from gradlab import run_folder
from gradlab.config.files import load_config
from gradlab.sweeps.grid import Point

TINY = {"name": "tiny", "model": {"depth": 2, "width": 8}, "data": {"name": "wine"}, "train": {"steps": 5}}
LONG = 1_000_000
"""Steps that no test waits for."""


def tiny_points(*settings):
    """A point of a tiny network for each dict of settings."""
    return [Point(load_config(TINY, some), some) for some in settings]


class Recording:
    """A listener that keeps what it sees.

    Args:
        on_start: called with every point that begins.
    """

    def __init__(self, on_start=lambda point: None):
        self.on_start = on_start
        self.begun, self.over = [], []

    def planned(self, count):
        self.count = count

    def started(self, worker, point):
        self.begun.append(point.config.id)
        self.on_start(point)

    def ended(self, worker, point, state):
        self.over.append((point.config.id, state.status))


def summary(runs, point):
    return run_folder.read_summary(run_folder.run_path(runs, point.config))


def wait_until(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


def training(runs, point):
    """Whether a point has flushed a step."""
    return any((run_folder.run_path(runs, point.config) / "steps").glob("*.parquet"))


def process_writing(runs, point):
    """The process that has claimed a point's folder."""
    lock = (run_folder.run_path(runs, point.config) / ".lock").resolve()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if any(file.readlink() == lock for file in (process / "fd").iterdir()):
                    return int(process.name)
            except OSError:
                continue
    return None


def in_thread(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def sweep_yaml(path, grid, **base):
    """Write a sweep file over the tiny network."""
    path.write_text(json.dumps({"base": {**TINY, **base}, "grid": grid}))
    return path
