"""Measure every claim of a page: run its sweep, judge it, draw it, and write down what came out.

    python -m scripts.claims [--runs DIR] [--workers N] [--reduced] [NAME …]

NAME is a page (chapter11, glorot2010) or one of its sweeps (chapter11/04_he); all of them by default. Runs that are
finished are not run again. Numbers go to docs/<page>.json and pictures to docs/images/<page>/; the pages are made of
them, without running anything, by `python -m scripts.docs --fix`. `--reduced` takes each claim's small sweep, prints
what comes out, and writes no docs.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from gradlab import run_folder
from gradlab.claims.claim import Claim
from gradlab.claims.judging import Verdict, judge
from gradlab.claims.measuring import Observation
from gradlab.config.config import short_hash
from gradlab.errors import DatasetError, UserError
from gradlab.sweeps.grid import Plan, load_plan
from gradlab.sweeps.local import LocalEngine
from gradlab.sweeps.running import run_sweep
from gradlab.sweeps.sweep_file import written
from gradlab.views.claims.picture import save_picture
from gradlab.views.claims.report import as_json, print_verdict

ROOT = Path(__file__).parents[1]
PAGES = ("chapter11", "glorot2010")
"""Folders of `configs` whose sweeps make a page."""


def sources(page: str) -> list[Path]:
    """The sweep files of a page, in its order."""
    return sorted((ROOT / "configs" / page).glob("*.yaml"))


def results_file(page: str) -> Path:
    """Where a page's numbers are kept."""
    return ROOT / "docs" / f"{page}.json"


def load(source: Path, *, reduced: bool = False) -> Plan:
    """The plan of a sweep that makes a claim."""
    plan = load_plan(source)
    if reduced and plan.claim is not None:
        axes = plan.claim.reduced.items()
        return load_plan(
            source, [f"{key}={written(values).removeprefix('[').removesuffix(']')}" for key, values in axes]
        )
    return plan


def fingerprint(plan: Plan) -> str:
    """Of what the numbers depend on: the runs, and what is expected of them where that differs from the defaults."""
    assert plan.claim is not None
    expect = [dict(one.non_defaults) for one in plan.claim.expect]
    return short_hash([sorted(point.config.id for point in plan.points), expect])


def judged(plan: Plan, claim: Claim, runs: Path) -> tuple[Verdict, list[Observation]]:
    """The verdict on finished runs."""
    observations = [
        Observation.of(run_folder.read_tables(run_folder.run_path(runs, point.config))) for point in plan.points
    ]
    return judge(claim, observations), observations


def measure(source: Path, runs: Path, workers: int | None, picture: Path) -> dict[str, Any]:
    """Run a claim's sweep and judge it.

    Returns:
        an entry of the page's JSON.

    Raises:
        UserError: a run has failed, or Ctrl-C ended the sweep.
    """
    plan = load(source)
    assert plan.claim is not None
    entry: dict[str, Any] = {"fingerprint": fingerprint(plan), "runs": len(plan.points)}
    begun = monotonic()
    try:
        report = run_sweep(plan.points, LocalEngine(workers), runs=runs, listener=Quiet())
    except DatasetError as error:
        return {**entry, "not_run": error.message}
    if report.failed or report.interrupted:
        raise UserError(f"{source}: not every run is finished")
    seconds = monotonic() - begun
    verdict, observations = judged(plan, plan.claim, runs)
    print_verdict(verdict, Console())
    save_picture(verdict, observations, picture)
    run_seconds = sum(float(one.run.summary["seconds"]) for one in observations)
    wall = {"wall_seconds": round(seconds, 1)} if len(report.ran) == len(plan.points) else {}
    return {**entry, **wall, "run_seconds": round(run_seconds, 1), **as_json(verdict)}


class Quiet:
    """A listener that prints a dot a run."""

    def planned(self, count: int) -> None:
        """So many points are to be run."""
        print(f"{count} runs ", end="", file=sys.stderr)

    def started(self, worker: int, point: object) -> None:
        """A worker has begun a point."""

    def ended(self, worker: int, point: object, state: object) -> None:
        """It has ended it."""
        print(".", end="", file=sys.stderr, flush=True)


def measure_and_keep(page: str, source: Path, runs: Path, workers: int | None) -> None:
    """Measure a sweep of a page, and put what came out into the page's JSON."""
    entry = measure(source, runs / page, workers, ROOT / "docs" / "images" / page / f"{source.stem}.png")
    file = results_file(page)
    entries = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    before = entries.get(source.stem, {})
    if before.get("fingerprint") == entry["fingerprint"] and "wall_seconds" in before:
        entry.setdefault("wall_seconds", before["wall_seconds"])  # of when the runs were made
    entries[source.stem] = {**entry, "measured_on": date.today().isoformat()}
    known = [path.stem for path in sources(page)]
    kept = {name: entries[name] for name in known if name in entries}
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def measure_reduced(source: Path, runs: Path) -> tuple[Verdict, list[Observation]]:
    """Run a claim's small sweep in this process, and judge it."""
    from gradlab import experiment

    plan = load(source, reduced=True)
    if plan.claim is None:
        raise UserError(f"{source}: the reduced sweep leaves out what the claim speaks of: {plan.not_judged}")
    for point in plan.points:
        experiment.run(point.config, runs=runs, plots=False)
    return judged(plan, plan.claim, runs)


def main() -> int:
    """Measure what is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--reduced", action="store_true")
    arguments = parser.parse_args()
    known = [(page, source) for page in PAGES for source in sources(page)]
    names = {name for page, source in known for name in (page, f"{page}/{source.stem}")}
    if unknown := set(arguments.names) - names:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(sorted(names))}")
    for page, source in known:
        name = f"{page}/{source.stem}"
        if arguments.names and not {page, name} & set(arguments.names):
            continue
        print(f"── {name}", flush=True)
        begun = monotonic()
        if arguments.reduced:
            print_verdict(measure_reduced(source, arguments.runs / f"{page}-reduced")[0], Console())
        else:
            measure_and_keep(page, source, arguments.runs, arguments.workers)
        print(f"{monotonic() - begun:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
