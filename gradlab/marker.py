"""The marker `.gradlab` of a run folder: that gradlab has made the folder, and which files in it gradlab has written.

A user's folder is sacred. Only what the marker lists is ever replaced or removed, beside the numbered parts of tables;
and nothing is removed through a link, because a folder may come from somebody else.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from gradlab.config import SCHEMA
from gradlab.reading import read_json
from gradlab.text import strict_json
from gradlab.writing import write_file

NAME = ".gradlab"
PART = re.compile(r"(\d{6,12})(?:-(\d{6,12}))?\.parquet", re.ASCII)
"""What the parts of tables are called: by their number, or by the first and the last of those that were merged."""


def is_ours(path: Path) -> bool:
    """Whether gradlab has made a folder."""
    return (path / NAME).is_file()


def marked_id(path: Path) -> str:
    """The id of the run for which gradlab has made a folder; empty where it has not."""
    id = _read(path).get("id")
    return id if isinstance(id, str) else ""


def start(path: Path, id: str, files: Sequence[str]) -> None:
    """Mark a folder as gradlab's, before the first of some files is written."""
    _write(path, {"schema": SCHEMA, "id": id, "wrote": list(files)})


def note_written(path: Path, files: Iterable[Path]) -> None:
    """Add files to what gradlab has written; files elsewhere are passed over, and so is a folder without a marker."""
    if is_ours(path):
        inside = {file.relative_to(path).as_posix() for file in files if file.is_relative_to(path)}
        _write(path, {**_read(path), "wrote": sorted(inside | set(_written(path)))})


def clear(path: Path, tables: Sequence[str]) -> None:
    """Remove what gradlab has written into a folder.

    Args:
        path: the folder.
        tables: folders in it that hold parts.
    """
    for file in written_files(path, tables):
        with suppress(IsADirectoryError, NotADirectoryError, PermissionError):
            file.unlink(missing_ok=True)


def written_files(path: Path, tables: Sequence[str]) -> list[Path]:
    """The files that are there of what gradlab has written into a folder; none that is reached through a link."""
    folders = [path / table for table in tables if (path / table).is_dir()]
    parts = [part for folder in folders for part in folder.iterdir() if PART.fullmatch(part.name)]
    files = dict.fromkeys([*(path / name for name in _written(path)), *parts])
    return [file for file in files if os.path.lexists(file) and not any(map(Path.is_symlink, between(path, file)))]


def between(path: Path, file: Path) -> list[Path]:
    """The folders below a folder in which a file of it is, the innermost first."""
    return [folder for folder in file.parents if folder != path and folder.is_relative_to(path)]


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        return read_json(path / NAME)
    return {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_file(path / NAME, json.dumps(strict_json(content), indent=2) + "\n")


def _written(path: Path) -> list[str]:
    """The files that the marker lists; a name that leads out of the folder is none of gradlab's."""
    listed = _read(path).get("wrote", ())
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return [name for name in names if name and not PurePosixPath(name).is_absolute() and ".." not in Path(name).parts]
