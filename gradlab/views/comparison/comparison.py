"""Runs ─► rows: the runs of a configuration, which differ in their seeds, become a row of means with 95 % intervals."""

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
from gradlab.measures.settings import FOLDED, REMARKS, known_settings, same_value
from gradlab.nearest import named
from gradlab.text import first_of, setting_text
from gradlab.views.comparison.expression import Expression, parse
from gradlab.views.comparison.runs import FinishedRun, Runs


@dataclass(frozen=True)
class ComparedConfiguration:
    """A configuration and its runs: a row of the comparison.

    Attributes:
        settings: the settings that tell it from the other rows.
        runs: its runs.
    """

    settings: Mapping[str, Any]
    runs: Sequence[FinishedRun]

    @cached_property
    def means(self) -> dict[str, Mean]:
        """Mean and interval of every measure."""
        return {name: mean_of([run.numbers.get(name) for run in self.runs]) for name in MEASURES}

    @cached_property
    def verdicts(self) -> list[tuple[str, int]]:
        """The verdicts of the runs, and how many runs have each: the most frequent first, of equals the worse first."""
        severity = {run.verdict: run.severity for run in self.runs}
        counts = Counter(run.verdict for run in self.runs)
        return sorted(counts.items(), key=lambda item: (-item[1], severity[item[0]], item[0]))

    @property
    def verdict(self) -> str:
        """The verdict that most runs have; of equally frequent ones, the worst."""
        return self.verdicts[0][0]

    def profile(self, moment: str, positions: int) -> list[float | None]:
        """Mean log10 RMS δ at evenly spaced relative depths, from the first hidden layer to the last.

        Relative depths let networks of different depths share a picture.

        Args:
            moment: `start` or `end`.
            positions: number of depths.

        Returns:
            `positions` numbers, interpolated between layers: −inf where δ is exactly 0 in a run, NaN where it is finite
            in no run. All of them are None where no run has a profile.
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
        """All that a condition or a column can name: settings, `n`, `verdict`, and the means."""
        means = {name: mean.value for name, mean in self.means.items()}
        first = self.runs[0].settings if self.runs else {}
        names = [key for key in known_settings([self.settings]) if key not in self.settings]
        short = {key: first[key] for key in names if key in first}  # a watched model has none of them
        return {**self.settings, **short, "n": len(self.runs), "verdict": self.verdict, **means}


@dataclass(frozen=True)
class Comparison:
    """Configurations side by side.

    Attributes:
        rows: the configurations, in the order in which they are shown.
        differing: settings in which the rows differ, in the order of the config.
        shared: settings that all rows have in common.
        folded: settings that differ within a row, and how many values they have there.
        groups: the settings of `group_by`; empty where every configuration is a row.
    """

    rows: Sequence[ComparedConfiguration]
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
        where: a condition. Its parts about settings choose runs; its parts about results choose rows.
        group_by: settings whose values make the rows, whatever else differs; by default all settings but the seed.
        sort: columns to sort by, `-name` for the largest first; by default the settings that differ.

    Raises:
        UserError: a condition, a group or a column has a name that no run has, or no row fulfils the condition.
    """
    known = known_settings(run.settings for run in runs.finished)
    chosen, conditions = _chosen(runs.finished, parse(where).terms() if where else (), known)
    for key in group_by:
        check_name(key, known, "--group-by", "settings")
    differs = _differing(chosen)
    keys = list(group_by) or [key for key in differs if key not in FOLDED]
    if not group_by and not all("model.kind" in run.settings for run in chosen):
        keys = ["name", *keys]  # a watched model has no settings: its name tells it apart
    rows = _rows(chosen, keys)
    for condition in conditions:
        rows = [row for row in rows if condition.holds(row.values)]
    if where and runs.finished and not rows:
        raise _nothing(where, runs.finished, parse(where).names)
    differs = _differing([run for row in rows for run in row.runs])  # of the runs that are left
    within = {key: _most_values(rows, key) for key in differs}
    shown = [key for key in keys if key in differs] if not group_by else list(group_by)
    if not group_by and "name" in differs and within["name"] == 1 and "name" not in shown:
        shown = ["name", *shown]
        rows = [ComparedConfiguration({"name": row.runs[0].settings["name"], **row.settings}, row.runs) for row in rows]
    return Comparison(
        rows=_sorted(rows, sort, shown),
        differing=shown,
        shared=_shared(rows, [*differs, *shown]),
        folded={key: count for key, count in within.items() if count > 1 and key not in shown},
        groups=tuple(group_by),
    )


# ------------------------------------------------------------------------------------------------- choosing, sorting


def _chosen(
    runs: Sequence[FinishedRun], terms: Sequence[Expression], known: Sequence[str]
) -> tuple[Sequence[FinishedRun], list[Expression]]:
    """The runs that fulfil the conditions on settings; and the conditions on results, which are about rows."""
    conditions = []
    for term in terms:
        for name in sorted(term.names):
            check_name(name, [*known, *RESULT_NAMES], "--where", "names")
        if term.names & set(RESULT_NAMES):
            if folded := term.names & set(FOLDED):
                what = f"--where: {term.text} asks for {', '.join(sorted(folded))} of a row, which has several"
                raise UserError(what, fix="Join conditions on settings and on results with `and`.")
            conditions.append(term)
        else:
            runs = [run for run in runs if term.holds(run.settings)]
    return runs, conditions


