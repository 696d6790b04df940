"""What `gradlab report` does: find the runs, make their page, write it."""

from collections.abc import Sequence
from pathlib import Path

from gradlab import marker, run_folder
from gradlab.errors import UserError
from gradlab.results import Run, load_run
from gradlab.writing import write_file

PAGES = (".html", ".htm")
"""Endings of a page."""


def write_report(paths: Sequence[Path], output: Path | None = None) -> Path:
    """Write the page of a run, or of several.

    Args:
        paths: run folders, folders that hold runs.
        output: the file; by default `report.html` in the run folder, or in the working directory for several.

    Returns:
        the file.

    Raises:
        RunFolderError: there is no run, or the page cannot be written.
        UserError: `output` is not named like a page, or is a file that is no report.
    """
    if len(paths) > 1:
        raise UserError("a report is of one run so far", fix="gradlab compare puts several side by side.")
    run = load_run(paths[0])
    return write_run_report(run, output)


def write_run_report(run: Run, output: Path | None = None) -> Path:
    """Write the page of a run; see `write_report`."""
    from gradlab.report import run_page  # Bokeh takes half a second to import

    file = output or run_folder.report_file(run.path)
    _require_page(file)
    _write(file, run_page(run.tables, run.environment))
    marker.note_written(run.path, [file])
    return file


def _require_page(file: Path) -> None:
    """Raise `UserError` where a page must not be written: what is there already is not a report."""
    if file.suffix.lower() not in PAGES:
        raise UserError(f"--output: {file} is not named like a page", fix=f"Endings are: {', '.join(PAGES)}.")
    if not file.exists():
        return
    from gradlab.report.page import GENERATOR

    fix = "Name another file with --output, or remove it."
    if not file.is_file():
        raise UserError(f"{file} is not a file", fix=fix)
    with file.open("rb") as there:
        if GENERATOR.encode() not in there.read(4096):
            raise UserError(f"{file} is there, and gradlab did not write it", fix=fix)


def _write(file: Path, page: str) -> None:
    try:
        write_file(file, page)
    except OSError as error:
        raise run_folder.cannot_write(file, error) from error
