"""A run on disk as one object: its tables, findings and figures. Torch-free.

run = gradlab.load_run("runs/vanishing-3f0c…")
run.layers.filter(kind="weight"), run.findings, run.figure("gradient_flow")
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from gradlab import store
from gradlab.config import Config
from gradlab.diagnosis import diagnose, verdict
from gradlab.diagnosis.finding import Finding, Tables
from gradlab.headline import headline

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run:
    """A run folder, read as far as it has been written; tables are read when they are first asked for.

    Args:
        path: the run folder.

    Raises:
        RunFolderError: there is no run at `path`, or its summary is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.summary: dict[str, Any] = store.read_summary(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status}, {self.verdict})"

    @property
    def status(self) -> str:
        """`running`, `completed`, `diverged`, `interrupted` or `failed`."""
        return str(self.summary["status"])

    @property
    def verdict(self) -> str:
        """Id of the worst finding's rule, or `healthy`."""
        return str(self.summary.get("verdict", "unknown"))

    @cached_property
    def findings(self) -> list[Finding]:
        """What the rules found, worst first."""
        return [Finding.from_json(finding) for finding in self.summary.get("findings", ())]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.summary.get("name", self.path.name))

    @cached_property
    def config(self) -> Config | None:
        """The resolved config; None of a model that was only watched."""
        return store.read_config(self.path)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, device, threads."""
        return store.read_environment(self.path)

    @cached_property
    def layers(self) -> pl.DataFrame:
        """A row a recorded step and module."""
        return store.read_table(self.path, "layers")

    @cached_property
    def steps(self) -> pl.DataFrame:
        """A row a step."""
        return store.read_table(self.path, "steps")

    @cached_property
    def evaluations(self) -> pl.DataFrame:
        """Loss and accuracy of each split, about a dozen times."""
        return store.read_table(self.path, "evaluations")

    @cached_property
    def histograms(self) -> pl.DataFrame:
        """Distributions of activations, deltas, weights and weight gradients."""
        return store.read_table(self.path, "histograms")

    @cached_property
    def theory(self) -> pl.DataFrame:
        """What mean-field theory predicts, a row a hidden layer; empty where it does not apply."""
        return store.read_table(self.path, "theory")

    @property
    def tables(self) -> Tables:
        """What the rules read."""
        return Tables(
            layers=self.layers,
            steps=self.steps,
            evaluations=self.evaluations,
            histograms=self.histograms,
            theory=self.theory,
            config=self.config,
            status=self.status,
        )

    def figure(self, name: str) -> "Figure":
        """Draw one of the pictures of `gradlab.views.plots.PLOTS`.

        Raises:
            UserError: there is no such picture.
        """
        from gradlab.views.plots import figure  # matplotlib takes half a second to import

        return figure(self, name)

    def save_plots(self, format: Literal["png", "svg"] = "png") -> list[Path]:
        """Draw every picture into the run folder's `plots/`.

        Args:
            format: `png` or `svg`.

        Returns:
            The files written.

        Raises:
            RunFolderError: they cannot be written.
        """
        from gradlab.views.plots import save_plots

        folder = store.plots_folder(self.path)
        try:
            return save_plots(self, folder, format)
        except OSError as error:
            raise store.cannot_write(folder, error) from error


def load_run(path: str | Path) -> Run:
    """Open a run folder; `RunFolderError` where there is none."""
    return Run(path)


def conclude(writer: store.RunWriter) -> Run:
    """Diagnose a run that has ended, and complete its summary with the verdict, the findings and the numbers."""
    run = Run(writer.path)
    findings = diagnose(run.tables)
    writer.write_summary(
        {
            **run.summary,
            "verdict": verdict(findings),
            "findings": [finding.to_json() for finding in findings],
            **headline(run.tables),
        }
    )
    return Run(writer.path)
