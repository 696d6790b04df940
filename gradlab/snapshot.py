"""What hands out a snapshot (`gradlab.tables.Tables`): a run on disk, and a training that is watched.

Apart from `tables.py`, because a training that is only watched does not import polars, which takes 20 MB.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

PUBLIC = (
    "name",
    "path",
    "config",
    "status",
    "summary",
    "verdict",
    "findings",
    "not_judged",
    "layers",
    "steps",
    "evaluations",
    "histograms",
    "theory",
    "modules",
)
"""Attributes of a snapshot that a run and a watch have too."""

if TYPE_CHECKING:
    from gradlab.tables import Tables

    class HasTables(Tables):
        """To a type checker, whoever hands out a snapshot has all that a snapshot has."""

        def report(self, file: str | Path | None = None) -> Path: ...  # noqa: D102

else:

    class HasTables:
        """Has the attributes in `PUBLIC` of its snapshot, which is `self.tables`."""

        def __getattr__(self, name: str) -> Any:
            if name in PUBLIC:
                value = getattr(self.tables, name)
                return Findings(value) if name == "findings" else value
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *PUBLIC})

        def report(self, file: str | Path | None = None) -> Path:
            """Write a page in one file: what is wrong, the network, pictures, and what was run.

            Args:
                file: where to; by default `report.html` in the run folder, or here where there is none.

            Returns:
                The file.

            Raises:
                RunFolderError: it cannot be written.
                UserError: it is not named like a page, or is there and is no report.
            """
            from gradlab import marker, run_folder
            from gradlab.report.files import save_page  # Bokeh takes half a second to import
            from gradlab.report.pages import run_page

            tables = self.tables
            page = run_folder.report_file(tables.path) if file is None else Path(file)
            save_page(page, lambda: run_page(tables, getattr(self, "environment", {})))
            marker.note_written(tables.path, [page])
            return page

        def _repr_html_(self) -> str:
            """How a notebook shows it."""
            from gradlab.report.notebook import run_html

            return run_html(self.tables)


class Findings(list[Any]):
    """Findings, which a notebook shows with their evidence and what to try."""

    def _repr_html_(self) -> str:
        from gradlab.report.notebook import findings_html

        return findings_html(self)
