"""The run folder: the only package that knows file names.

    runs/<name>-<id>/
      config.yaml  environment.json  summary.json  theory.parquet  modules.parquet
      layers/000000.parquet …        a directory of part files for each table that grows (`parts.py`)
      plots/
      report.html                    the page of `gradlab report`
      export/                        the run in other programs' formats
      .gradlab                       the marker of a folder that gradlab has made (`gradlab/marker.py`)
      .lock                          locked by the process that writes the run (`gradlab/locking.py`)

It writes into a new or empty folder, or into one with the marker, and replaces only what the marker lists. A folder of
another version (`gradlab.config.SCHEMA`) is read as far as it goes. Torch-free.
"""

from gradlab.run_folder.deleting import delete_run, require_deletable
from gradlab.run_folder.finding import find_runs, is_run, runs_meant
from gradlab.run_folder.names import FINISHED, GROWING, claim_picture, export_folder, plots_folder, report_file
from gradlab.run_folder.reading import (
    FolderSource,
    Progress,
    examined_summary,
    failure,
    is_busy,
    progress,
    read_environment,
    read_summary,
    read_tables,
    started,
)
from gradlab.run_folder.writing import Label, RunWriter, cannot_write, lock_folder, lock_run, run_path

__all__ = [
    "FINISHED",
    "GROWING",
    "FolderSource",
    "Label",
    "Progress",
    "RunWriter",
    "cannot_write",
    "claim_picture",
    "delete_run",
    "examined_summary",
    "export_folder",
    "failure",
    "find_runs",
    "is_busy",
    "is_run",
    "lock_folder",
    "lock_run",
    "plots_folder",
    "progress",
    "read_environment",
    "read_summary",
    "read_tables",
    "report_file",
    "require_deletable",
    "run_path",
    "runs_meant",
    "started",
]