RESULT_NAMES = ("n", "verdict", *MEASURES)
"""Results of a row: what can be named besides settings."""


def check_name(name: str, known: Sequence[str], option: str, what: str) -> None:
    """Raise `UserError` if an option of the command line names something that is not there.

    Args:
        name: the name.
        known: the names that are there.
        option: the option, for the message.
        what: what it names, in the plural.
    """
    if name not in known:
        raise UserError(f"{option}: there is no {name!r} here{named(name, known, what)}")


def _nothing(where: str, runs: Sequence[FinishedRun], names: Iterable[str]) -> UserError:
    """The error where no row fulfils a condition. It lists the values that its names have."""
    lines = []
    for name in sorted(names):
        values = sorted({setting_text(run.settings[name]) for run in runs if name in run.settings})
        if name == "verdict":
            values = sorted({run.verdict for run in runs})
        if values:
            lines.append(f"{name} is {first_of(values)}")
    return UserError(f"--where: {where!r} holds of none of {len(runs)} runs", fix="; ".join(lines))


def _sorted(
    rows: Sequence[ComparedConfiguration], sort: Sequence[str], differing: Sequence[str]
) -> list[ComparedConfiguration]:
    """Rows in order. Rows without a value come last in both directions."""
    ordered = list(rows)
    names = list(dict.fromkeys([*RESULT_NAMES, *known_settings(row.settings for row in rows)]))
    for key in reversed(list(sort) or list(differing)):
        name = key.removeprefix("-")
        check_name(name, names, "--sort", "columns")
        have = [row for row in ordered if row.values.get(name) is not None]
        rest = [row for row in ordered if row.values.get(name) is None]
        ordered = sorted(have, key=lambda row: _order(row.values[name]), reverse=key.startswith("-")) + rest
    return ordered


def _order(value: Any) -> tuple[Any, ...]:
    """A key to sort by: numbers by size, then words."""
    if isinstance(value, bool):
        return (0, int(value))
    return (0, value) if isinstance(value, int | float) else (1, str(value))


# ----------------------------------------------------------------------------------------------------------- folding


def _differing(runs: Sequence[FinishedRun]) -> list[str]:
    """Settings in which runs differ, in the order of the config.

    An option that only some runs have, with the same value in all of these, is left out: the choice that the option
    belongs to differs already.
    """
    values: dict[str, Any] = {}
    differing = set()
    for run in runs:
        for key, value in run.settings.items():
            if key in REMARKS:
                continue
            if key not in values:
                values[key] = value
            elif not same_value(values[key], value):
                differing.add(key)
    first = list(runs[0].settings) if runs else []
    return sorted(differing, key=lambda key: _parents_first(key, first))


def _parents_first(key: str, known: Sequence[str]) -> tuple[int, str]:
    """A key to sort settings by. An option that the first run does not have stands behind the choice it belongs to."""
    parent = key
    while parent not in known and "." in parent:
        parent = parent.rpartition(".")[0]
    return (known.index(parent) if parent in known else len(known), key)


def _rows(runs: Sequence[FinishedRun], keys: Sequence[str]) -> list[ComparedConfiguration]:
    groups: dict[tuple[Any, ...], list[FinishedRun]] = {}
    for run in runs:
        # == cannot tell True from 1; repr can
        groups.setdefault(tuple((repr(run.settings.get(key))) for key in keys), []).append(run)
    return [
        ComparedConfiguration({key: group[0].settings.get(key) for key in keys}, group) for group in groups.values()
    ]


def _most_values(rows: Sequence[ComparedConfiguration], key: str) -> int:
    """The largest number of values that a setting has within one row."""
    return max((len({repr(run.settings.get(key)) for run in row.runs}) for row in rows), default=0)


def _shared(rows: Sequence[ComparedConfiguration], differing: Sequence[str]) -> dict[str, Any]:
    runs = [run for row in rows for run in row.runs]
    everywhere = set(runs[0].settings).intersection(*(run.settings for run in runs)) if runs else set()
    left_out = {*differing, *REMARKS}
    return {key: value for key, value in (runs[0].settings if runs else {}).items() if key in everywhere - left_out}


def _marked(profile: Sequence[float | None], status: str) -> list[float]:
    """A profile from JSON, which has no infinities: null stands for exactly 0, or in a diverged run for NaN."""
    missing = math.nan if status == "diverged" else -math.inf
    return [missing if value is None else value for value in profile]


def ten_to_the(log: float) -> float:
    """10 to a power that is cut to the range of floats, so that a tiny δ does not become exactly 0."""
    return log if math.isnan(log) else 0.0 if log == -math.inf else 10 ** max(min(log, 300.0), -323.0)


def _resampled(profile: Sequence[float], positions: int) -> list[float]:
    """A profile at evenly spaced relative depths. Next to a value that is not finite, the nearer value is taken."""
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
