"""A run in other programs' formats: TensorBoard's event files, a Weights & Biases run, CSV. Torch-free.

Names are the same everywhere, `delta_rms/03 2.linear`: grouped by statistic and sorted by layer.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

from gradlab import run_folder
from gradlab.errors import UserError
from gradlab.tables import Tables
from gradlab.views.export.csv import write_csv
from gradlab.views.export.steps import tables
from gradlab.views.export.tensorboard import write_tensorboard
from gradlab.views.export.wandb import write_wandb

Target = Literal["tensorboard", "wandb", "csv"]
"""What a run can be exported to."""

TARGETS: Mapping[Target, Callable[[Tables, Path], Path | str]] = {
    "tensorboard": write_tensorboard,
    "wandb": write_wandb,
    "csv": write_csv,
}
"""Each writes a run into a directory that it may have to make, and says where the export is."""


def export(run: Tables, to: Target, into: Path | None = None) -> Path | str:
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
        raise UserError(f"runs cannot be exported to {to!r}", fix=f"Formats are: {', '.join(get_args(Target))}.")
    if len(empty_tables(run)) == len(tables(run)):
        raise UserError(f"{run.path} has recorded nothing yet that could be exported ({run.status})")
    exports = run_folder.export_folder(run.path)
    folder = into if into is not None else exports if to == "wandb" else exports / to  # wandb makes its own `wandb/`
    try:
        return TARGETS[to](run, folder)
    except OSError as error:
        raise run_folder.cannot_write(folder, error, option="--into") from error


def empty_tables(run: Tables) -> list[str]:
    """Tables of which an export has nothing, for a word to the user."""
    return [name for name, table in tables(run).items() if not table.height]
