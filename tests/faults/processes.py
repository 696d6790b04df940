"""Kills, full disks, and several processes at one folder. Each try is a forked child, which has torch already.

Folders are looked at by children too: after this process had used polars, whose threads do not survive a fork, its
children would hang.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import torch
from torch import nn

import gradlab
from gradlab import interrupts, run_folder, watch_folder
from gradlab.errors import RunBusyError, RunFolderError, UserError
from gradlab.run_folder import writing
from tests.faults.commands import bytes_of

RUN = {"name": "run", "model": {"depth": 2, "width": 4}, "data": "wine", "train": {"steps": 60}}
PATIENCE = 120.0
"""Seconds after which a child counts as hung."""


def child(act: Callable[[], object]) -> int:
    """Fork a process that does something and ends with 0, or with 3 where it raises; returns its number."""
    number = os.fork()
    if number == 0:
        code = 3
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(PATIENCE))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            torch.set_num_threads(1)
            writing.FLUSH_SECONDS = watch_folder.FLUSH_SECONDS = 0.03  # what is killed has written something
            act()
            code = 0
        except UserError:
            code = 2
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return number


def ended(number: int) -> int:
    """The exit code of a child; negative where a signal has ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def train_watched(folder: Path, steps: int = 100) -> None:
    """A small training that is watched."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=folder):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.randn(20, 5)), torch.randint(3, (20,))).backward()
            optimizer.step()
            time.sleep(0.002)


def rows_without_gaps(folder: Path) -> int:
    """Steps that a folder has, after asserting that they count from 0, once each, and that its tables agree."""
    return _answer_of(_checked_rows, folder)


def _answer_of(ask: Callable[[Path], int], folder: Path) -> int:
    """What a child answers about a folder."""
    reader, writer = os.pipe()
    number = child(lambda: os.write(writer, str(ask(folder)).encode()))
    os.close(writer)
    with os.fdopen(reader) as answer:
        said = answer.read()
    assert ended(number) == 0, f"{folder} cannot be read"
    return int(said)


def _checked_rows(folder: Path) -> int:
    run = gradlab.load_run(folder)
    steps = run.steps["step"].to_list()
    assert steps == list(range(len(steps))), "steps are missing, or twice there"
    assert all("could be written" in problem for problem in run.tables.problems), run.tables.problems
    assert abs(run.layers["step"].n_unique() - len(steps)) <= 1, "tables disagree"
    return len(steps)


def _hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.tmp")]


def _as_the_command(runs: Path) -> None:
    """Run as `gradlab run` does; ends with 130 where it is interrupted."""
    try:
        with interrupts.all_like_ctrl_c():
            gradlab.run(RUN, runs=runs, plots=False)
    except KeyboardInterrupt:
        os._exit(130)


def try_kill_run(place: Path, seed: int) -> None:
    """A run is killed or ended at some moment: what it wrote is whole, its neighbour as it was, the next completes."""
    choose = Random(seed)
    neighbour = place / "neighbour"
    neighbour.mkdir()
    (neighbour / "mine.txt").write_text("somebody's")
    before = bytes_of(neighbour)
    number = child(lambda: _as_the_command(place))
    time.sleep(choose.uniform(0, 1.5))
    how = choose.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, how)
    assert ended(number) in (0, 130, -how)
    for folder in run_folder.find_runs(place):
        rows_without_gaps(folder)
    assert ended(child(lambda: gradlab.run(RUN, runs=place, plots=False))) == 0
    (folder,) = run_folder.find_runs(place)
    assert run_folder.read_summary(folder)["status"] == "completed"
    assert rows_without_gaps(folder) == 60
    assert bytes_of(neighbour) == before


def try_kill_watch(place: Path, seed: int) -> None:
    """A watched training is killed at some moment: the next one goes on where its rows end, and none is lost."""
    choose = Random(seed)
    folder = place / "watched"
    number = child(lambda: train_watched(folder, 10_000))
    time.sleep(choose.uniform(0.05, 1.2))
    os.kill(number, choose.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]))
    assert ended(number) < 0
    written = rows_without_gaps(folder) if run_folder.is_run(folder) else 0
    number = child(lambda: train_watched(folder, 20))
    while time.sleep(0.05) is None:  # it goes on for as long as its pictures are drawn
        if run_folder.is_run(folder) and _count(folder) >= written + 20:
            break
        gone, _ = os.waitpid(number, os.WNOHANG)
        if gone:
            number = 0
            break
    if number:
        os.kill(number, signal.SIGKILL)
        ended(number)
    assert rows_without_gaps(folder) == written + 20


def _count(folder: Path) -> int:
    return _answer_of(lambda path: gradlab.load_run(path).steps.height, folder)


@contextlib.contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of its own, of a size; for root on Linux only."""
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk], check=True, capture_output=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=False, capture_output=True)


