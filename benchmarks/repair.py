"""How many sick networks `gradlab fix` repairs, at what cost, and how many repairs were none on fresh seeds.

    python benchmarks/repair.py --keep repairs.jsonl --markdown docs/repair.md    # all of the held-out half: hours
    python benchmarks/repair.py --sick 40 --keep repairs.jsonl

The networks are those of the held-out half of the diagnosis benchmark (`diagnosis_grid.py`) as their configs say, in a
fixed random order, so that any first part of them is a sample. A network is sick if gradlab finds an error in it on
three seeds. For each sick one that is not repaired, every config within reach of the remedies is trained, without
asking the rules (`WITHIN_REACH`): if none learns, nothing could have been proven. Networks that were done before are
read from the file of `--keep`. Progress goes to stderr.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from diagnosis import rate, write_markdown
from diagnosis_grid import cases

import gradlab
from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.errors import ConfigError
from gradlab.fixing import outcome_of
from gradlab.repair.search import Repair, search
from gradlab.repair.trial import Outcome, Trial, prove
from gradlab.sweeps.states import look_up

BEGIN = "<!-- begin: python benchmarks/repair.py -->"
SEEDS = 3
FRESH = 1_000_000
"""Added to a seed, for runs that the search has not seen."""
LEARNED = 2.0
"""A network learns if its test accuracy is so many times that of the most frequent class."""
WITHIN_REACH = (
    ("", "model.batch_norm=before", "model.batch_norm=after"),
    (
        "",
        "model.activation=relu model.initializer=he_normal",
        "model.initializer=he_normal",
        "model.initializer=glorot_normal",
    ),
    (
        "",
        "train.learning_rate=×0.1",
        "train.learning_rate=×0.01",
        "train.learning_rate=×10",
        "train.learning_rate=×100",
    ),
    ("", "train.clip_gradient_norm=1.0"),
)
"""What remedies change: every combination is trained."""


def sick_order() -> list[Config]:
    """The networks, each once, in a fixed random order."""
    configs = {case.config.id: case.config for case in cases("held-out")}
    order = np.random.default_rng(0).permutation(len(configs))
    return [list(configs.values())[place] for place in order]


def examined(config: Config) -> dict[str, Any]:
    """Look for a repair of a network, and try it on fresh seeds."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        run_all = partial(_run_all, Path(folder))
        repair = search(config, SEEDS, run_all)
        result = {"id": config.id, "config": config.model_dump(mode="json"), **_result(repair)}
        if result["sick"] and repair.proven:
            result["fresh_gain"] = _fresh_gain(repair, run_all)
        elif result["sick"]:
            result["within_reach"] = _within_reach(config, run_all)
    return result


def _run_all(runs: Path, todo: Sequence[tuple[Trial, Config]]) -> list[Outcome]:
    """Train here, in this process: the benchmark has a process for each core already."""
    for _, config in todo:
        if not look_up(runs, config).settled:
            gradlab.run(config, runs=runs, plots=False)
    return [outcome_of(look_up(runs, config)) for _, config in todo]


def _result(repair: Repair) -> dict[str, Any]:
    gain = prove(repair.before, repair.after).gain.value if repair.proven else None
    closest = repair.closest
    return {
        "sick": repair.before.errors > 0,
        "found": [finding.rule for finding in repair.before.findings],
        "proven": repair.proven,
        "remedies": repair.after.remedies or (closest.remedies if closest else ""),
        "left": [finding.rule for finding in repair.after.findings],
        "gain": gain,
        "runs": repair.runs,
    }


def _fresh_gain(repair: Repair, run_all: Any) -> float:
    """The mean difference of the test accuracy that a repair makes on seeds that the search has not seen."""
    fresh = []
    for trial in (repair.before, repair.after):
        config = trial.configs[0]
        configs = [load_config(config, {"seed": config.seed + FRESH + number}) for number in range(SEEDS)]
        outcomes = run_all([(trial, each) for each in configs])
        fresh.append(statistics.fmean(outcome.numbers.get("test_accuracy", 0.0) for outcome in outcomes))
    return fresh[1] - fresh[0]


