"""The section `claim` of a sweep file ─► Claim, with every problem at once and where it stands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from gradlab.claims.claim import Claim, Course
from gradlab.config.files import Document
from gradlab.config.problems import Form, explain
from gradlab.config.yaml import Path_, flow
from gradlab.errors import Problem
from gradlab.measures.settings import (
    Settings,
    configuration,
    differing,
    known_settings,
    matches,
    partner,
    value_of,
)
from gradlab.nearest import did_you_mean

SECTION = "claim"
"""The key of a sweep file."""
FORM = Form(
    model=Claim,
    expected={
        "string_type": "text",
        **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), "a mapping"),
    },
    expected_at={"measure": "the name of a number or a mapping"},
    numbers={"at": ", or a step", "layers": ", or the number of a layer"},
)
"""The section `claim`."""


def read_claim(document: Document) -> tuple[Claim | None, list[Problem]]:
    """The claim of a sweep file, if it has one, and what is wrong with its form."""
    if SECTION not in document.data:
        return None, []
    data = document.data[SECTION]
    try:
        return Claim.model_validate(data), []
    except ValidationError as error:
        return None, [_problem(path, message, document, where) for path, where, message in explain(error, data, FORM)]


def _problem(path: Path_, message: str, document: Document | None, where: Path_) -> Problem:
    place = document.place((SECTION, *where)) if document else ""
    return Problem(f"{'.'.join(map(str, (SECTION, *path)))}: {message}", place)


def check_runs(claim: Claim, runs: Sequence[Settings], document: Document | None = None) -> list[Problem]:
    """What is wrong with a claim beside the runs of its sweep: what it speaks of that they do not have.

    Args:
        claim: the claim.
        runs: settings of every run, by dotted key.
        document: the sweep file, where there is one.
    """
    return [_problem(path, message, document, path) for path, message in _unmet(claim, runs)]


def _unmet(claim: Claim, runs: Sequence[Settings]) -> Iterator[tuple[Path_, str]]:
    known = sorted(known_settings(runs))
    parts: list[tuple[Path_, Any]] = [(("expect", index), part) for index, part in enumerate(claim.expect)]
    parts += [(("picture", index), part) for index, part in enumerate(claim.picture)]
    for path, part in parts:
        unknown = list(_unknown(part, known))
        yield from (((*path, where), f"{key!r} is not a setting{did_you_mean(key, known)}") for where, key in unknown)
        if unknown:
            continue
        chosen = [settings for settings in runs if matches(settings, part.of)]
        if not chosen:
            yield (*path, "of"), f"no run of the sweep is like this{_hint(part.of, runs)}"
            continue
        if changed := getattr(part, "partner", None):
            alone = [settings for settings in chosen if partner(settings, runs, changed) is None]
            if alone:
                where = "minus" if part.minus else "over"
                missing = f"{len(alone)} of {len(chosen)} runs have no single partner with {flow(dict(changed))}"
                yield (*path, where), missing + _hint(changed, runs)
        if path[0] == "picture" and (message := _undrawable(part, chosen)):
            yield path, message


def _unknown(part: Any, known: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Settings that a part names and no run has, and where it does."""
    for where in ("of", "minus", "over"):
        yield from ((where, key) for key in getattr(part, where, ()) if key not in known)
    for where in ("across", "lines"):
        key = getattr(part, where, "")
        if key and key not in known and not (key == "layer" and isinstance(part, Course)):
            yield where, key


def _undrawable(panel: Any, chosen: Sequence[Settings]) -> str:
    """Why a panel cannot be drawn: a line, or a point, must be one configuration."""
    told = [key for key in (getattr(panel, "across", ""), getattr(panel, "lines", "")) if key not in ("", "layer")]
    groups: dict[Any, list[Settings]] = {}
    for settings in chosen:
        groups.setdefault(tuple(repr(value_of(settings, key)) for key in told), []).append(settings)
    for group in groups.values():
        if len({configuration(settings) for settings in group}) > 1:
            what = "a point" if hasattr(panel, "across") else "a line" if told else "what it draws"
            remedy = "add to of, or to lines" if getattr(panel, "lines", "layer") != "layer" else "add to of"
            keys = differing(group)
            return f"{', '.join(keys)} {'differ' if len(keys) > 1 else 'differs'} within {what}; {remedy}"
    return ""


def _hint(wanted: Mapping[str, Any], runs: Sequence[Settings]) -> str:
    """The first setting that no run has like this, and which there are."""
    for key, value in wanted.items():
        if not any(matches(settings, {key: value}) for settings in runs):
            there = list(dict.fromkeys(flow(settings[key]) for settings in runs if key in settings))
            return f"; {key} is never {flow(value)}  (values: {', '.join(there[:10])})"
    return ""
