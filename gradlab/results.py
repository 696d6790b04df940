"""A run on disk as one object: its tables, findings and figures.

run = gradlab.load_run("runs/vanishing-3f0c…")
run.layers.filter(kind="weight"), run.findings, run.figure("gradient_flow")
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from gradlab import marker, run_folder
from gradlab.diagnosis import Diagnosed, judge
from gradlab.errors import RunFolderError
from gradlab.measures.headline import headline
from gradlab.snapshot import HasTables
from gradlab.tables import Tables
from gradlab.views import PlotFormat

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(HasTables):
    """A run folder, read as far as it has been written; parts are read when they are first asked for.

    It has the attributes of its snapshot (`gradlab.tables.Tables`): `name`, `path`, `config`, `status`, `summary`,
    `verdict`, `findings`, and the tables `layers`, `steps`, `evaluations`, `histograms`, `theory` and `modules`.

    Args:
        path: the run folder.

    Raises:
        RunFolderError: there is no run at `path`, or its summary is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.tables = _snapshot(Path(path))

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status}, {self.verdict})"

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, device, threads."""
        return run_folder.read_environment(self.path)

    def figure(self, name: str) -> "Figure":
        """Draw one of the pictures of `gradlab.views.pictures.PICTURES`.

        Raises:
            UserError: there is no such picture.
        """
        from gradlab.views.pictures import figure  # matplotlib takes half a second to import

        return figure(self.tables, name)

    def save_plots(self, format: PlotFormat = "png") -> list[Path]:
        """Draw every picture into the run folder's `plots/`; of a very long run, some of its steps.

        Args:
            format: `png`, `svg` or `pdf`.

        Returns:
            The files written.

        Raises:
            RunFolderError: they cannot be written.
        """
        from gradlab.views.pictures import save_pictures

        folder = run_folder.plots_folder(self.path)
        try:
            files = save_pictures(_snapshot(self.path, thinned=True), folder, format)
            marker.note_written(self.path, files)
        except OSError as error:
            raise run_folder.cannot_write(folder, error) from error
        return files


def _snapshot(path: Path, *, thinned: bool = False) -> Tables:
    """The snapshot of a run; one that goes on, or that something has ended, is diagnosed as far as it is."""
    tables = run_folder.read_tables(path, thinned=thinned)
    if "verdict" in tables.summary:
        return tables
    source = Diagnosed(tables._source, trusted=False)
    return Tables(source, name=tables.name, path=tables.path, status=tables.status, summary=tables.summary)


def load_run(path: str | Path) -> Run:
    """Open a run folder; `RunFolderError` where there is none."""
    return Run(path)


def load_runs(path: str | Path = "runs") -> list[Run]:
    """Open every run folder at or below a folder, in the order of their names; what is damaged is left out.

    Raises:
        RunFolderError: there is no such folder.
    """
    if not Path(path).exists():
        raise RunFolderError(f"there is no folder {path}", fix="gradlab run and gradlab sweep write into runs/.")
    found = []
    for folder in run_folder.find_runs(Path(path)):
        with suppress(RunFolderError):
            found.append(load_run(folder))
    return found


def compare(
    paths: str | Path | Sequence[str | Path], *, where: str | None = None, group_by: Sequence[str] = ()
) -> pl.DataFrame:
    """Put finished runs side by side, as `gradlab compare` does.

    Args:
        paths: folders that hold runs.
        where: only these: `"model.depth >= 20 and verdict != 'healthy'"`.
        group_by: settings whose values make the rows, whatever else differs.

    Returns:
        A row for each configuration: the settings that differ, `n` runs, the mean of every measure over its seeds, half
        the width of its 95 % interval (`<measure>_interval`), how many runs have it (`<measure>_n`), and the verdict.

    Raises:
        RunFolderError: a folder does not exist.
        UserError: there is no run in them, or a name or the condition is wrong.
    """
    from gradlab.views.comparison.comparison import compare as compare_runs
    from gradlab.views.comparison.formats import frame
    from gradlab.views.comparison.runs import collect

    folders = [paths] if isinstance(paths, str | Path) else paths
    return frame(compare_runs(collect([Path(path) for path in folders]), where=where, group_by=group_by))


def conclude(writer: run_folder.RunWriter) -> Run:
    """Diagnose a run that has ended, and complete its summary with the verdict, the findings and the numbers.

    Of a very long run, some steps are read, and the summary says so (`run_folder.thinning`).
    """
    tables = run_folder.read_tables(writer.path, thinned=True)
    diagnosis = judge(tables)
    writer.write_summary(
        {
            **tables.summary,
            "verdict": diagnosis.verdict,
            "findings": [finding.to_json() for finding in diagnosis.findings],
            "not_judged": diagnosis.not_judged,
            **headline(tables),
        }
    )
    return Run(writer.path)
