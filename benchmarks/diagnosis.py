"""How often the diagnosis is wrong, and how often other tools' thresholds are on the same networks.

    python benchmarks/diagnosis.py --markdown docs/diagnosis.md     # the held-out half: what is reported
    python benchmarks/diagnosis.py --half tuning --errors           # what thresholds may be tuned on
    python benchmarks/diagnosis.py --quick

Every network is trained and labelled without the rules: by theory, which knows the config and no measurement, and by
outcome, how well it learned. docs/diagnosis.md says how each rule's label is made. Progress goes to stderr.
"""

import argparse
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import torch
from diagnosis_grid import Case, cases
from diagnosis_labels import Evidence, evidence, labels, reached
from diagnosis_runs import train
from diagnosis_tools import TOOLS, verdicts

from gradlab.diagnosis import RULES, NotApplicable, examine

GRADLAB = "gradlab"
BEGIN, END = "<!-- begin: python benchmarks/diagnosis.py -->", "<!-- end -->"
GRADIENTS = ("vanishing-gradient", "exploding-gradient")


@dataclass(frozen=True)
class Result:
    """A network with what is known of it and what everybody said.

    Attributes:
        evidence: what the labels are made of.
        said: tool ─► rule ─► whether it reported the trouble, None where it did not look; gradlab among the tools, of
            which findings that are only worth knowing (`info`) do not count.
        messages: gradlab's, to look at errors.
        at_start: gradlab's rules that saw the trouble in the first record already.
    """

    case: Case
    evidence: Evidence
    said: dict[str, dict[str, bool | None]]
    messages: tuple[str, ...]
    at_start: frozenset[str] = frozenset()


def examined(case: Case) -> Result:
    """Train a network and ask everybody."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = train(case)
        answers = examine(trained.tables)
    own: dict[str, bool | None] = {}
    messages, at_start = [], set()
    for rule, answer in answers.items():
        findings = [] if isinstance(answer, NotApplicable) else answer
        acts = [finding for finding in findings if finding.severity != "info"]
        own[rule] = None if isinstance(answer, NotApplicable) else bool(acts)
        at_start |= {rule for finding in acts if finding.steps and finding.steps[0] == 0}
        messages += [f"{finding.severity} {rule}: {finding.message}" for finding in findings]
    said = {GRADLAB: own, **verdicts(trained.trace)}
    return Result(case, evidence(case, trained), said, tuple(messages), frozenset(at_start))


def collect(networks: Sequence[Case], workers: int) -> list[Result]:
    """Results in the order of the networks; one worker runs in this process."""
    if workers == 1:
        return list(_counted(map(examined, networks), len(networks)))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(_counted(pool.map(examined, networks, chunksize=4), len(networks)))


def _counted(results: Iterable[Result], total: int) -> Iterator[Result]:
    for number, result in enumerate(results, start=1):
        if number % 20 == 0 or number == total:
            print(f"{number} of {total} networks", file=sys.stderr, flush=True)
        yield result


# -------------------------------------------------------------------------------------------------------------- rates


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a proportion, 95 %: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)."""
    if not n:
        return 0.0, 1.0
    p = hits / n
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)
    return (0.0 if hits == 0 else low), (1.0 if hits == n else high)


@dataclass(frozen=True)
class Rates:
    """Hits among the networks that have a trouble, false alarms among those that do not."""

    hits: int
    positives: int
    alarms: int
    negatives: int

    @property
    def true_positive(self) -> str:
        """As `0.98 [0.94, 0.99] of 120`."""
        return rate(self.hits, self.positives)

    @property
    def false_positive(self) -> str:
        """The same of false alarms."""
        return rate(self.alarms, self.negatives)


def rate(hits: int, n: int) -> str:
    """A proportion with its interval."""
    if not n:
        return "–"
    low, high = wilson(hits, n)
    return f"{hits / n:.3f} [{low:.3f}, {high:.3f}] of {n}"


Label = Callable[[Result], bool | None]


def rates(results: Iterable[Result], tool: str, rule: str, label: Label) -> Rates:
    """How often a tool is right about a trouble; networks without a label are left out.

    A rule that does not apply to a network has not reported it.
    """
    counts = Counter((label(result), bool(result.said[tool].get(rule))) for result in results)
    return Rates(
        hits=counts[True, True],
        positives=counts[True, True] + counts[True, False],
        alarms=counts[False, True],
        negatives=counts[False, True] + counts[False, False],
    )


