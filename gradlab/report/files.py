"""Where a page may be written, and how."""

from collections.abc import Callable
from pathlib import Path

from gradlab import run_folder
from gradlab.errors import UserError
from gradlab.reading import open_file
from gradlab.report.page import GENERATOR
from gradlab.writing import write_file

PAGES = (".html", ".htm")
"""Endings of a page."""


def save_page(file: Path, make: Callable[[], str]) -> None:
    """Make a page and write it, unless something else is there.

    Args:
        file: where to.
        make: makes the page; it is called when nothing stands in its way.

    Raises:
        RunFolderError: it cannot be written.
        UserError: the file is not named like a page, or is there and is no report.
    """
    if file.suffix.lower() not in PAGES:
        raise UserError(f"{file} is not named like a page", fix=f"Endings are: {', '.join(PAGES)}.")
    fix = "Name another file, or remove it."
    if file.exists() and not file.is_file():
        raise UserError(f"{file} is not a file", fix=fix)
    try:
        if file.exists() and not _is_report(file):
            raise UserError(f"{file} is there, and gradlab did not write it", fix=fix)
        page = make()
        write_file(file, page)
    except OSError as error:
        raise run_folder.cannot_write(file, error) from error


def _is_report(file: Path) -> bool:
    with open_file(file) as there:
        return GENERATOR.encode() in there.read(4096)
