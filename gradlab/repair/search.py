"""The search for a repair: which trials are run, in which order, and which of them is kept.

    the config on all seeds ─► its findings, causes first
      ─► every remedy on the first seed ─► those with a chance on all seeds ─► the proven one that gains most is kept
      ─► the findings that remain, in the same way, from what was kept on
      ─► where nothing is proven: from the trial that came closest on, so that two remedies may do what neither does

A trial that does not gain on the first seed ends there. With two or three seeds it could not be proven: three numbers
of which one is not above 0 have no 95 % interval above 0 (their mean is 1.2 standard deviations at most, and the
interval's half width 2.5). Where nothing but the interval is in the way of a proof, the best trial of the round, and
what it is compared with, run on as many seeds again. That second look makes a proof by luck a little likelier: the
2.5 % that a 95 % interval leaves above become at most 5 %.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.repair.trial import Outcome, Proof, Trial, measure_of, next_trials, prove

MOST_ROUNDS = 5
"""Times that remedies of findings are tried."""
MOST_TRIALS = 24
"""Trials in all."""

RunAll = Callable[[Sequence[tuple[Trial, Config]]], Sequence[Outcome]]
"""Trials and the configs of theirs to run ─► what the runs came to, in the same order."""


@dataclass(frozen=True)
class Repair:
    """The end of a search.

    Attributes:
        before: the config as it was given, on every seed.
        trials: what was tried, in order.
        kept: the repairs that are proven, each with the changes of those before it; empty where nothing is.
        measure: the headline number by which runs were compared.
    """

    before: Trial
    trials: tuple[Trial, ...] = ()
    kept: tuple[Trial, ...] = ()
    measure: str = "test_accuracy"

    @property
    def healthy_already(self) -> bool:
        """Whether there was nothing to repair."""
        return not self.before.findings and not self.before.failure

    @property
    def proven(self) -> bool:
        """Whether there is a repair."""
        return bool(self.kept)

    @property
    def after(self) -> Trial:
        """The repaired config on every seed; where nothing is proven, the config as it was given."""
        return self.kept[-1] if self.kept else self.before

    @property
    def closest(self) -> Trial | None:
        """Where nothing is proven: the trial that came closest."""
        return None if self.kept or not self.trials else min(self.trials, key=lambda trial: _distance(trial, self))

    @property
    def runs(self) -> int:
        """Runs that all of it took."""
        return sum(len(trial.outcomes) for trial in (self.before, *self.trials))

    def compared_with(self, trial: Trial) -> Trial:
        """What a trial is to repair: the longest of the kept ones that its changes begin with, or the beginning."""
        earlier = [kept for kept in self.kept if kept.changes == trial.changes[: len(kept.changes)] and kept != trial]
        return max(earlier, key=lambda kept: len(kept.changes), default=self.before)


def search(config: Config, seeds: int, run_all: RunAll) -> Repair:
    """Look for a repair.

    Args:
        config: what is to be repaired.
        seeds: how many seeds it is run on, its own the first.
        run_all: runs what it is given.
    """
    configs = tuple(load_config(config, {"seed": config.seed + number}) for number in range(seeds))
    before = _run([Trial((), configs)], seeds, run_all)[0]
    found = Repair(before, measure=measure_of(before.outcomes))
    asked: set[str] = set()
    for _ in range(MOST_ROUNDS):
        node = None if before.failure else _next(found, asked)
        if node is None:
            break
        asked.add(node.remedies)
        found = _decided(*_tried(found, node, seeds, run_all), 2 * seeds, run_all)
    return found


def _tried(found: Repair, node: Trial, seeds: int, run_all: RunAll) -> tuple[Repair, Sequence[str]]:
    """The search after a round: every remedy of a trial's findings. And what was tried in it."""
    known = {trial.configs[0].id for trial in (found.before, *found.trials)}
    new = [trial for trial in next_trials(node, seeds) if trial.configs[0].id not in known]
    first = _run(new[: max(0, MOST_TRIALS - len(found.trials))], 1, run_all)
    hopeful = [trial for trial in first if _has_a_chance(found, trial)]
    ended = {trial.remedies: trial for trial in _run(hopeful, seeds, run_all)}
    trials = (*found.trials, *(ended.get(trial.remedies, trial) for trial in first))
    return replace(found, trials=trials), [trial.remedies for trial in first]