# ------------------------------------------------------------------------------------------------------------- report


def report(results: Sequence[Result]) -> Iterator[str]:
    """The tables, as Markdown lines."""
    best = reached([result.evidence for result in results])
    learned = {id(result): well for result, well in zip(results, best, strict=True)}

    def label(rule: str, result: Result) -> bool | None:
        return labels(result.case, result.evidence, learned[id(result)])[rule]

    yield from _counts(results, learned)
    yield "\n**Gradients, labelled by theory**\n"
    yield from _beside(results, GRADIENTS, label)
    yield "\n**The same, where theory and outcome agree**: predicted trouble and learned too little, or predicted"
    yield "health and learned\n"
    yield from _beside(results, GRADIENTS, lambda rule, result: _agree(label(rule, result), learned[id(result)]))
    yield "\n**What gradlab says of gradients, by label and by outcome alone**\n"
    yield from _confusion(results, learned)
    yield "\n**Vanishing gradient by the scale of the loss** (true positive rate · false positive rate)\n"
    yield from _by_scale(results, partial(label, "vanishing-gradient"))
    yield "\n**Vanishing and exploding gradient by the predicted range of δ**: how often gradlab reports the trouble\n"
    yield from _by_range(results, label)
    yield "\n**Every other rule**\n"
    yield from _beside(results, [rule for rule in RULES if rule not in GRADIENTS], label)
    yield "\n**Networks of the plain set that theory predicts to be healthy and that learned**: how many are reported"
    yield "for anything at all\n"
    yield from _healthy([result for result in results if _sound(result, learned[id(result)])])


def _agree(theory: bool | None, learned: bool) -> bool | None:
    return None if theory is None or theory == learned else theory


def _sound(result: Result, learned: bool) -> bool:
    return result.case.group == "plain" and result.evidence.kind == "healthy" and learned


def _counts(results: Sequence[Result], learned: dict[int, bool]) -> Iterator[str]:
    """How many networks of each label."""
    yield f"{len(results)} networks, {sum(result.case.group == 'plain' for result in results)} of them plain.\n"
    yield "| predicted range of δ | networks | of these learned |"
    yield "|---|---|---|"
    kinds = {
        "vanish": "≤ −2 decades: vanishes",
        "explode": "≥ 2 decades: explodes",
        "healthy": "less than 1 decade: healthy",
        "gap": "between 1 and 2 decades: left out",
        "none": "no prediction, or a loose one: left out",
        "rate": "learning rate 10 or more times too large: left out",
    }
    for kind, words in kinds.items():
        members = [result for result in results if result.evidence.kind == kind]
        yield f"| {words} | {len(members)} | {sum(learned[id(result)] for result in members)} |"


def _beside(
    results: Sequence[Result], rules: Iterable[str], label: Callable[[str, Result], bool | None]
) -> Iterator[str]:
    """Every rule, gradlab first, then the tools that have one like it."""
    yield "| trouble | tool | true positive rate | false positive rate |"
    yield "|---|---|---|---|"
    for rule in rules:
        for tool in (GRADLAB, *(tool for tool, checks in TOOLS.items() if rule in checks)):
            found = rates(results, tool, rule, partial(label, rule))
            name = f"**{rule}**" if tool == GRADLAB else ""
            yield f"| {name} | {tool} | {found.true_positive} | {found.false_positive} |"


def _confusion(results: Sequence[Result], learned: dict[int, bool]) -> Iterator[str]:
    """Both rules on every group; in brackets, how many they found in the first record already."""
    plain = [result for result in results if result.case.group == "plain"]
    groups = {
        "predicted to vanish": [result for result in results if result.evidence.kind == "vanish"],
        "predicted to explode": [result for result in results if result.evidence.kind == "explode"],
        "predicted to be healthy": [result for result in results if result.evidence.kind == "healthy"],
        "in between, learned": [result for result in results if result.evidence.kind == "gap" and learned[id(result)]],
        "in between, did not learn": [
            result for result in results if result.evidence.kind == "gap" and not learned[id(result)]
        ],
        "plain, learned, whatever was predicted": [result for result in plain if learned[id(result)]],
        "plain, did not learn, whatever was predicted": [result for result in plain if not learned[id(result)]],
    }
    yield f"| networks | how many | {' | '.join(GRADIENTS)} |"
    yield "|---|---|---|---|"
    for name, members in groups.items():
        cells = [
            f"{sum(bool(result.said[GRADLAB][rule]) for result in members)} "
            f"({sum(rule in result.at_start for result in members)})"
            for rule in GRADIENTS
        ]
        yield f"| {name} | {len(members)} | {' | '.join(cells)} |"


