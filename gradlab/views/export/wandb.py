"""A run as a run of Weights & Biases."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

from gradlab import run_folder
from gradlab.errors import UserError
from gradlab.tables import Tables
from gradlab.views.export.steps import id_of, recorded_steps
from gradlab.views.export.text import settings
from gradlab.writing import refuse_link

PROJECT = "gradlab"
OFFLINE = ("offline", "dryrun")


def write_wandb(run: Tables, folder: Path) -> Path | str:
    """Log all that a run has recorded, under the id of the run, so that a second export goes on where the first ended.

    Args:
        run: the run.
        folder: where wandb keeps its own folder `wandb`.

    Returns:
        The run's URL, or offline the folder that `wandb sync` uploads. wandb's service may still write into the folder
        when this returns; it is done when the process ends.

    Raises:
        UserError: wandb is not installed, is disabled, or does not get to its server.
    """
    try:
        import wandb
    except ImportError:
        raise UserError("--to wandb needs Weights & Biases", fix="pip install 'gradlab[wandb]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):  # wandb would go to a temporary directory
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    refuse_link(folder / "wandb")  # through which wandb would write, and old runs elsewhere be removed
    for before in (folder / "wandb").glob("offline-run-*"):
        if before.name.endswith(f"-{id_of(run)}") and not before.is_symlink():
            shutil.rmtree(before, ignore_errors=True)  # both would be uploaded
    try:
        logged = _start(wandb, run, folder)
        try:
            _log(wandb, run, logged)
        finally:
            logged.finish()
    except wandb.Error as error:
        fix = "Log in with `wandb login`, or set WANDB_MODE=offline and upload later with `wandb sync`."
        raise UserError(f"wandb: {error}", fix=fix) from error
    return Path(logged.settings.sync_dir) if logged.offline else str(logged.url)


def _start(wandb: Any, run: Tables, folder: Path) -> Any:
    mode = wandb.setup().settings.mode
    if mode == "disabled":
        raise UserError("wandb is disabled and would drop everything", fix="Unset WANDB_MODE, or set it to offline.")
    return wandb.init(
        project=PROJECT,
        id=id_of(run),
        name=run.path.name,
        config=settings(run),
        dir=folder,
        resume="allow",
        reinit="create_new",  # a run that the caller has open stays as it is
        settings=wandb.Settings(
            silent=mode in OFFLINE,  # online it may have to ask who you are
            quiet=True,
            show_info=False,
            console="off",
            # The machine and the program are those of the export, not of the run.
            disable_git=True,
            save_code=False,
            x_disable_stats=True,
            x_disable_meta=True,
            x_save_requirements=False,
        ),
    )


def _log(wandb: Any, run: Tables, logged: Any) -> None:
    """Log step by step. wandb drops steps up to the last that it has, which an earlier export has logged already."""
    start = run_folder.started(run.path)
    step = 0
    for recorded in recorded_steps(run):
        step = recorded.step
        histograms = {
            name: wandb.Histogram(np_histogram=(histogram.counts, histogram.edges))
            for name, histogram in recorded.histograms.items()
        }
        logged.log({"_timestamp": start + recorded.seconds, **recorded.scalars, **histograms}, step=step)
    if run.theory.height:
        logged.log({"theory": wandb.Table(columns=run.theory.columns, data=run.theory.rows())}, step=step)
    findings = [finding.to_json() for finding in run.findings]
    said = {name: value for name, value in run.summary.items() if name not in ("config", "findings", "id", "name")}
    logged.summary.update({**said, "findings": findings})
