"""Sweeps that are killed at random moments: the main process, one worker, or all of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from gradlab import run_folder
from tests.faults.processes import rows_without_gaps

SEEDS = 3
STEPS = 200
SWEEP = {
    "base": {"name": "s", "model": {"depth": 2, "width": 4}, "data": "wine", "train": {"steps": STEPS}},
    "grid": {"seed": list(range(SEEDS))},
}
PATIENCE = 120.0


def command(place: Path, *more: str) -> "subprocess.Popen[str]":
    """The sweep, in a session of its own."""
    code = "from gradlab.run_folder import writing; writing.FLUSH_SECONDS = 0.03; from gradlab.cli import main; main()"
    words = ["sweep", str(place / "sweep.yaml"), "--runs", str(place / "runs"), "--workers", "2", *more]
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=place, start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def session(number: int) -> list[int]:
    """The processes of a session that are still there, zombies aside."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                state, _, _, of, *_ = (process / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(of) == number and state != "Z":
                found.append(int(process.name))
    return found


def workers(number: int) -> list[int]:
    """The worker processes of a sweep."""
    found = []
    for process in session(number):
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if process != number and b"spawn_main" in words:
            found.append(process)
    return found


def try_kill_sweep(place: Path, seed: int) -> None:
    """A sweep is killed: no worker is left, what was written is whole, and the same command completes all points."""
    choose = Random(seed)
    (place / "sweep.yaml").write_text(json.dumps(SWEEP))
    process = command(place)
    until = time.monotonic() + PATIENCE
    if choose.random() < 0.8:  # else before anything has begun
        while process.poll() is None and not list(run_folder.find_runs(place)) and time.monotonic() < until:
            time.sleep(0.02)
    time.sleep(choose.uniform(0, 2))
    number = choose.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    whom = choose.choice(["main", "main", "all", "worker"])
    if process.poll() is None:
        for each in _victims(choose, process.pid, whom):
            try:
                os.kill(each, number)
            except ProcessLookupError:
                continue
    _, said = process.communicate(timeout=PATIENCE)
    how = f"{signal.Signals(number).name} to {whom}: exit code {process.returncode}: {said[-1500:]}"
    if number != signal.SIGKILL:
        assert "Traceback" not in said or whom == "worker" or process.returncode < 0, how
    if number == signal.SIGKILL and whom != "worker":
        assert process.returncode in (0, -number), how
    elif whom != "worker":  # a signal that comes before gradlab handles any ends the process by itself
        assert process.returncode in (0, 130, -number), how
    until = time.monotonic() + 40
    while (left := session(process.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left, f"{how}: processes {left} are left"
    for folder in run_folder.find_runs(place):
        rows_without_gaps(folder)
    again = command(place, "--retry-failed")
    out, said = again.communicate(timeout=2 * PATIENCE)
    assert again.returncode == 0, f"{how}; again: {again.returncode}: {out[-500:]} {said[-1500:]}"
    folders = list(run_folder.find_runs(place))
    assert len(folders) == SEEDS, how
    for folder in folders:
        assert run_folder.read_summary(folder)["status"] == "completed", how
        assert rows_without_gaps(folder) == STEPS, how


def _victims(choose: Random, main: int, whom: str) -> list[int]:
    if whom == "main":
        return [main]
    if whom == "all":
        return session(main)
    there = workers(main)
    return [choose.choice(there)] if there else []


TRIES: Sequence[tuple[str, Callable[[Path, int], None]]] = (("kills of `sweep`", try_kill_sweep),)