def _run(trials: Sequence[Trial], seeds: int, run_all: RunAll) -> list[Trial]:
    """Trials with the outcomes of their first runs, as many as there are seeds; those that are there are kept."""
    todo = [(trial, config) for trial in trials for config in trial.configs[len(trial.outcomes) : seeds]]
    outcomes = iter(run_all(todo) if todo else ())
    done = []
    for trial in trials:
        missing = len(trial.configs[len(trial.outcomes) : seeds])
        done.append(replace(trial, outcomes=(*trial.outcomes, *islice(outcomes, missing))))
    return done


def _decided(found: Repair, tried: Sequence[str], seeds: int, run_all: RunAll) -> Repair:
    """The search with the best proven trial of a round kept.

    If nothing but its interval is in the way of the best one, it is run on more seeds before.
    """
    newest = [trial for trial in found.trials if trial.remedies in tried]
    undecided = [trial for trial in newest if trial.finished and _proof(found, trial).undecided]
    if undecided and not any(_proof(found, trial).proven for trial in newest):
        best = _best(found, undecided)
        more = [_on_seeds(trial, seeds) for trial in (found.compared_with(best), best)]
        longer = {trial.remedies: trial for trial in _run(more, seeds, run_all)}
        found = replace(
            found,
            before=longer.get("", found.before),
            trials=tuple(longer.get(trial.remedies, trial) for trial in found.trials),
            kept=tuple(longer.get(trial.remedies, trial) for trial in found.kept),
        )
    proven = [trial for trial in found.trials if trial.remedies in tried and _proof(found, trial).proven]
    return replace(found, kept=(*found.kept, _best(found, proven))) if proven else found


def _best(found: Repair, trials: Sequence[Trial]) -> Trial:
    """The trial with the largest gain."""
    return max(trials, key=lambda trial: _proof(found, trial).gain.value or 0.0)


def _on_seeds(trial: Trial, seeds: int) -> Trial:
    """A trial that is to be run on so many seeds, those that it has among them."""
    first = trial.configs[0]
    more = [load_config(first, {"seed": first.seed + number}) for number in range(len(trial.configs), seeds)]
    return replace(trial, configs=(*trial.configs, *more))


def _proof(found: Repair, trial: Trial) -> Proof:
    return prove(found.compared_with(trial), trial)


def _has_a_chance(found: Repair, trial: Trial) -> bool:
    """Whether a trial may still be proven, after its run on the first seed."""
    before = found.compared_with(trial)
    proof = prove(replace(before, outcomes=before.outcomes[:1]), trial)
    was_better = proof.gain.value is not None and proof.gain.value > 0
    return was_better and not proof.left and not proof.come


def _next(found: Repair, asked: set[str]) -> Trial | None:
    """The trial whose findings are looked at next: what is kept; else the beginning; else what came closest.

    Once something is kept, only trials that build on it come into question, and only while there are errors.
    """
    newest = found.after
    if newest.remedies not in asked:
        return newest if newest.findings else None
    if found.kept and not newest.errors:
        return None
    built = [trial for trial in found.trials if trial.changes[: len(newest.changes)] == newest.changes]
    open_ = [trial for trial in built if trial.remedies not in asked and trial.findings]
    return min(open_, key=lambda trial: _distance(trial, found), default=None)


def _distance(trial: Trial, found: Repair) -> tuple[int, float, int]:
    """How far a trial is from a repair: its errors, its gain, and findings that it should have removed or that came."""
    proof = _proof(found, trial)
    return trial.errors, -(proof.gain.value or 0.0), len(proof.left) + len(proof.come)