def can_mount(place: Path) -> bool:
    """Whether this process may mount disks."""
    if sys.platform != "linux" or os.getuid() != 0:
        return False
    try:
        with small_disk(place, 64):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        shutil.rmtree(place / "disk", ignore_errors=True)


def try_full_disk(place: Path, seed: int) -> None:
    """The disk is full, or read-only, at some moment: one message, whole files, and later the run completes."""
    choose = Random(seed)
    with small_disk(place, choose.randrange(16, 400)) as disk:
        runs = disk / "runs"
        (disk / "mine.txt").write_text("somebody's")
        number = child(lambda: gradlab.run(RUN, runs=runs, plots=False))
        if choose.random() < 0.3:
            time.sleep(choose.uniform(0, 1))
            subprocess.run(["mount", "-o", "remount,ro", disk], check=False, capture_output=True)
        assert ended(number) in (0, 2), "no message"
        for folder in run_folder.find_runs(disk):
            rows_without_gaps(folder)
        subprocess.run(["mount", "-o", "remount,rw,size=50m", disk], check=True, capture_output=True)
        assert not _hidden(disk), _hidden(disk)
        assert (disk / "mine.txt").read_text() == "somebody's"
        assert ended(child(lambda: gradlab.run(RUN, runs=runs, plots=False))) == 0
        (folder,) = run_folder.find_runs(disk)
        assert rows_without_gaps(folder) == 60


def try_full_disk_of_a_watch(place: Path, seed: int) -> None:
    """The disk of a watched training is full, or read-only, at some moment: the training goes on to its end."""
    choose = Random(seed)
    with small_disk(place, choose.randrange(16, 200)) as disk:
        done = place / "done"
        (disk / "mine.txt").write_text("somebody's")

        def train() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                train_watched(disk / "watched", choose.randrange(50, 400))
            done.write_text("done")

        number = child(train)
        if choose.random() < 0.4:
            time.sleep(choose.uniform(0, 1))
            subprocess.run(["mount", "-o", "remount,ro", disk], check=False, capture_output=True)
        code = ended(number)
        assert code in (0, 2), f"exit code {code}"
        assert done.exists() or code == 2, "the training did not go on"
        subprocess.run(["mount", "-o", "remount,rw,size=50m", disk], check=True, capture_output=True)
        assert not _hidden(disk), _hidden(disk)
        assert (disk / "mine.txt").read_text() == "somebody's"
        if run_folder.is_run(disk / "watched"):
            rows_without_gaps(disk / "watched")


def try_together(place: Path, seed: int) -> None:
    """Processes write the same run at once, others read it meanwhile: one writes, and all that is read is whole."""
    choose = Random(seed)

    def write() -> None:
        with contextlib.suppress(RunBusyError):
            gradlab.run(RUN, runs=place, plots=False)

    def read() -> None:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            for folder in run_folder.find_runs(place):
                with contextlib.suppress(RunFolderError):  # it has begun, and has no summary yet
                    run = gradlab.load_run(folder)
                    steps = run.steps["step"].to_list()
                    assert steps == list(range(len(steps)))

    numbers = [child(write) for _ in range(choose.randrange(2, 4))] + [
        child(read) for _ in range(choose.randrange(1, 3))
    ]
    assert [ended(number) for number in numbers] == [0] * len(numbers)
    assert ended(child(write)) == 0
    (folder,) = run_folder.find_runs(place)
    assert rows_without_gaps(folder) == 60


TRIES: Sequence[tuple[str, Callable[[Path, int], None]]] = (
    ("kills of `run`", try_kill_run), ("kills of `watch`", try_kill_watch), ("full and read-only disks", try_full_disk),
    ("full and read-only disks of `watch`", try_full_disk_of_a_watch),
    ("processes at one folder", try_together),
)  # fmt: skip
