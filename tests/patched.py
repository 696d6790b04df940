"""A copy of the program with changes in its source, run in a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def patched(folder, changes):
    """Copy the program, and put lines into it.

    Args:
        folder: where to.
        changes: for each file a list of (text that stands in it once, text in its place); for a new file its text.
    """
    for part in ("gradlab", "scripts", "configs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, change in changes.items():
        file = folder / name
        text = change if isinstance(change, str) else file.read_text(encoding="utf-8")
        for old, new in () if isinstance(change, str) else change:
            assert text.count(old) == 1, f"{name}: {old!r} stands there {text.count(old)} times"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
    return folder


def run(folder, code, *arguments):
    """The standard output of Python code that imports the program from a folder."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