def _by_scale(results: Sequence[Result], label: Label) -> Iterator[str]:
    groups = {
        "mean × 1e-4": ("mean", 1e-4),
        "mean × 1": ("mean", 1.0),
        "mean × 1e4": ("mean", 1e4),
        "sum × 1e-4": ("sum", 1e-4),
        "sum × 1": ("sum", 1.0),
        "sum × 1e4": ("sum", 1e4),
    }
    yield f"| tool | {' | '.join(groups)} |"
    yield f"|---|{'---|' * len(groups)}"
    for tool in (GRADLAB, *TOOLS):
        cells = []
        for group in groups.values():
            members = [result for result in results if (result.case.reduction, result.case.scale) == group]
            found = rates(members, tool, "vanishing-gradient", label)
            cells.append(f"{_share(found.hits, found.positives)} · {_share(found.alarms, found.negatives)}")
        yield f"| {tool} | {' | '.join(cells)} |"


def _share(hits: int, n: int) -> str:
    return f"{hits / n:.2f}" if n else "–"


def _by_range(results: Sequence[Result], label: Callable[[str, Result], bool | None]) -> Iterator[str]:
    edges = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, math.inf)
    yield "| predicted range, decades | shrinking δ: vanishing-gradient | growing δ: exploding-gradient |"
    yield "|---|---|---|"
    for low, high in pairwise(edges):
        cells = []
        for rule, sign in zip(GRADIENTS, (-1, 1), strict=True):
            members = [
                result
                for result in results
                if result.evidence.kind not in ("none", "rate") and low <= sign * result.evidence.predicted_range < high
            ]
            cells.append(rate(sum(bool(result.said[GRADLAB][rule]) for result in members), len(members)))
        yield f"| {low:g} to {high:g} | {' | '.join(cells)} |".replace(" to inf", " and more")


def _healthy(sound: Sequence[Result]) -> Iterator[str]:
    yield "| tool | reported | most often for |"
    yield "|---|---|---|"
    for tool in (GRADLAB, *TOOLS):
        reasons = Counter(rule for result in sound for rule, said in result.said[tool].items() if said)
        flagged = sum(any(result.said[tool].values()) for result in sound)
        often = ", ".join(f"{rule} ({count})" for rule, count in reasons.most_common(3))
        yield f"| {tool} | {rate(flagged, len(sound))} | {often or 'nothing'} |"


def errors(results: Sequence[Result]) -> Iterator[str]:
    """Each network that gradlab is wrong about, with the numbers that it is labelled by."""
    best = reached([result.evidence for result in results])
    for rule in RULES:
        for result, learned in zip(results, best, strict=True):
            label = labels(result.case, result.evidence, learned)[rule]
            if label is None or label == bool(result.said[GRADLAB][rule]):
                continue
            yield f"{'missed' if label else 'false'} {rule} · {result.case}"
            yield f"    {result.evidence}"
            yield from (f"    {message}" for message in result.messages)


def write_markdown(path: Path, lines: Sequence[str], command: str, begins: str = BEGIN) -> None:
    """Put the tables between the markers of a page."""
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(begins)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} has no place for the tables: {begins} … {END}")
    path.write_text("\n".join([before + begin, "", f"`{command}`", "", *lines, "", end + after]), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=["tuning", "held-out"], default="held-out")
    parser.add_argument("--quick", action="store_true", help="24 networks, which say nothing")
    parser.add_argument("--errors", action="store_true", help="list each network that gradlab is wrong about")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables between the markers of a page")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args(arguments)
    networks = cases(chosen.half)
    if chosen.quick:  # the shallowest, evenly spread over the ways to build one
        networks = sorted(networks, key=lambda case: (case.config.model.depth, case.group))[::6][:24]
    results = collect(networks, chosen.workers)
    if chosen.errors:
        print(*errors(results), sep="\n", file=sys.stderr)
    lines = list(report(results))
    print(*lines, sep="\n")
    if chosen.markdown:
        command = f"python benchmarks/diagnosis.py --half {chosen.half}{' --quick' if chosen.quick else ''}"
        write_markdown(chosen.markdown, lines, command)


if __name__ == "__main__":
    main()
