"""What `gradlab report` does: find the runs, make their page, write it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab import run_folder
from gradlab.claims.judging import Verdict, judge
from gradlab.claims.measuring import Observation
from gradlab.errors import UserError
from gradlab.results import load_run
from gradlab.sweeps.grid import Plan, load_plan
from gradlab.tables import Tables
from gradlab.views.comparison.comparison import compare
from gradlab.views.comparison.runs import Runs, collect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANY = Path("report.html")
"""The page of several runs."""


def write_report(paths: Sequence[Path], output: Path | None = None) -> Path:
    """Write the page of a run, or of several.

    Args:
        paths: run folders, folders that hold runs, and at most one sweep file, whose runs and claim are meant then;
            where only a sweep file is named, its runs are looked for in `runs`.
        output: the file; by default `report.html` in the run folder, or in the working directory for several.

    Returns:
        the file.

    Raises:
        ConfigError: the sweep file is wrong.
        RunFolderError: there is no run, or the page cannot be written.
        UserError: `output` is not named like a page, or is a file that is no report; or there are several sweep files.
    """
    sweeps = [path for path in paths if path.is_file()]
    folders = [path for path in paths if path not in sweeps] or [Path("runs")]
    if len(sweeps) > 1:
        raise UserError(f"{', '.join(map(str, sweeps))}: one sweep file at a time")
    if not sweeps and len(folders) == 1 and (run_folder.is_run(folders[0]) or not folders[0].exists()):
        return load_run(folders[0]).report(output)
    file = output or MANY
    runs, plan = collect(folders), None
    if sweeps:
        plan = load_plan(sweeps[0])
        runs = _of_plan(runs, plan)
    title = sweeps[0].stem if sweeps else ", ".join(str(folder) for folder in folders)
    from gradlab.report.files import save_page  # Bokeh takes half a second to import
    from gradlab.report.pages import runs_page

    def make() -> str:
        snapshots = {run.id: load_run(run.path).tables for run in runs.finished}
        return runs_page(title, compare(runs), runs, snapshots, _claim(plan, snapshots))

    save_page(file, make)
    return file


def _of_plan(runs: Runs, plan: Plan) -> Runs:
    """The runs of a sweep among all that were found."""
    ids = {point.config.id for point in plan.points}
    found = [run for run in runs.finished if run.id in ids]
    if not found:
        raise UserError("none of the sweep's runs is finished in these folders", fix="gradlab sweep runs them.")
    return replace(runs, finished=found, unfinished=[], copies=[])


def _claim(plan: Plan | None, snapshots: Mapping[str, Tables]) -> "tuple[Verdict, Figure] | str":
    """The verdict on the claim of a sweep and its picture; or why there is none, in words."""
    if plan is None or plan.claim is None:
        return ""
    missing = len(plan.points) - len(snapshots)
    if missing > 0:
        return f"{missing} of {len(plan.points)} runs are not finished"
    from gradlab.views.claims.picture import draw

    observations = [Observation.of(snapshots[point.config.id]) for point in plan.points]
    verdict = judge(plan.claim, observations)
    return verdict, draw(verdict, observations)
