"""What the files of a run folder are called."""

from pathlib import Path

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
SUMMARY = "summary.json"
THEORY = "theory.parquet"
MODULES = "modules.parquet"
LOCK = ".lock"

GROWING = ("layers", "steps", "evaluations", "histograms")
"""Tables that are directories of parts."""
WHOLE = {"theory": THEORY, "modules": MODULES}
"""Tables that are one file, which is written anew."""
FINISHED = ("completed", "diverged")
"""States of a run that is not run again."""


def plots_folder(path: Path) -> Path:
    """Where the pictures of a run belong."""
    return path / "plots"


def report_file(path: Path) -> Path:
    """Where the report of a run belongs."""
    return path / "report.html"


def export_folder(path: Path) -> Path:
    """Where a run in other programs' formats belongs."""
    return path / "export"


def claim_picture(runs: Path, sweep: str) -> Path:
    """Where the picture of a sweep's claim is."""
    return runs / f"{sweep}.png"
