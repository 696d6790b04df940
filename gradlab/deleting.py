"""What `gradlab delete` does: find the runs that are meant, list them, and remove what gradlab has written of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradlab import marker, run_folder
from gradlab.errors import UserError
from gradlab.measures.headline import MEASURES
from gradlab.text import bytes_text, counted, one_line
from gradlab.views.comparison.comparison import check_name
from gradlab.views.comparison.expression import parse
from gradlab.views.comparison.runs import FinishedRun, UnfinishedRun, collect

AnyRun = FinishedRun | UnfinishedRun
RESULTS = ("name", "status", "verdict", *MEASURES)
"""What a condition may ask for besides settings."""


@dataclass(frozen=True)
class Doomed:
    """A run that is to be deleted.

    Attributes:
        path: its folder.
        said: its status and verdict.
        size: bytes that are deleted.
    """

    path: Path
    said: str
    size: int


def runs_to_delete(words: Sequence[Path], where: str | None, runs: Path) -> list[Doomed]:
    """The runs that are meant; all of them may be deleted.

    Args:
        words: run folders, names, ids or beginnings of ids.
        where: a condition on settings, `name`, `status`, `verdict` and results; of all runs, or of those of `words`.
        runs: the folder of run folders.

    Raises:
        RunFolderError: there is no such run; one is a link, is none of gradlab's, or is being written.
        UserError: nothing says which runs are meant, the condition is wrong, or no run fulfils it.
    """
    if not words and where is None:
        raise UserError("which runs?", fix="Name them, or say --where \"status == 'failed'\".")
    for word in words:
        if word.is_dir() and not run_folder.is_run(word):
            raise UserError(f"{word} is not a run folder", fix="Name run folders, or say --where with --runs.")
    paths = [run for word in words for run in run_folder.runs_meant(word, runs)] or [runs]
    found = collect(paths)
    all_runs: list[AnyRun] = [*found.finished, *found.unfinished]
    chosen = [run for run in all_runs if where is None or run in _fulfilling(where, all_runs)]
    folders = [run.path for run in chosen] + [path for path in found.copies if where is None]
    if not folders:
        raise UserError(f"--where: {where!r} holds of none of {counted(len(all_runs), 'run')}")
    for path in folders:
        run_folder.require_deletable(path)
    said = {run.path: " ".join(filter(None, (run.status, _verdict(run)))) for run in chosen}
    return [Doomed(path, said.get(path, "a copy"), _size(path)) for path in folders]


def _fulfilling(where: str, runs: Sequence[AnyRun]) -> list[AnyRun]:
    condition = parse(where)
    known = [*dict.fromkeys(key for run in runs for key in run.settings), *RESULTS]
    for name in sorted(condition.names):
        check_name(name, known, "--where", "names")
    return [run for run in runs if condition.holds(_values(run))]


def _values(run: AnyRun) -> dict[str, Any]:
    numbers = run.numbers if isinstance(run, FinishedRun) else {}
    verdict = {"verdict": _verdict(run)} if _verdict(run) else {}
    return {"name": run.path.name.rpartition("-")[0], **run.settings, **numbers, "status": run.status, **verdict}


def _verdict(run: AnyRun) -> str:
    return run.verdict if isinstance(run, FinishedRun) else ""


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in marker.written_files(path, run_folder.GROWING))


def list_runs(runs: Sequence[Doomed]) -> str:
    """The runs that are to be deleted, a line each, and how much they are."""
    lines = [one_line(f"{run.path}  {run.said}  {bytes_text(run.size)}") for run in runs]
    return "\n".join([*lines, f"{counted(len(runs), 'run')}, {bytes_text(sum(run.size for run in runs))}"])


def delete_runs(runs: Sequence[Doomed]) -> Iterator[str]:
    """Delete runs, one after the other; yields what came of it.

    Raises:
        RunFolderError: a run cannot be deleted; those before it are.
    """
    for run in runs:
        kept = run_folder.delete_run(run.path)
        others = f", but for {', '.join(kept)}, which gradlab has not written" if kept else ""
        yield one_line(f"deleted {run.path}{others}")
