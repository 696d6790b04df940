"""Which run is meant: by its folder, its name, its id or the beginning of its id; or the newest."""

import os
from collections.abc import Iterator
from pathlib import Path

from gradlab.errors import RunFolderError
from gradlab.nearest import nearest
from gradlab.run_folder.names import SUMMARY

SHORTEST_ID = 4
"""So many digits of an id are enough to find a run by it."""


def is_run(path: Path) -> bool:
    """Whether a directory holds a run."""
    return (path / SUMMARY).is_file()


def find_runs(root: Path) -> Iterator[Path]:
    """Every run folder at or below a directory, in the order of their names."""
    for directory, folders, files in os.walk(root):
        folders.sort()
        if SUMMARY in files:
            folders.clear()
            yield Path(directory)


def runs_meant(word: Path | None, root: Path) -> list[Path]:
    """The run folders that a word may mean, the one that changed last first.

    Args:
        word: a run folder, a folder that holds runs, or, below `root`, a run's folder name, its name, its id or the
            beginning of its id; None for any run.
        root: the folder of run folders.

    Raises:
        RunFolderError: there is none.
    """
    if word is not None and is_run(word):
        return [word]
    found = list(find_runs(root if word is None or not word.is_dir() else word))
    if word is not None and not word.is_dir():
        found = [run for run in found if _is_called(run.name, str(word))]
    if not found:
        raise no_run(word, root)
    return sorted(found, key=_changed, reverse=True)


def no_run(word: Path | None, root: Path = Path("runs")) -> RunFolderError:
    """The error where there is no run of that name; it names the runs that are nearest."""
    if word is None:
        return RunFolderError(f"there are no runs in {root}", fix="gradlab run and gradlab sweep write them.")
    if word.is_dir():
        return RunFolderError(f"{word} is not a run folder: it has no {SUMMARY}, and no run is in it")
    if word.exists():
        return RunFolderError(f"{word} is not a run folder")
    below = next((folder for folder in (word.parent, root) if folder != Path() and folder.is_dir()), root)
    near = nearest(str(word), [str(run) for run in find_runs(below)])
    fix = f"Runs there are: {', '.join(near)}" if near else "gradlab run writes run folders below runs/."
    return RunFolderError(f"there is no run {word}", fix=fix)


def _is_called(folder: str, word: str) -> bool:
    name, _, id = folder.rpartition("-")
    return word in (folder, name) or (len(word) >= SHORTEST_ID and id.startswith(word))


def _changed(run: Path) -> float:
    try:
        return (run / SUMMARY).stat().st_mtime
    except OSError:  # it was removed meanwhile
        return 0.0
