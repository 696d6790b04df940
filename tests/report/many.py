"""A page of many made-up runs."""

import itertools
from pathlib import Path

from gradlab.claims.claim import Claim
from gradlab.claims.judging import judge
from gradlab.claims.measuring import Observation
from gradlab.config import Config
from gradlab.measures.headline import headline, numbers_of
from gradlab.measures.settings import settings_of
from gradlab.report.pages import runs_page
from gradlab.views.claims.picture import draw
from gradlab.views.comparison.comparison import compare
from gradlab.views.comparison.runs import FinishedRun, Runs, UnfinishedRun
from tests.views.synthetic import changed, make_run

CLAIM = Claim.model_validate(
    {
        "title": "Depth <b>matters</b>",
        "sentence": "Deep networks lose δ.",
        "expect": [{"says": "δ falls", "of": {}, "measure": "decades_per_layer_start", "below": -0.5}],
        "picture": [{"draw": "profile", "column": "delta_rms", "of": {}, "lines": "model.depth", "title": "δ"}],
    }
)


def made(name="made-up", verdict="healthy"):
    """Finished runs of three depths, two activations and two seeds, with their snapshots."""
    finished, snapshots = [], {}
    for depth, activation, seed in itertools.product((2, 3, 4), ("relu", "tanh"), (0, 1)):
        config = Config.model_validate(
            {"name": "made-up", "seed": seed, "model": {"depth": depth, "activation": activation}}
        )
        run = make_run(depth=depth, delta=lambda step, layer, depth: 10.0 ** (layer - depth + 0.01 * step))
        numbers = headline(run)
        run = changed(
            run,
            name=name,
            verdict=verdict,
            summary={"config": config.model_dump(mode="json"), "id": config.id, **numbers},
        )
        snapshots[config.id] = run
        finished.append(
            FinishedRun(
                path=Path(f"runs/{config.folder}"),
                id=config.id,
                status="completed",
                verdict=verdict,
                severity=3,
                settings={**settings_of(config), "name": name},
                numbers=numbers_of(run.summary),
                profiles={moment: numbers[f"log10_delta_{moment}"] for moment in ("start", "end")},
            )
        )
    return finished, snapshots


def page_of(claim=True, unfinished=(), **options):
    """The page, its comparison and its snapshots."""
    finished, snapshots = made(**options)
    runs = Runs(finished, list(unfinished))
    observations = [Observation.of(run) for run in snapshots.values()]
    verdict = judge(CLAIM, observations)
    comparison = compare(runs)
    judged = (verdict, draw(verdict, observations)) if claim else "2 of 12 runs are not finished"
    return runs_page("many", comparison, runs, snapshots, judged), comparison, snapshots


BROKEN = UnfinishedRun(Path("runs/<img src=x onerror=alert(1)>"), "failed", {}, "<script>alert(1)</script>")
