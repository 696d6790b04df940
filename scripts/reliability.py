"""Attack gradlab many times in many ways, and count what it survives.

    python -m scripts.reliability                          # every kind, as often as docs/reliability.md has it: hours
    python -m scripts.reliability configs claims --tries 500
    python -m scripts.reliability "kills of `run`" --first 1000 --tries 50 --dry-run

Each try has a number from which everything random in it follows, and is made in a process that does not outlive a
hundred tries; a try that takes longer than ten minutes hangs. What was tried goes into docs/reliability.json, of which
`python -m scripts.docs --fix` makes the table; tries that begin where the counted ones end are added to them, and
`--dry-run` writes nothing. Exits with 1 if a try was not survived.
"""

import argparse
import importlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "reliability.json"
AT_ONCE = 100
PATIENCE = 600


@dataclass(frozen=True)
class Kind:
    """A kind of attack.

    Attributes:
        module: of `tests.faults`, whose `TRIES` holds it.
        tries: how often the documentation has it.
        promise: what must hold after each try.
    """

    module: str
    tries: int
    promise: str


READ = "read as far as they go, or one message; nothing outside the folder changes; good runs beside them are compared"
KINDS: Mapping[str, Kind] = {
    "damaged folders": Kind("folders", 6000, READ),
    "damaged folders, drawn and exported": Kind("folders", 200, READ),
    "configs": Kind("texts", 2000, "understood, or refused with one message"),
    "sweeps": Kind("texts", 2000, "planned, or refused with one message"),
    "claims": Kind("texts", 2000, "understood, or refused with one message"),
    "conditions": Kind("texts", 2000, "true or false of a run, or refused with one message"),
    "data files": Kind("texts", 1000, "loaded, or refused with one message"),
    "links in a run folder": Kind("links", 200, "nothing outside is written, changed or removed"),
    "folders of the user": Kind("links", 500, "refused, and every byte as it was"),
    "kills of `run`": Kind("processes", 100, "what was written is whole; the same command completes it"),
    "kills of `watch`": Kind("processes", 100, "the next process goes on where the rows end; no row is lost"),
    "kills of `sweep`": Kind("sweeps", 40, "no process is left; the same command completes every point"),
    "full and read-only disks": Kind("processes", 60, "one message, whole files; later the command completes the run"),
    "full and read-only disks of `watch`": Kind("processes", 60, "the training goes on; what was written is whole"),
    "processes at one folder": Kind("processes", 40, "one writes, and what others read meanwhile is whole"),
    "limits of the system": Kind("scarcity", 150, "done, or one message: no traceback, no files left over"),
    "outputs that fail": Kind("scarcity", 150, "done, or one message; nothing that a terminal obeys"),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------- one worker process


def work(kind: str, first: int, count: int, place: Path) -> None:
    """Make some tries in this process, and print a line for each: its number, and what went wrong."""
    module = importlib.import_module(f"tests.faults.{KINDS[kind].module}")
    act = dict(module.TRIES)[kind]
    said = os.fdopen(os.dup(1), "w")  # what the tries print themselves is no answer
    os.dup2(2, 1)
    for seed in range(first, first + count):
        here = place / str(seed)
        here.mkdir()
        fault = ""
        try:
            act(here, seed)
        except BaseException as error:
            fault = " | ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        print(json.dumps([seed, fault]), file=said, flush=True)
        shutil.rmtree(here, ignore_errors=True)


def tried(kind: str, first: int, count: int) -> Iterator[tuple[int, str]]:
    """Numbers of tries, and what went wrong in each; a process that dies or hangs has failed the try it was at."""
    while count > 0:
        some = min(count, AT_ONCE)
        with tempfile.TemporaryDirectory(prefix="gradlab-faults-", ignore_cleanup_errors=True) as place:
            done = 0
            for seed, fault in _answers(kind, first, some, Path(place)):
                done += 1
                yield seed, fault
        if done < some:
            yield first + done, "the process died, or hung"
            done += 1
        first, count = first + done, count - done


def _answers(kind: str, first: int, count: int, place: Path) -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-m", "scripts.reliability", kind, "--work", str(place)]
    command += ["--first", str(first), "--tries", str(count)]
    worker = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert worker.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        rest, until = b"", monotonic() + PATIENCE
        while selector.select(max(0.0, until - monotonic())):
            more = os.read(worker.stdout.fileno(), 2**16)
            if not more:
                break
            *lines, rest = (rest + more).split(b"\n")
            for line in lines:
                until = monotonic() + PATIENCE
                seed, fault = json.loads(line)
                yield seed, fault
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()


# ------------------------------------------------------------------------------------------------------------- results


def report(kinds: Sequence[str], first: int, tries: int | None, *, keep: bool) -> int:
    """Make the tries of some kinds, say what comes of them, and keep the counts."""
    faults = 0
    for kind in kinds:
        count = KINDS[kind].tries if tries is None else tries
        broken = []
        for seed, fault in tried(kind, first, count):
            if fault:
                broken.append(seed)
                print(f"{kind}, try {seed}: {fault[:2000]}", file=sys.stderr, flush=True)
        print(f"{kind}: {count} tried, {count - len(broken)} survived", flush=True)
        faults += len(broken)
        if keep:
            results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
            before = results.get(kind) if first else None
            tried_before, survived = (before["tried"], before["survived"]) if before else (0, 0)
            if tried_before == first:
                results[kind] = {"tried": first + count, "survived": survived + count - len(broken)}
            text = json.dumps({name: results[name] for name in KINDS if name in results}, indent=2)
            RESULTS.write_text(text + "\n", encoding="utf-8")
    return faults


def table() -> Iterator[str]:
    """The table of docs/reliability.md, as Markdown lines."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    yield "| attack | tried | survived | what must hold |"
    yield "|---|---:|---:|---|"
    for kind, result in results.items():
        yield f"| {kind} | {result['tried']:,} | {result['survived']:,} | {KINDS[kind].promise} |"
    total = {name: sum(result[name] for result in results.values()) for name in ("tried", "survived")}
    yield f"| together | {total['tried']:,} | {total['survived']:,} | |"


def main() -> int:
    """Make tries, in this process where it is a worker's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"of: {', '.join(KINDS)}")
    parser.add_argument("--tries", type=int, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first try")
    parser.add_argument("--dry-run", action="store_true", help="write no results")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    for kind in chosen.kinds:
        if kind not in KINDS:
            parser.error(f"there is no kind {kind!r}; kinds are: {', '.join(KINDS)}")
    if chosen.work is not None:
        work(chosen.kinds[0], chosen.first, chosen.tries, chosen.work)
        return 0
    return bool(report(chosen.kinds or list(KINDS), chosen.first, chosen.tries, keep=not chosen.dry_run))


if __name__ == "__main__":
    sys.exit(main())
