"""What a sweep file says, or the axes typed on the command line: read, placed, not yet multiplied out.

Every part keeps its place, so that what is wrong with a point can be said where the value stands that made it so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from gradlab.claims.claim import Claim
from gradlab.claims.parsing import read_claim
from gradlab.config.files import Document, absolute, read_document
from gradlab.config.keys import SWEEP, in_full
from gradlab.errors import ConfigError, Problem
from gradlab.nearest import did_you_mean
from gradlab.sweeps.ranges import EXAMPLES, RANGES, parse_range
from gradlab.text import setting_text, settings_text

MOST_POINTS = 100_000
"""Points that a sweep may have."""
MOST_AXES = 50
"""Axes that it may have; a config has fewer settings."""
KEYS = SWEEP
"""What a sweep file says; a file with none of these is a config."""


def label(settings: Mapping[str, Any]) -> str:
    """Settings as one would type them: `model.depth=5 seed=0`."""
    return settings_text(settings, exact=True)


def written(value: Any) -> str:
    """A value in one line, as YAML."""
    return setting_text(value, exact=True)


class Setting(NamedTuple):
    """A value that the sweep sets, and where it says so."""

    value: Any
    place: str


Settings = Mapping[str, Setting]


@dataclass(frozen=True)
class Sweep:
    """What a sweep file says, read but not yet multiplied out. `counts` are known where an axis is too long to be;
    `source` is the file, which knows where each part of the claim stands.
    """

    base: Document
    grid: Mapping[str, Sequence[Setting]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    pairs: Sequence[Settings] = ()
    exclude: Sequence[Settings] = ()
    claim: Claim | None = None
    problems: Sequence[Problem] = ()
    source: Document | None = None


def read_sweep(source: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file, or a config, and the axes that were typed.

    Args:
        source: a sweep file or a config.
        overrides: `KEY=V1,V2 …`; each is an axis, in place of the file's axis of that key.

    Raises:
        ConfigError: all that is wrong with the form of it.
    """
    document = read_document(source)
    sweep = _read(document, source) if set(KEYS) & set(document.data) else Sweep(document)
    for text in overrides:
        sweep = _with_typed(sweep, text)
    if sweep.problems:
        raise ConfigError(sorted(sweep.problems, key=_line))
    return sweep


def _line(problem: Problem) -> int:
    line = problem.place.rpartition(":")[2]
    return int(line) if line.isdigit() else 0


def _read(document: Document, path: Path) -> Sweep:
    """A sweep file, with what is wrong with its form."""
    given = {key for key in document.data if (key,) in document.places}
    problems = [
        Problem(
            f"{key}: unknown key{did_you_mean(key, KEYS)}  (a sweep has: {', '.join(KEYS)})", document.place((key,))
        )
        for key in document.data
        if key in given and key not in KEYS
    ]
    base, wrong_base = _base(document, path)
    problems += wrong_base
    sweep = Sweep(base, source=document)
    axes = document.data.get("grid", {})
    if isinstance(axes, Mapping):
        for key, values in axes.items():
            places = [document.place(("grid", key, index)) for index in range(len(values))] if _listed(values) else []
            sweep = _with_axis(sweep, key, values, document.place(("grid", key)), places, document.base)
    else:
        problems.append(
            Problem(f"grid: must map keys to lists of values, not {written(axes)}", document.place(("grid",)))
        )
    pairs, wrong_pairs = _mappings(document, "pairs")
    exclude, wrong_exclude = _mappings(document, "exclude")
    claim, wrong_claim = read_claim(document)
    problems += [*document.problems, *wrong_pairs, *wrong_exclude, *wrong_claim]
    return replace(sweep, pairs=pairs, exclude=exclude, claim=claim, problems=[*problems, *sweep.problems])


