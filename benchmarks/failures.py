"""How often the cause of a training that fails is found, and how often a sound one is reported.

    python benchmarks/failures.py --markdown docs/diagnosis.md      # all cases, three seeds: what is reported
    python benchmarks/failures.py --half tuning --details           # what rules may be tuned on
    python benchmarks/failures.py --outcomes                        # only whether each case fails, and its repair works

Each case is a small loop of plain PyTorch around a network with one fault, and its repair (`benchmarks/failing/`).
Whether a case belongs to the held-out half is decided by its name.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path

import torch
from diagnosis import rate
from failing.case import Failure
from failing.judging import GRADLAB, Judged, judged
from failing.registry import CASES

BEGIN, END = "<!-- begin: python benchmarks/failures.py -->", "<!-- end: failures -->"
VERDICTS = ("right", "partly", "missed")


def examined(task: tuple[str, int]) -> Judged | str:
    """Train a case and its repair with a seed, by name; an error is returned as text."""
    torch.set_num_threads(1)
    name, seed = task
    try:
        return judged(CASES[name], seed)
    except Exception as error:  # one case that cannot run shall not take the others with it
        return f"{name}, seed {seed}: {type(error).__name__}: {error}"


def _told(answer: Judged | str) -> Judged | None:
    """Say on stderr that a case is done, or why it cannot be."""
    done = answer if isinstance(answer, str) else f"{answer.name}, seed {answer.seed}: {answer.verdict}"
    print(done, file=sys.stderr, flush=True)
    return answer if isinstance(answer, Judged) else None


def collect(tasks: Sequence[tuple[str, int]], workers: int) -> list[Judged]:
    """Results in the order of the tasks; one worker runs in this process."""
    if workers == 1:
        return [result for result in map(_told, map(examined, tasks)) if result is not None]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return [result for result in map(_told, pool.map(examined, tasks)) if result is not None]


def outcomes(task: tuple[str, int]) -> str:
    """Whether a case does what it says, without asking anybody."""
    torch.set_num_threads(1)
    case, seed = CASES[task[0]], task[1]
    reached = []
    for repaired in (False, True):
        torch.manual_seed(seed)
        reached.append(case.train(repaired, lambda *_: nullcontext()))
    word = "as meant" if case.as_meant(*reached) else "NOT AS MEANT"
    numbers = f"broken {reached[0]:.3g}, repaired {reached[1]:.3g} (works: {case.works:g})"
    return f"{case.name}, seed {seed}: {numbers} {word}"


def report(results: Sequence[Judged]) -> Iterator[str]:
    """The tables, as Markdown lines."""
    halves = {
        "tuning": [result for result in results if not result.case.held_out],
        "held out": [result for result in results if result.case.held_out],
    }
    names = {half: len({result.case.name for result in members}) for half, members in halves.items()}
    seeds = len({result.seed for result in results})
    yield f"{sum(names.values())} cases with {seeds} seeds each; {names['held out']} of them held out.\n"
    yield "| cases | tool | right | partly right | missed | repaired: error | repaired: any report |"
    yield "|---|---|---|---|---|---|---|"
    for half, members in halves.items():
        if members:
            yield from _rows(half, members)
    yield "\n| kind of network | cases | right | partly right | missed | repaired: any report |"
    yield "|---|---|---|---|---|---|"
    for family in dict.fromkeys(result.case.family for result in results):
        members = [result for result in results if result.case.family == family]
        counts = Counter(result.verdict for result in members)
        alarms = sum(bool(result.false_alarms) for result in members)
        cells = " | ".join(str(counts[verdict]) for verdict in VERDICTS)
        yield f"| {family} | {len(members)} | {cells} | {alarms} |"


def _rows(half: str, members: Sequence[Judged]) -> Iterator[str]:
    n = len(members)
    counts = Counter(result.verdict for result in members)
    errors = sum(any(each.severity == "error" for each in result.false_alarms) for result in members)
    alarms = sum(bool(result.false_alarms) for result in members)
    cells = [rate(counts["right"], n), counts["partly"], counts["missed"], rate(errors, n), rate(alarms, n)]
    yield f"| {half} | {GRADLAB} | {' | '.join(map(str, cells))} |"
    for tool in members[0].broken.others:
        counts = Counter(result.verdict_of(tool) for result in members)
        alarms = sum(bool(result.repaired.others[tool]) for result in members)
        cells = [rate(counts["right"], n), counts["partly"], counts["missed"], "", rate(alarms, n)]
        yield f"| | {tool} | {' | '.join(map(str, cells))} |"


def details(results: Sequence[Judged]) -> Iterator[str]:
    """What was said of each case that gradlab is not right about, and of each that is not as it is meant."""
    for result in results:
        wrong = result.verdict != "right" or result.false_alarms
        if not wrong and result.as_meant:
            continue
        meant = "" if result.as_meant else " · NOT AS MEANT"
        yield f"{result.case.name}, seed {result.seed}: {result.verdict}{meant}; {result.case.cause}"
        yield f"  broken reached {result.broken.reached:.3g}, repaired {result.repaired.reached:.3g}"
        yield from (
            f"    {each.severity} {each.rule} {each.modules[:4]} {each.message}" for each in result.broken.findings
        )
        yield from (f"    FALSE ALARM {each}" for each in result.false_alarms)


def write_markdown(path: Path, lines: Sequence[str], command: str) -> None:
    """Put the tables between the markers of a page."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} has no place for the tables: {BEGIN} … {END}")
    path.write_text("\n".join([before + begin, "", f"`{command}`", "", *lines, "", end + after]), encoding="utf-8")


def chosen_cases(half: str, names: Sequence[str]) -> list[Failure]:
    """The cases of a half, or those that are named."""
    if unknown := [name for name in names if name not in CASES]:
        raise SystemExit(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    if names:
        return [CASES[name] for name in names]
    return [case for case in CASES.values() if half == "all" or case.held_out == (half == "held-out")]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="cases; all of the half if none is named")
    parser.add_argument("--half", choices=["tuning", "held-out", "all"], default="all")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--outcomes", action="store_true", help="ask nobody; print what the trainings reach")
    parser.add_argument("--details", action="store_true", help="print what was said of each case that went wrong")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables between the markers of a page")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args(arguments)
    cases = chosen_cases(chosen.half, chosen.names)
    tasks = [(case.name, seed) for case in cases for seed in range(chosen.seeds)]
    if chosen.outcomes:
        for task in tasks:
            print(outcomes(task), flush=True)
        return
    results = collect(tasks, chosen.workers)
    if chosen.details:
        print(*details(results), sep="\n")
    lines = list(report(results))
    print(*lines, sep="\n")
    if chosen.markdown:
        given = sys.argv[1:] if arguments is None else arguments
        shown = [part for part in given if part not in ("--markdown", str(chosen.markdown))]
        write_markdown(chosen.markdown, lines, " ".join(["python benchmarks/failures.py", *shown]))


if __name__ == "__main__":
    main()
