"""Commands of gradlab in this process: what they print, how they end, and whether that is as it should be."""

import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from gradlab import cli

OBEYED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""What a terminal obeys, or nobody sees."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        code: its exit code.
        out: what it printed.
        err: what it printed on standard error.
    """

    code: int
    out: str
    err: str


def gradlab(*arguments: object) -> Ended:
    """Run a command; an exception that it lets through is raised here."""
    words = ["gradlab", *map(str, arguments)]
    out, err, code = StringIO(), StringIO(), 0
    with patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def orderly(ended: Ended, codes: Sequence[int] = (0, 2)) -> None:
    """Assert that a command ended with one of some codes, with no traceback, and with nothing that terminals obey."""
    assert ended.code in codes, f"exit code {ended.code}: {ended.err[-500:]}"
    printed = ended.out + ended.err
    assert "Traceback" not in printed.replace("Traceback (most recent call last):␊", ""), printed[-2000:]
    found = OBEYED.search(printed)
    assert found is None, f"{found.group()!r} in {printed[max(0, found.start() - 40) : found.end() + 40]!r}"
    if ended.code == 2:
        assert ended.err.strip(), "exit code 2 without a message"


def bytes_of(folder: Path) -> dict[str, bytes | str]:
    """Every file below a folder with its content, and every link with where it leads."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
