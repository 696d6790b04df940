"""The repaired config as a file, with a comment that says why each line changed."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from gradlab.config.files import Document, absolute, dump, parse_document
from gradlab.errors import UserError
from gradlab.measures.settings import flat
from gradlab.reading import read_file
from gradlab.repair.search import Repair
from gradlab.repair.trial import Change
from gradlab.text import one_line, setting_text
from gradlab.writing import write_file

MARK = "# Written by gradlab fix; digest of the lines below: "
"""How such a file begins. A file whose digest is right has not been touched since, and may be written again."""
MOST_BYTES = 2**20
"""Of a file that is looked at before it is written again."""


def check_target(path: Path) -> None:
    """See to it, before anything runs, that the repaired config can be written.

    Raises:
        UserError: there is a file that gradlab did not write, or that was changed since; or its folder is not there.
    """
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_symlink() or (path.exists() and not _is_ours(path)):
        raise UserError(
            f"{path} exists already, and is not as gradlab fix wrote it", fix="Name another file: --write FILE"
        )


def write(path: Path, repair: Repair, original: Document) -> None:
    """Write the repaired config.

    Args:
        path: the file.
        repair: what was found; something is proven.
        original: the config as it was given.

    Raises:
        UserError: it cannot be written.
    """
    check_target(path)
    try:
        write_file(path, text(repair, original))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def text(repair: Repair, original: Document) -> str:
    """The text of the repaired config: what was given, with the changes, and a comment on each line that changed."""
    data = original.data
    changed: dict[str, Change] = {}
    for change in repair.after.changes:
        repaired = Document(data, base=original.base).overridden(change.overrides).data
        changed |= dict.fromkeys(_differences(data, repaired), change)
        data = repaired
    data = absolute(data, (), original.base)
    lines = dump(data).splitlines()
    document = parse_document("\n".join(lines), Path("config"))
    old = flat(original.config().model_dump(mode="json"))
    for key, change in changed.items():
        path = tuple(key.split("."))
        named = (*path, "name")  # where a choice has options beside its name
        line = document.place(named if named in document.places else path).rpartition(":")[2]
        if line.isdigit():
            was = f"was {setting_text(old[key])}, " if old.get(key) is not None else ""
            lines[int(line) - 1] += f"  # {was}changed because of {change.finding.rule}"
    body = "\n".join([*_header(repair), *lines, ""])
    return f"{MARK}{_digest(body)}\n{body}"


def _header(repair: Repair) -> Iterator[str]:
    """What was found and what helped, as comments."""
    yield "#"
    yield f"# {one_line(repair.before.configs[0].name)}, repaired. What was found, and what helped:"
    for change in repair.after.changes:
        found = f"{one_line(change.finding.rule)}: {one_line(change.finding.message)}"
        yield from wrap(found, 100, initial_indent="#   ", subsequent_indent="#   ", break_on_hyphens=False)
        yield f"#     {change.remedy}"
    yield ""


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The settings that are new, or not what they were."""
    before = flat(old)
    return [key for key, value in flat(new).items() if key not in before or before[key] != value]


def _is_ours(path: Path) -> bool:
    try:
        first, _, body = read_file(path, MOST_BYTES).decode().partition("\n")
    except (OSError, ValueError):
        return False
    return first == f"{MARK}{_digest(body)}"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:12]
