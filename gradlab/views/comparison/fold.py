"""Runs ─► rows: a row a configuration, its seeds folded into mean and 95 % interval."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradlab.errors import UserError
from gradlab.measures.headline import MEASURES
from gradlab.measures.intervals import Mean, mean_of
from gradlab.measures.settings import FOLDED, REMARKS, known_settings
from gradlab.text import did_you_mean, written
from gradlab.views.comparison.expression import Expression, parse
from gradlab.views.comparison.runs import Finished, Runs


@dataclass(frozen=True)
class Row:
    """One configuration.

    Attributes:
        settings: what makes it one.
        runs: its runs, by seed.
    """

    settings: Mapping[str, Any]
    runs: Sequence[Finished]

    @cached_property
    def means(self) -> dict[str, Mean]:
        """Mean and interval of every measure."""
        return {name: mean_of([run.numbers.get(name) for run in self.runs]) for name in MEASURES}

    @cached_property
    def verdicts(self) -> list[tuple[str, int]]:
        """What the runs' verdicts are and how many have each: most frequent first, then the worse."""
        severity = {run.verdict: run.severity for run in self.runs}
        counts = Counter(run.verdict for run in self.runs)
        return sorted(counts.items(), key=lambda item: (-item[1], severity[item[0]], item[0]))

    @property
    def verdict(self) -> str:
        """The verdict that most runs have; of two, the worse."""
        return self.verdicts[0][0]

    def profile(self, moment: str, positions: int) -> list[float | None]:
        """log10 RMS δ from the first hidden layer to the last, at evenly spread relative depths, mean over the runs.

        Args:
            moment: `start` or `end`.
            positions: how many.

        Returns:
            `positions` numbers, interpolated between layers; −inf where δ is exactly 0 in a run, NaN where it is not
            finite in any run that has a profile, None where no run has one.
        """
        profiles = [
            _resampled(_marked(run.profiles[moment], run.status), positions)
            for run in self.runs
            if run.profiles.get(moment)
        ]
        if not profiles:
            return [None] * positions
        profiles_RP = np.array(profiles)
        known_P = (~np.isnan(profiles_RP)).sum(axis=0)
        means: list[float | None] = np.where(
            known_P > 0, np.nansum(profiles_RP, axis=0) / np.maximum(known_P, 1), np.nan
        ).tolist()
        return means

    @cached_property
    def values(self) -> dict[str, Any]:
        """All that can be asked of a row, by name: settings, `n`, `verdict`, and the means."""
        means = {name: mean.value for name, mean in self.means.items()}
        first = self.runs[0].settings if self.runs else {}
        short = {key: first[key] for key in known_settings([self.settings]) if key not in self.settings}
        return {**self.settings, **short, "n": len(self.runs), "verdict": self.verdict, **means}


@dataclass(frozen=True)
class Comparison:
    """Rows, and what they have in common.

    Attributes:
        rows: one a configuration, in the order in which they are shown.
        differing: settings that are not the same in all rows, in the order of the config.
        shared: settings that are.
        folded: settings that differ within a row, with their number of values.
        groups: the settings that were asked to be the rows; empty where every configuration is one.
    """

    rows: Sequence[Row]
    differing: Sequence[str]
    shared: Mapping[str, Any]
    folded: Mapping[str, int] = field(default_factory=dict)
    groups: Sequence[str] = ()


def compare(
    runs: Runs, *, where: str | None = None, group_by: Sequence[str] = (), sort: Sequence[str] = ()
) -> Comparison:
    """Fold finished runs into rows.

    Args:
        runs: what `collect` returned.
        where: which of them. What it says of settings chooses runs, what it says of results chooses rows.
        group_by: settings whose values are the rows, whatever else differs; by default every setting but the seed.
        sort: columns to sort by, `-name` for the largest first; by default the settings that differ.

    Raises:
        UserError: one of these names something that is not there.
    """
    known = known_settings(run.settings for run in runs.finished)
    chosen, conditions = _chosen(runs.finished, parse(where).terms() if where else (), known)
    for key in group_by:
        _check(key, known, "--group-by", "settings")
    differs = _differing(chosen)
    keys = list(group_by) or [key for key in differs if key not in FOLDED]
    if not group_by and not all(_has_config(run) for run in chosen):
        keys = ["name", *keys]  # a model of one's own is known by its name alone
    rows = _rows(chosen, keys)
    for condition in conditions:
        rows = [row for row in rows if condition.holds(row.values)]
    if where and runs.finished and not rows:
        raise _nothing(where, runs.finished, parse(where).names)
    left = _differing([run for row in rows for run in row.runs])
    within = {key: _most_values(rows, key) for key in left}
    shown = [key for key in keys if key in left] if not group_by else list(group_by)
    if not group_by and "name" in left and within["name"] == 1 and "name" not in shown:
        shown = ["name", *shown]
        rows = [Row({"name": row.runs[0].settings["name"], **row.settings}, row.runs) for row in rows]
    return Comparison(
        rows=_sorted(rows, sort, shown),
        differing=shown,
        shared=_shared(rows, [*left, *shown]),
        folded={key: count for key, count in within.items() if count > 1 and key not in shown},
        groups=tuple(group_by),
    )


# ------------------------------------------------------------------------------------------------- choosing, sorting


