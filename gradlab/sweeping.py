"""`gradlab.sweep` and `gradlab.predict`: what the commands of these names do, from Python."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradlab import datasets, run_folder, theory
from gradlab.claims.judging import Verdict, judge
from gradlab.claims.measuring import Observation
from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.results import Run, load_run
from gradlab.sweeps.command import ProgressListener, make_engine, point_lines
from gradlab.sweeps.grid import load_plan
from gradlab.sweeps.running import Report, run_sweep
from gradlab.sweeps.sweep_file import written
from gradlab.views import terminal
from gradlab.views.sweep import SweepProgress, sweep_progress


@dataclass(frozen=True)
class Sweep:
    """A sweep that has ended.

    Attributes:
        runs: its finished runs, in the order of its axes.
        report: the state of every point: what failed, and whether Ctrl-C ended the sweep.
        verdict: the verdict on its claim; None where it makes none, or where runs are missing.
    """

    runs: tuple[Run, ...]
    report: Report
    verdict: Verdict | None


def sweep(
    source: str | Path,
    overrides: Sequence[str] | Mapping[str, Sequence[Any]] = (),
    *,
    runs: str | Path = "runs",
    workers: int | None = None,
    engine: str = "local",
    plots: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> Sweep:
    """Run every combination of settings that is not yet done, several at once, and return all of them.

    Workers are processes that import the program which started them, so that a script calls this under
    `if __name__ == "__main__":`.

    Args:
        source: a sweep file, or a config to vary.
        overrides: `["model.depth=5,10", "seed=range(0,3)"]`, or `{"model.depth": [5, 10]}`.
        runs: where run folders are.
        workers: runs at once; by default one for each core.
        engine: `local`, or `ray`.
        plots: draw pictures into every run folder.
        retry_failed: run again what has failed before.
        progress: show the progress, where there is a terminal.

    Raises:
        ConfigError: the sweep, or the config of a point, is wrong.
        DatasetError: data from outside the package cannot be loaded.
        RunFolderError: no run folder can be written in `runs`.
    """
    if isinstance(overrides, Mapping):
        overrides = [f"{key}={','.join(map(written, values))}" for key, values in overrides.items()]
    plan = load_plan(Path(source), overrides)
    with ExitStack() as stack:
        view = stack.enter_context(sweep_progress()) if progress else SweepProgress(terminal.console(errors=True))
        listener = ProgressListener(view, point_lines(plan.points))
        report = run_sweep(
            plan.points, make_engine(engine, workers), runs=Path(runs), listener=listener, plots=plots,
            retry_failed=retry_failed,
        )  # fmt: skip
    states = [report.states[point.config.id] for point in plan.points]
    done = tuple(load_run(state.path) for state in states if state.status in run_folder.FINISHED)
    judged = plan.claim is not None and len(done) == len(states)
    verdict = judge(plan.claim, [Observation.of(run.tables) for run in done]) if judged and plan.claim else None
    return Sweep(done, report, verdict)


def predict(
    source: str | Path | Mapping[str, Any] | Config, overrides: Sequence[str] | Mapping[str, Any] = ()
) -> theory.Prediction:
    """Say what theory predicts for a configured network on its data, without training it.

    Args:
        source: a config file, a dict of the same form, or a Config.
        overrides: `["model.depth=50"]` or `{"model.depth": 50}`.

    Returns:
        The prediction: `layers`, `decades_per_layer`, `outlook`; `not_covered` says why there is none.

    Raises:
        ConfigError: the config is wrong.
        DatasetError: the data cannot be read or do not fit.
    """
    config = load_config(source, overrides)
    return theory.predict_on(config, datasets.load_for(config))
