"""Commands under limits of the system, and with an output that is closed, full, narrow or of an old encoding."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tests.faults.commands import OBEYED, bytes_of
from tests.views.comparison.folders import write_run

CONFIG = "{name: run, model: {depth: 2, width: 4}, data: wine, train: {steps: 30}}"
PATIENCE = 240


def _place(place: Path) -> Path:
    runs = place / "runs"
    for seed in range(3):
        write_run(runs, config={"seed": seed})
    (place / "config.yaml").write_text(CONFIG)
    (place / "mine.txt").write_text("somebody's")
    return next(iter(sorted(runs.iterdir())))


def _shell(line: str, place: Path, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["bash", "-c", line], cwd=place, env={**os.environ, **environment}, capture_output=True, check=False,
        timeout=PATIENCE, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _is_one_message(done: "subprocess.CompletedProcess[bytes]", how: str) -> None:
    said = done.stderr.decode(errors="replace")
    told = f"{how}: exit code {done.returncode}: {said[-1500:]}"
    assert done.returncode in (0, 1, 2), told
    assert "Traceback" not in said, told
    assert "panicked" not in said, told
    if done.returncode:
        assert said.strip(), f"{how}: no message"


def try_limits(place: Path, seed: int) -> None:
    """A command under `ulimit -n`, `-v` or `-f`: it does what it should, or ends with one message."""
    choose = Random(seed)
    folder = _place(place)
    limit = choose.choice([
        f"-n {choose.randrange(4, 40)}", f"-v {choose.randrange(150_000, 3_500_000)}", f"-f {choose.randrange(0, 40)}",
    ])  # fmt: skip
    words = choose.choice([
        ["run", "config.yaml", "--runs", "new", "--no-plots"], ["run", "config.yaml", "--runs", "new"],
        ["show", str(folder)], ["show", str(folder), "--plots"], ["compare", "runs"],
        ["compare", "runs", "--format", "json"], ["export", str(folder), "--to", "csv"],
        ["predict", "config.yaml"], ["sweep", "config.yaml", "seed=0,1", "--dry-run"], ["init", "new.yaml"],
        ["list", "rules"],
    ])  # fmt: skip
    done = _shell(f"ulimit {limit}; exec {shlex.join([sys.executable, '-m', 'gradlab', *words])}", place)
    _is_one_message(done, f"ulimit {limit}; gradlab {shlex.join(words)}")
    assert (place / "mine.txt").read_text() == "somebody's"
    assert not list(place.rglob("*.tmp"))


def try_outputs(place: Path, seed: int) -> None:
    """The output is closed, full, a pipe whose reader leaves, narrow, or of an encoding that lacks most characters."""
    choose = Random(seed)
    folder = _place(place)
    before = bytes_of(place)
    words = choose.choice([
        ["show", str(folder)], ["show", str(folder), "--json"], ["compare", "runs"], ["list", "activations"],
        ["compare", "runs", "--format", choose.choice(["csv", "json", "markdown"])], ["--help"], ["init", "-"],
        ["show", "nowhere"], ["schema"],
    ])  # fmt: skip
    where = choose.choice([">&-", "2>&-", ">&- 2>&-", "> /dev/full", "2> /dev/full", "| head -c 20", "<&-", ""])
    environment = choose.choice([
        {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"COLUMNS": "0"}, {"COLUMNS": "-7"},
        {"COLUMNS": "1"}, {"COLUMNS": "9" * 30}, {"TERM": "dumb"}, {"NO_COLOR": "1"}, {"LC_ALL": "C"}, {"LINES": "x"},
        {"HOME": "/nowhere"}, {"TMPDIR": "/nowhere"}, {"FORCE_COLOR": "1"}, {},
    ])  # fmt: skip
    how = f"{environment} gradlab {shlex.join(words)} {where}"
    done = _shell(f"{shlex.join([sys.executable, '-m', 'gradlab', *words])} {where}", place, **environment)
    said = done.stderr.decode(errors="replace")
    told = f"{how}: exit code {done.returncode}: {said[-1500:]}"
    assert done.returncode in (0, 1, 2), told
    assert "Traceback" not in said, told
    if "FORCE_COLOR" not in environment:
        assert not OBEYED.search(said), told
    assert bytes_of(place) == before, how


TRIES: Sequence[tuple[str, Callable[[Path, int], None]]] = (
    ("limits of the system", try_limits), ("outputs that fail", try_outputs),
)  # fmt: skip
