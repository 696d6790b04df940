"""Writing a run in one of the formats of `TARGETS`."""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from gradlab import marker, run_folder
from gradlab.errors import UserError
from gradlab.tables import Tables
from gradlab.views.export import TARGETS
from gradlab.views.export.steps import tables
from gradlab.writing import refuse_link


def export_run(run: Tables, to: str, into: Path | None = None) -> Path | str:
    """Write what a run has recorded so far in another program's format; a second time replaces the first.

    Args:
        run: the run, finished or still going.
        to: the format.
        into: the directory; by default `export/` of the run folder.

    Returns:
        The directory that was written, or the URL of the run at Weights & Biases.

    Raises:
        UserError: there is no such format, its package is missing, or the run has recorded nothing.
        RunFolderError: the directory cannot be written.
    """
    if to not in TARGETS:
        raise UserError(f"runs cannot be exported to {to!r}", fix=f"Formats are: {', '.join(TARGETS)}.")
    if len(empty_tables(run)) == len(tables(run)):
        raise UserError(f"{run.path} has recorded nothing yet that could be exported ({run.status})")
    exports = run_folder.export_folder(run.path)
    folder = into if into is not None else exports if to == "wandb" else exports / to  # wandb makes its own `wandb/`
    write: Callable[[Tables, Path], Path | str] = resolve_name(TARGETS[to])
    try:
        for link in (exports, folder):
            refuse_link(link)
        before = set(folder.rglob("*"))
        where = write(run, folder)
        marker.note_written(run.path, [file for file in folder.rglob("*") if file.is_file() and file not in before])
        return where
    except OSError as error:
        raise run_folder.cannot_write(folder, error, option="--into") from error


def empty_tables(run: Tables) -> list[str]:
    """The names of the tables that have no row, and of which an export holds nothing."""
    return [name for name, table in tables(run).items() if not table.height]