def _chosen(
    runs: Sequence[Finished], terms: Sequence[Expression], known: Sequence[str]
) -> tuple[Sequence[Finished], list[Expression]]:
    """The runs that the conditions on settings leave, and the conditions on results."""
    conditions = []
    for term in terms:
        for name in sorted(term.names):
            _check(name, [*known, *RESULTS], "--where", "names")
        if term.names & set(RESULTS):
            if folded := term.names & set(FOLDED):
                what = f"--where: {term.text} asks for {', '.join(sorted(folded))} of a row, which has several"
                raise UserError(what, fix="Join conditions on settings and on results with `and`.")
            conditions.append(term)
        else:
            runs = [run for run in runs if term.holds(run.settings)]
    return runs, conditions


RESULTS = ("n", "verdict", *MEASURES)
"""What rows have besides settings."""


def _check(name: str, known: Sequence[str], option: str, what: str) -> None:
    if name not in known:
        fix = f"The {what} are: {', '.join(known)}."
        raise UserError(f"{option}: there is no {name!r} here{did_you_mean(name, known)}", fix=fix)


def _nothing(where: str, runs: Sequence[Finished], names: Iterable[str]) -> UserError:
    """No row is left: say what there would have been."""
    lines = []
    for name in sorted(names):
        values = sorted({written(run.settings[name]) for run in runs if name in run.settings})
        if name == "verdict":
            values = sorted({run.verdict for run in runs})
        if values:
            lines.append(f"{name} is {', '.join(values[:10])}{', …' if len(values) > 10 else ''}")
    return UserError(f"--where: {where!r} holds of none of {len(runs)} runs", fix="; ".join(lines))


def _sorted(rows: Sequence[Row], sort: Sequence[str], differing: Sequence[str]) -> list[Row]:
    """Rows in order; what a row does not have comes last in both directions."""
    ordered = list(rows)
    names = list(dict.fromkeys([*RESULTS, *known_settings(row.settings for row in rows)]))
    for key in reversed(list(sort) or list(differing)):
        name = key.removeprefix("-")
        _check(name, names, "--sort", "columns")
        have = [row for row in ordered if row.values.get(name) is not None]
        rest = [row for row in ordered if row.values.get(name) is None]
        ordered = sorted(have, key=lambda row: _order(row.values[name]), reverse=key.startswith("-")) + rest
    return ordered


def _order(value: Any) -> tuple[Any, ...]:
    """Numbers by size, before words."""
    if isinstance(value, bool):
        return (0, int(value))
    return (0, value) if isinstance(value, int | float) else (1, str(value))


# ----------------------------------------------------------------------------------------------------------- folding


def _has_config(run: Finished) -> bool:
    return "model.kind" in run.settings


def _differing(runs: Sequence[Finished]) -> list[str]:
    """Settings in which runs differ, in the order of the config.

    An option that only some runs have, with the same value in all of them, says no more than the choice it belongs to.
    """
    values: dict[str, Any] = {}
    differing = set()
    for run in runs:
        for key, value in run.settings.items():
            if key in REMARKS:
                continue
            if key not in values:
                values[key] = value
            elif not _same(values[key], value):
                differing.add(key)
    first = list(runs[0].settings) if runs else []
    return sorted(differing, key=lambda key: _parents_first(key, first))


def _parents_first(key: str, known: Sequence[str]) -> tuple[int, str]:
    """The place of a setting: an option that the first run does not have stands behind what it is an option of."""
    parent = key
    while parent not in known and "." in parent:
        parent = parent.rpartition(".")[0]
    return (known.index(parent) if parent in known else len(known), key)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _rows(runs: Sequence[Finished], keys: Sequence[str]) -> list[Row]:
    groups: dict[tuple[Any, ...], list[Finished]] = {}
    for run in runs:
        # repr tells true from 1 as == does not
        groups.setdefault(tuple((repr(run.settings.get(key))) for key in keys), []).append(run)
    return [Row({key: group[0].settings.get(key) for key in keys}, group) for group in groups.values()]


def _most_values(rows: Sequence[Row], key: str) -> int:
    """Values of a setting within a row, in the row that has most."""
    return max((len({repr(run.settings.get(key)) for run in row.runs}) for row in rows), default=0)


def _shared(rows: Sequence[Row], differing: Sequence[str]) -> dict[str, Any]:
    runs = [run for row in rows for run in row.runs]
    everywhere = set(runs[0].settings).intersection(*(run.settings for run in runs)) if runs else set()
    left_out = {*differing, *REMARKS}
    return {key: value for key, value in (runs[0].settings if runs else {}).items() if key in everywhere - left_out}


def _marked(profile: Sequence[float | None], status: str) -> list[float]:
    """JSON has no infinities: what is missing is exactly 0, or has diverged."""
    missing = math.nan if status == "diverged" else -math.inf
    return [missing if value is None else value for value in profile]


def _resampled(profile: Sequence[float], positions: int) -> list[float]:
    """A profile at evenly spread relative depths; between a number and what is none, the nearer one counts."""
    last = len(profile) - 1
    values = []
    for position in range(positions):
        at = position / max(positions - 1, 1) * last
        low = min(int(at), last)
        near, far, share = profile[low], profile[min(low + 1, last)], at - low
        if not (math.isfinite(near) and math.isfinite(far)):
            values.append(near if share < 0.5 else far)
        else:
            values.append(near + share * (far - near))
    return values