def _base(document: Document, path: Path) -> tuple[Document, list[Problem]]:
    """The config that the points vary."""
    place, base = document.place(("base",)), document.data.get("base")
    if isinstance(base, Mapping):
        inside = {known[1:]: where for known, where in document.places.items() if known[:1] == ("base",)}
        unreadable = frozenset(known[1:] for known in document.unreadable if known[:1] == ("base",))
        data = {"name": document.data["name"], **base}
        return Document(data, {(): place, **inside}, document.base, unreadable=unreadable), []
    if not isinstance(base, str):
        wrong = f"must be a path or a config, not {written(base)}" if "base" in document.data else "is missing"
        fix = "; name a config file, relative to this one, or write the config here"
        return document, [Problem(f"base: {wrong}{fix}", place)]
    try:
        return read_document(path.parent / base), []
    except ConfigError as error:
        return document, [Problem(f"base: {problem}", place) for problem in error.problems]


def _mappings(document: Document, part: str) -> tuple[list[Settings], list[Problem]]:
    """`pairs` or `exclude`: a list of mappings of keys to one value each."""
    if part not in document.data:
        return [], []
    items, form = document.data[part], "a list of mappings such as {model.depth: 5, seed: 0}"
    if not items or not isinstance(items, list):
        arrived = "an empty list" if items == [] else written(items)
        return [], [Problem(f"{part}: must be {form}, not {arrived}", document.place((part,)))]
    found: list[Settings] = []
    problems = []
    for index, item in enumerate(items):
        if not item or not isinstance(item, Mapping):
            problems.append(
                Problem(f"{part}: must be {form}, not {written(item)} in it", document.place((part, index)))
            )
            continue
        found.append(
            {
                key: Setting(absolute(value, tuple(key.split(".")), document.base), document.place((part, index, key)))
                for key, value in item.items()
            }
        )
    return found, problems


def _with_typed(sweep: Sweep, text: str) -> Sweep:
    """The sweep with an axis that was typed on the command line."""
    key, equals, values = (part.strip() for part in text.partition("="))
    key = in_full(key)
    call = any(values.startswith(f"{name}(") for name in RANGES)
    document = Document({}).overridden([f"{key}={values}" if call else f"{key}=[{values}]" if equals else text])
    if document.problems:
        problems = [Problem(problem.message, text) for problem in document.problems]
        return replace(sweep, problems=[*sweep.problems, *problems])
    data: Any = document.data
    for step in key.split("."):
        data = data[step]
    return _with_axis(sweep, key, data, text, [], Path.cwd())


def _with_axis(sweep: Sweep, key: str, values: Any, place: str, places: Sequence[str], base: Path) -> Sweep:
    """The sweep with one more axis, or with what is wrong with it.

    Args:
        sweep: the sweep so far.
        key: what the axis varies.
        values: a list, or a range as text.
        place: where the axis stands.
        places: where its values stand, if they stand in places of their own.
        base: directory that relative paths refer to.
    """
    try:
        listed = parse_range(values) if isinstance(values, str) else None
        if listed is None and not _listed(values):
            hint = "; write dotted keys: model.depth" if isinstance(values, Mapping) else ""
            raise ValueError(f"must be a list of values, {EXAMPLES}; not {written(values)}{hint}")
        count = listed.count if listed else len(values)
        if not count:
            raise ValueError("has no values")
    except ValueError as error:
        return replace(sweep, problems=[*sweep.problems, Problem(f"{key}: {error}", place)])
    counts = {**sweep.counts, key: count}
    if count > MOST_POINTS:  # refused later, with the count of the whole sweep
        return replace(sweep, counts=counts)
    items = list(listed.values() if listed else values)
    path = tuple(key.split("."))
    settings = [
        Setting(absolute(item, path, base), where) for item, where in zip(items, places or [place] * count, strict=True)
    ]
    return replace(sweep, grid={**sweep.grid, key: settings}, counts=counts)


def _listed(values: Any) -> bool:
    return isinstance(values, list)
