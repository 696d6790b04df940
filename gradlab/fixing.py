"""`gradlab fix`: run the search on an engine, show it, write the repaired config."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradlab import run_folder
from gradlab.config import Config
from gradlab.config.files import document_of
from gradlab.errors import UserError
from gradlab.measures.headline import numbers_of
from gradlab.repair import repaired_file
from gradlab.repair.search import Repair, search
from gradlab.repair.trial import COUNTED, Outcome, Trial
from gradlab.sweeps.command import ProgressListener
from gradlab.sweeps.engine import Engine
from gradlab.sweeps.grid import Point
from gradlab.sweeps.local import LocalEngine
from gradlab.sweeps.running import run_sweep
from gradlab.sweeps.states import PointState
from gradlab.views.sweep import PointLine, sweep_progress


def fix(
    config: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    seeds: int = 3,
    runs: str | Path = "runs",
    write: str | Path | None = None,
    engine: Engine | None = None,
) -> Repair:
    """Try the remedies of a config's findings on the same seeds, and keep what is proven better.

    A repair is proven if its finding is gone on every seed, no other finding as severe has come, and the difference of
    the test accuracy (where there is none, of the test loss), paired by seed, has a 95 % interval above 0.
    What has run already, in `runs`, is not run again.

    Args:
        config: path of a YAML file, a dict of the same form, or a Config.
        overrides: as for `gradlab.run`.
        seeds: seeds of each trial: that of the config, and those after it. At least 2.
        runs: the folder of run folders.
        write: where the repaired config is written, if there is one; None for nowhere.
        engine: runs the trials; by default a process for each core.

    Raises:
        UserError: the config is wrong, its data are out of reach, or `write` names a file of somebody else.
        KeyboardInterrupt: it was interrupted; the same call goes on where this one ended.
    """
    if seeds < 2:
        raise UserError(f"seeds: {seeds} seed is too few: a difference needs 2 to have an interval")
    original = document_of(config).overridden(overrides)
    target = None if write is None else Path(write)
    if target is not None:
        repaired_file.check_target(target)
    with _open(engine or LocalEngine()) as opened:
        repair = search(original.config(), seeds, _Runner(opened, Path(runs)))
    if repair.proven and target is not None:
        repaired_file.write(target, repair, original)
    return repair


class _Runner:
    """Runs trials on an engine that stays open: its workers import torch once."""

    def __init__(self, engine: Engine, runs: Path) -> None:
        self._engine = engine
        self._runs = runs

    def __call__(self, todo: Sequence[tuple[Trial, Config]]) -> list[Outcome]:
        labels = {config.id: {**trial.settings, "seed": str(config.seed)} for trial, config in todo}
        points = [Point(config, labels[config.id]) for _, config in todo]

        def row(point: Point, state: PointState) -> PointLine:
            return PointLine(labels[point.config.id], state.status, state.path, state.verdict, state.reason)

        with sweep_progress() as progress:
            report = run_sweep(points, self._engine, runs=self._runs, listener=ProgressListener(progress, row))
        if report.interrupted:
            raise KeyboardInterrupt
        return [outcome_of(report.states[config.id]) for _, config in todo]


def outcome_of(state: PointState) -> Outcome:
    """What a run came to, from its folder."""
    if state.status not in run_folder.FINISHED:
        return Outcome("failed", reason=state.reason or state.status)
    tables = run_folder.read_tables(state.path)
    found = tuple(finding for finding in tables.findings if finding.severity in COUNTED)
    return Outcome(state.status, found, numbers_of(tables.summary))


class _StaysOpen:
    """An engine whose context is somebody else's: a sweep that enters and leaves it leaves it running."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.workers = engine.workers
        self.submit = engine.submit
        self.interrupt = engine.interrupt
        self.explain = engine.explain

    def __enter__(self) -> "_StaysOpen":
        return self

    def __exit__(self, *error: object) -> None:
        pass


@contextmanager
def _open(engine: Engine) -> Iterator[Engine]:
    with engine:
        yield _StaysOpen(engine)
