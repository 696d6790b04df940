"""A sweep file, or a config and `KEY=V1,V2 …` ─► points: every combination, checked before anything runs.

    base: vanishing.yaml                          a path relative to the sweep file, or the config itself
    grid:                                         every combination
      model.activation: [tanh, relu]
      seed: range(0, 3)                           or linspace(0, 1, 5), or logspace(-4, -1, 7)
    pairs:                                        varied together: relu with he_normal, tanh as the base has it
      - {model.activation: relu, model.initializer: he_normal}
    exclude:                                      points left out
      - {model.activation: tanh, seed: 2}
    claim: …                                      what the runs are expected to show: `gradlab.claims`

A pair extends the grid's points that agree with it in the keys that both name. A point with which no pair agrees stays
as it is; one with which several agree becomes several. So pairs that share no key with the grid are an axis of their
own. Settings are applied from the outside in: `model.activation` before `model.activation.negative_slope`.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gradlab.choices import Options
from gradlab.choices.base import defaults_of
from gradlab.claims.claim import Claim
from gradlab.claims.parsing import check_runs
from gradlab.config import Config
from gradlab.config.files import Document
from gradlab.errors import ConfigError, Problem
from gradlab.measures.settings import same_value, settings_of
from gradlab.nearest import named
from gradlab.sweeps.sweep_file import MOST_AXES, MOST_POINTS, Setting, Settings, Sweep, label, read_sweep, written
from gradlab.text import first_of

SECTIONS = [name for name, info in Config.model_fields.items() if isinstance(info.default, Options)]
"""The parts of a config that are mappings."""
MOST_PROBLEMS = 20
"""Problems that are listed; the rest is counted."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes:
        config: what to run.
        settings: what the sweep sets in it, by dotted key.
    """

    config: Config
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """A sweep, ready to be run.

    Attributes:
        points: its runs.
        claim: what they are expected to show.
        not_judged: why they cannot show it, where axes were typed that leave out what the claim speaks of.
    """

    points: Sequence[Point]
    claim: Claim | None = None
    not_judged: str = ""


def load_plan(source: Path, overrides: Sequence[str] = ()) -> Plan:
    """The points of a sweep, in the order of its axes, the last one fastest, and its claim. Points with one id are one.

    Args:
        source: a sweep file or a config.
        overrides: `KEY=V1,V2 …`; each is an axis, in place of the file's axis of that key.

    Raises:
        ConfigError: all that is wrong with the sweep, or with any of its points.
    """
    sweep = read_sweep(source, overrides)
    if problems := list(_clashes(sweep)):
        raise ConfigError(problems)
    points = _configs(sweep)
    if sweep.claim is None:
        return Plan(points)
    settings = [settings_of(point.config) for point in points]
    problems = check_runs(sweep.claim, settings, sweep.source)
    if problems and not overrides:
        raise ConfigError(problems)
    return Plan(points, None, problems[0].message) if problems else Plan(points, sweep.claim)


def _clashes(sweep: Sweep) -> Iterator[Problem]:
    """What is wrong with the parts of a sweep beside one another, each part being of the right form."""
    if len(sweep.counts) > MOST_AXES:
        yield Problem(f"a sweep has at most {MOST_AXES} axes; this one has {len(sweep.counts)}")
        return
    beside = not any(key in sweep.counts for pair in sweep.pairs for key in pair)
    count = math.prod(sweep.counts.values()) * (max(1, len(sweep.pairs)) if beside else 1)
    if count > MOST_POINTS:
        lengths = " × ".join(f"{length} of {key}" for key, length in sweep.counts.items())
        yield Problem(f"a sweep has at most {MOST_POINTS} points; this one has {count}, {lengths}")
        return
    for pair in sweep.pairs:
        for key, setting in pair.items():
            if key in sweep.grid and not _among(setting.value, sweep.grid[key]):
                clash = f"clashes with the grid  (values there: {_some(sweep.grid[key])})"
                yield Problem(f"pairs: {key}={written(setting.value)} {clash}", setting.place)
        if all(key in sweep.grid for key in pair):
            message = f"pairs: {label(_values(pair))} sets nothing that the grid does not set"
            yield Problem(message, next(iter(pair.values())).place)
    axes = list(dict.fromkeys([*sweep.grid, *itertools.chain(*sweep.pairs)]))
    for left_out in sweep.exclude:
        for key, setting in left_out.items():
            known = [*sweep.grid.get(key, ()), *(pair[key] for pair in sweep.pairs if key in pair)]
            if not known:
                yield Problem(f"exclude: {key} is not an axis of the sweep{named(key, axes, 'axes')}", setting.place)
            elif not _among(setting.value, known):
                value = written(setting.value)
                yield Problem(f"exclude: {key} is never {value}  (values: {_some(known)})", setting.place)


def _some(settings: Sequence[Setting]) -> str:
    """The values of an axis, if there are not too many."""
    return first_of(dict.fromkeys(written(setting.value) for setting in settings))


def _combinations(sweep: Sweep) -> Iterator[Settings]:
    for settings in itertools.product(*sweep.grid.values()):
        combination = dict(zip(sweep.grid, settings, strict=True))
        for pair in [pair for pair in sweep.pairs if _agree(pair, combination)] or [{}]:
            point = {**combination, **pair}
            if not any(set(left_out) <= set(point) and _agree(left_out, point) for left_out in sweep.exclude):
                yield point


def _agree(some: Settings, others: Settings) -> bool:
    """Whether the keys that both name have the same values."""
    return all(same_value(setting.value, others[key].value) for key, setting in some.items() if key in others)


def _among(value: Any, settings: Sequence[Setting]) -> bool:
    return any(same_value(value, setting.value) for setting in settings)


def _values(settings: Settings) -> dict[str, Any]:
    return {key: setting.value for key, setting in settings.items()}


def _configs(sweep: Sweep) -> list[Point]:
    points: dict[str, Point] = {}
    problems: dict[str, Problem] = {}  # by message: one value is wrong in the same way in many points
    checked = _CheckedSections(sweep.base)
    for settings in _combinations(sweep):
        values = _values(settings)
        try:
            config = checked.config(values)
        except ConfigError as error:
            for problem in error.problems:
                if problem.message in problems:
                    continue
                if len(problems) >= MOST_PROBLEMS:  # those that are only counted need no explanation
                    problems[problem.message] = problem
                else:
                    problems[problem.message] = _explained(sweep.base, settings, problem)
        else:
            if not problems:
                points.setdefault(config.id, Point(config, values))
    if problems:
        more = len(problems) - MOST_PROBLEMS
        listed = list(problems.values())[:MOST_PROBLEMS]
        raise ConfigError(listed, fix=f"And {more} more of the kind." if more > 0 else "")
    if not points:
        raise ConfigError([Problem("exclude leaves no point of the sweep")])
    return list(points.values())


class _CheckedSections:
    """Sections of configs that were checked: points that set the same in a section share it, and it is checked once.

    Args:
        base: what the points have in common.
    """

    def __init__(self, base: Document) -> None:
        self._base = base
        self._sections: dict[str, dict[str, Options]] = {name: {} for name in SECTIONS}

    def config(self, values: Mapping[str, Any]) -> Config:
        """The config of a point.

        Args:
            values: what the point sets.

        Raises:
            ConfigError: all that is wrong with it.
        """
        set_in: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
        others = {}
        for key, value in values.items():
            section = key.partition(".")[0]
            if section in set_in:
                set_in[section][key] = value
            else:
                others[key] = value
        keys = {name: repr(within) for name, within in set_in.items()}
        known = {name: self._sections[name].get(key) for name, key in keys.items()}
        if None not in known.values() and not any("." in key for key in others):
            with suppress(ValidationError):
                return Config.model_validate({**self._base.data, **others, **known})
        config = _overridden(self._base, values).config()  # says where each part stands, if it is wrong
        for name, key in keys.items():
            section, default = getattr(config, name), defaults_of(Config)[name]
            self._sections[name][key] = default if section == default else section
        return config


def _overridden(base: Document, values: Mapping[str, Any]) -> Document:
    return base.overridden({key: values[key] for key in sorted(values, key=lambda key: key.count("."))})


def _explained(base: Document, settings: Settings, problem: Problem) -> Problem:
    """A point's problem, with the values of the sweep that made it: as few of them as make it too."""
    guilty = next(
        (
            keys
            for size in range(3)  # it is seldom the doing of three
            for keys in itertools.combinations(settings, size)
            if problem.message in _messages(base, {key: settings[key].value for key in keys})
        ),
        tuple(settings),
    )
    if not guilty:
        return problem
    key = problem.place.partition("=")[0]
    place = settings[key].place if key in settings else problem.place or settings[guilty[0]].place
    return Problem(f"{problem.message}  (at {label({key: settings[key].value for key in guilty})})", place)


def _messages(base: Document, values: Mapping[str, Any]) -> list[str]:
    try:
        _overridden(base, values).config()
    except ConfigError as error:
        return [problem.message for problem in error.problems]
    return []
