"""A run in other programs' formats: TensorBoard's event files, a Weights & Biases run, CSV. Torch-free.

Names are the same in all of them, `delta_rms/03 2.linear`: grouped by statistic and sorted by layer. The command line
takes its choices from `TARGETS`, so nothing is imported here before it is needed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from gradlab.errors import UserError

if TYPE_CHECKING:
    import polars as pl

    from gradlab.tables import Tables

TARGETS: Mapping[str, str] = {
    "tensorboard": "gradlab.views.export.tensorboard:write_tensorboard",
    "wandb": "gradlab.views.export.wandb:write_wandb",
    "csv": "gradlab.views.export.csv:write_csv",
}
"""For each format, the function that writes a run into a folder, which it makes where it is missing.

The function returns where the export is. A new export is a function and an entry.
"""


def export(run: "Tables", to: str, into: Path | None = None) -> Path | str:
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
    from gradlab import marker, run_folder
    from gradlab.writing import refuse_link

    if to not in TARGETS:
        raise UserError(f"runs cannot be exported to {to!r}", fix=f"Formats are: {', '.join(TARGETS)}.")
    if len(empty_tables(run)) == len(_tables(run)):
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


def empty_tables(run: "Tables") -> list[str]:
    """The names of the tables that have no row, and of which an export holds nothing."""
    return [name for name, table in _tables(run).items() if not table.height]


def _tables(run: "Tables") -> "dict[str, pl.DataFrame]":
    from gradlab.views.export.steps import tables

    return tables(run)