def _within_reach(config: Config, run_all: Any) -> str:
    """A combination of remedies with which the network learns, found by trying all; empty where none does."""
    chance = config.data.facts.commonest or 1 / (config.data.facts.classes or 10)
    for combination in itertools.product(*WITHIN_REACH):
        words = " ".join(filter(None, combination)).split()
        overrides = [_rate(word, config) for word in words]
        try:
            changed = load_config(config, overrides)
        except ConfigError:
            continue
        accuracy = run_all([(Trial((), (changed,)), changed)])[0].numbers.get("test_accuracy", 0.0)
        if words and accuracy > LEARNED * chance:
            return " ".join(overrides)
    return ""


def _rate(word: str, config: Config) -> str:
    key, _, factor = word.partition("=×")
    return f"{key}={config.train.learning_rate * float(factor):.2g}" if factor else word


def report(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The tables."""
    sick = [result for result in results if result["sick"]]
    repaired = [result for result in sick if result["proven"]]
    not_repaired = [result for result in sick if not result["proven"]]
    possible = len(repaired) + sum(bool(result["within_reach"]) for result in not_repaired)
    no_better = sum(result["fresh_gain"] <= 0 for result in repaired)
    yield "| | |"
    yield "|---|---|"
    yield f"| networks | {len(results)}, of which {len(sick)} sick |"
    yield f"| repaired, of the sick | {rate(len(repaired), len(sick))} |"
    yield f"| repaired, of those that can learn | {rate(len(repaired), possible)} |"
    if repaired:
        gains, costs = [result["gain"] for result in repaired], [result["runs"] for result in repaired]
        yield f"| median gain in test accuracy | {statistics.median(gains):.3f} |"
        yield f"| median gain on fresh seeds | {statistics.median(result['fresh_gain'] for result in repaired):.3f} |"
        yield f"| no better on fresh seeds | {rate(no_better, len(repaired))} |"
        yield f"| runs that a repair took, median and most | {statistics.median(costs):g}, {max(costs)} |"
        healthy = sum(not result["left"] for result in repaired)
        yield f"| nothing found any more, of the repaired | {rate(healthy, len(repaired))} |"
    yield ""
    yield "Sick networks by their first finding, and how many of them were repaired:"
    yield ""
    yield "| first finding | sick | repaired |"
    yield "|---|---|---|"
    for rule in sorted({result["found"][0] for result in sick}):
        those = [result for result in sick if result["found"][0] == rule]
        yield f"| `{rule}` | {len(those)} | {sum(result['proven'] for result in those)} |"


def failures(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What was not repaired although it can learn, and what was no better on fresh seeds."""
    for result in results:
        model = result["config"]["model"]
        about = f"{model['activation']} {model['initializer']} L{model['depth']} n{model['width']}: {result['found']}"
        if result["sick"] and not result["proven"] and result["within_reach"]:
            yield f"not repaired · {about} · closest {result['remedies']!r} · learns with {result['within_reach']!r}"
        if result.get("fresh_gain", 1.0) <= 0:
            yield f"no better on fresh seeds · {about} · {result['remedies']} · {result['fresh_gain']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sick", type=int, default=10**6, metavar="N", help="stop after so many sick networks")
    parser.add_argument(
        "--keep", type=Path, default=None, metavar="FILE", help="results, a line a network, to go on from"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables between the markers of a page")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    known = {}
    if chosen.keep and chosen.keep.exists():
        known = {(one := json.loads(line))["id"]: one for line in chosen.keep.read_text().splitlines()}
    results = list(known.values())
    todo = iter([config for config in sick_order() if config.id not in known])
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
        while sum(result["sick"] for result in results) < chosen.sick and (batch := list(itertools.islice(todo, 4))):
            for result in pool.map(examined, batch):
                results.append(result)
                print(f"{len(results)}  {result['found']} ─ {result['remedies']} ─ {result['proven']}", file=sys.stderr)
                if chosen.keep:
                    with chosen.keep.open("a") as file:
                        file.write(json.dumps(result) + "\n")
    lines = list(report(results))
    print(*failures(results), sep="\n", file=sys.stderr)
    print(*lines, sep="\n")
    if chosen.markdown:
        write_markdown(chosen.markdown, lines, "python benchmarks/repair.py", BEGIN)


if __name__ == "__main__":
    main()
