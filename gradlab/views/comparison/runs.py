"""Run folders ─► finished and unfinished runs. Only `summary.json` is read of each, and no config is validated.

Settings are known by the dotted paths of the config: `model.activation: {name: elu, alpha: 1}` is two of them,
`model.activation` = elu and `model.activation.alpha` = 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradlab import marker, run_folder
from gradlab.config import SCHEMA, Config
from gradlab.config.files import recorded_config
from gradlab.errors import RunFolderError, UserError
from gradlab.measures.headline import MEASURES, TIMES, numbers_of
from gradlab.measures.settings import RunSettings, settings_of
from gradlab.tables import SEVERITIES, other_schema

UNREADABLE = "unreadable"
"""The status of a run whose folder is damaged, or none of gradlab's."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that is completed or diverged.

    Attributes:
        path: the run folder.
        id: the run's id; of a run that an older gradlab wrote, the id of today.
        status: `completed` or `diverged`.
        verdict: id of the worst finding, or `healthy`.
        severity: of the worst finding: 0 is an error, 3 is healthy.
        settings: the config by dotted path, with `name` and `seed`.
        numbers: those of `MEASURES` that the run has.
        profiles: log10 RMS δ of each hidden layer, first to last, at the `start` and at the `end`; None where δ is
            exactly 0 or not finite.
        schema: the version of its folder, where it is not this program's.
    """

    path: Path
    id: str
    status: str
    verdict: str
    severity: int
    settings: Mapping[str, Any]
    numbers: Mapping[str, float]
    profiles: Mapping[str, Sequence[float | None]]
    schema: str | None = None


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that cannot be compared.

    Attributes:
        path: the run folder.
        status: `running`, `interrupted`, `failed`, or `unreadable`.
        settings: like those of `FinishedRun`; empty where they cannot be read.
        reason: what happened, in a line; may be empty.
    """

    path: Path
    status: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Runs:
    """All runs below some folders.

    Attributes:
        finished: runs that can be compared.
        unfinished: runs that cannot.
        copies: folders left out because they hold a run that another folder holds too.
        contradicting: those of them whose results differ from the ones that are shown: another machine may have
            computed them, or somebody else has made them up.
    """

    finished: Sequence[FinishedRun]
    unfinished: Sequence[UnfinishedRun]
    copies: Sequence[Path] = ()
    contradicting: Sequence[Path] = ()

    @property
    def other_schemas(self) -> str:
        """How many runs another version of gradlab wrote, and which; empty where there are none."""
        found = [run.schema for run in self.finished if run.schema is not None]
        if not found:
            return ""
        noun, which = "run was" if len(found) == 1 else "runs were", ", ".join(dict.fromkeys(found))
        return f"{len(found)} {noun} written by another version of gradlab (schema {which}; this one is {SCHEMA})"


def collect(paths: Sequence[Path]) -> Runs:
    """Read every run at or below some folders.

    Of several folders that hold the same run, the one that gradlab has marked as this run's is taken, then the one that
    bears the run's id in its name, then the first.

    Raises:
        RunFolderError: one of them does not exist.
        UserError: there is no run in any of them.
    """
    finished: dict[str, FinishedRun] = {}
    unfinished: list[UnfinishedRun] = []
    copies: list[Path] = []
    contradicting: list[Path] = []
    for folder in _folders(paths):
        run = _read(folder)
        if isinstance(run, UnfinishedRun):
            unfinished.append(run)
        elif run.id in finished:
            taken, other = sorted((finished[run.id], run), key=_standing, reverse=True)
            finished[run.id] = taken
            copies.append(other.path)
            if _results(taken) != _results(other):
                contradicting.append(other.path)
        else:
            finished[run.id] = run
    if not (finished or unfinished):
        raise UserError(
            f"there are no runs in {', '.join(map(str, paths))}", fix="gradlab run and gradlab sweep write them."
        )
    return Runs(list(finished.values()), unfinished, copies, contradicting)


def _standing(run: FinishedRun) -> tuple[bool, bool]:
    """How well a folder shows that it is the one that gradlab has written for its run."""
    return marker.marked_id(run.path) == run.id, run.path.name.endswith(f"-{run.id}")


def _results(run: FinishedRun) -> tuple[object, ...]:
    """What a run has come to; the same again on the same machine, except for the time that it took."""
    return run.status, run.verdict, {name: run.numbers.get(name) for name in MEASURES if name not in TIMES}


def _folders(paths: Sequence[Path]) -> Iterator[Path]:
    """Run folders below some paths. Each is yielded once, also where the paths overlap."""
    seen = set()
    for path in paths:
        if not path.exists():
            raise RunFolderError(f"there is no folder {path}", fix="gradlab run and gradlab sweep write into runs/.")
        for folder in run_folder.find_runs(path):
            where = folder.absolute()
            if where not in seen:
                seen.add(where)
                yield folder


def _read(folder: Path) -> FinishedRun | UnfinishedRun:
    try:
        summary, problems = run_folder.examined_summary(folder)
    except RunFolderError as error:
        return UnfinishedRun(folder, UNREADABLE, reason=error.message)
    if not problems and summary["status"] in run_folder.FINISHED and "verdict" not in summary:
        problems = ["summary.json has no verdict"]
    if problems:
        return UnfinishedRun(folder, UNREADABLE, reason="; ".join(problems))
    return _understood(folder, summary)


def _understood(folder: Path, summary: Mapping[str, Any]) -> FinishedRun | UnfinishedRun:
    status = summary["status"]
    raw = summary.get("config", {})
    config = recorded_config(raw) if raw else None
    settings = settings_of(raw if config is None else config)
    if status not in run_folder.FINISHED:
        if status == "running" and not run_folder.is_busy(folder):
            status = "interrupted"
        return UnfinishedRun(folder, status, settings, run_folder.failure(summary))
    severities = [SEVERITIES.index(finding["severity"]) for finding in summary.get("findings", ())]
    return FinishedRun(
        path=folder,
        id=_id(summary, config) or str(folder.absolute()),
        status=status,
        verdict=summary["verdict"],
        severity=min(severities, default=len(SEVERITIES)),
        settings=RunSettings({"name": summary.get("name", folder.name), **settings}),
        numbers=numbers_of(summary),
        profiles={moment: summary.get(f"log10_delta_{moment}") or [] for moment in ("start", "end")},
        schema=other_schema(summary),
    )


def _id(summary: Mapping[str, Any], config: Config | None) -> str:
    """The id of a run, by which copies are told: the one that its config has today.

    The id that a folder claims counts only where the config cannot tell, so that a folder of somebody else cannot take
    the place of another run. A data file counts by its content, and is not looked at: it may be anything by now.
    """
    return str(summary.get("id", "")) if config is None or config.names_files else config.id
