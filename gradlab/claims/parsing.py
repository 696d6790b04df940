"""The section `claim` of a sweep file ─► Claim, with every problem at once and where it stands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gradlab.claims import claim as forms
from gradlab.claims.claim import Claim, Course
from gradlab.config.files import Document
from gradlab.config.problems import written_path
from gradlab.config.yaml import flow
from gradlab.errors import Problem
from gradlab.measures.settings import Settings, configuration, differing, matches, partner, value_of
from gradlab.text import did_you_mean

SECTION = "claim"
"""The key of a sweep file."""
MODELS = {
    name: model for name, model in vars(forms).items() if isinstance(model, type) and issubclass(model, BaseModel)
}
DRAWINGS = {"profile": "Profile", "course": "Course", "points": "Points", "histograms": "Histograms"}
NUMBERS = {"at": ", or a step", "layers": ", or the number of a layer"}
"""What may stand in place of a word."""
EXPECTED = {
    "string_type": "text",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
}
"""What pydantic's kinds of errors expect; all others, a mapping."""

Path_ = tuple[str | int, ...]


def read_claim(document: Document) -> tuple[Claim | None, list[Problem]]:
    """The claim of a sweep file, if it has one, and what is wrong with its form."""
    if SECTION not in document.data:
        return None, []
    data = document.data[SECTION]
    try:
        return Claim.model_validate(data), []
    except ValidationError as error:
        found: dict[Path_, Problem] = {}
        for details in error.errors(include_url=False):
            path = written_path(details, data)
            if any(path[:end] in found for end in range(len(path) + 1)):
                continue  # the branches of a union: one problem is enough
            words = ".".join(map(str, (SECTION, *path)))
            found[path] = Problem(f"{words}: {_message(details, path)}", document.place((SECTION, *path)))
        return None, list(found.values())


def check_runs(claim: Claim, runs: Sequence[Settings], document: Document | None = None) -> list[Problem]:
    """What is wrong with a claim beside the runs of its sweep: what it speaks of that they do not have.

    Args:
        claim: the claim.
        runs: settings of every run, by dotted key.
        document: the sweep file, where there is one.
    """
    return [
        Problem(
            f"{'.'.join(map(str, (SECTION, *path)))}: {message}", document.place((SECTION, *path)) if document else ""
        )
        for path, message in _unmet(claim, runs)
    ]


def _unmet(claim: Claim, runs: Sequence[Settings]) -> Iterator[tuple[Path_, str]]:
    known = sorted({key for settings in runs for key in settings})
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


def _message(error: ErrorDetails, path: Path_) -> str:
    """One problem in plain words: what arrived, what was allowed."""
    kind, context, given = error["type"], error.get("ctx", {}), flow(error["input"])
    if kind == "extra_forbidden":
        known = _fields(error["loc"])
        return f"unknown key{did_you_mean(str(error['loc'][-1]), known)}  (choices: {', '.join(known)})"
    if kind in ("literal_error", "union_tag_invalid"):
        allowed = str(context.get("expected", context.get("expected_tags"))).replace("'", "").replace(" or ", ", ")
        arrived = context.get("tag", error["input"])
        near = did_you_mean(str(arrived), allowed.split(", "))
        number = NUMBERS.get(str(path[-1]), "") if str(error["loc"][-1]).startswith("literal[") else ""
        return f"must be one of the choices, not {flow(arrived)}{near}  (choices: {allowed}{number})"
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_not_found":
        return f"has no draw  (choices: {', '.join(DRAWINGS)})"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}, not {given}"
    if kind == "too_long":
        return f"has at most {context['max_length']}, not {context['actual_length']}"
    if kind in ("missing", "too_short", "string_too_short"):
        return "is missing" if kind == "missing" else "is empty"
    if path[-1:] == ("measure",):
        return f"must be the name of a number or a mapping, not {given}"
    return f"must be {EXPECTED.get(kind, 'a mapping')}, not {given}"


def _fields(location: Sequence[str | int]) -> list[str]:
    """The keys that are allowed where an unknown one stands."""
    for step in reversed(location[:-1]):
        name = DRAWINGS.get(str(step), str(step))
        model = MODELS.get({"expect": "Expectation"}.get(name, name))
        if model is not None:
            return list(model.model_fields)
    return list(Claim.model_fields)
