"""The section `claim` of a sweep file ─► Claim, with every problem at once and where it stands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gradlab.claims import claim as forms
from gradlab.claims.claim import Claim
from gradlab.claims.selecting import Settings, configuration, differing, matches, partner, value_of
from gradlab.config_files import Document
from gradlab.config_messages import written_path
from gradlab.errors import Problem
from gradlab.words import did_you_mean
from gradlab.yaml_text import flow

SECTION = "claim"
"""The key of a sweep file."""
MODELS = {
    name: model for name, model in vars(forms).items() if isinstance(model, type) and issubclass(model, BaseModel)
}
DRAWINGS = {"profile": "Profile", "course": "Course", "points": "Points", "histograms": "Histograms"}


def read_claim(document: Document) -> tuple[Claim | None, list[Problem]]:
    """The claim of a sweep file, if it has one, and what is wrong with its form."""
    if SECTION not in document.data:
        return None, []
    data = document.data[SECTION]
    try:
        return Claim.model_validate(data), []
    except ValidationError as error:
        found: dict[tuple[str | int, ...], Problem] = {}
        for details in error.errors(include_url=False):
            path = written_path(details, data)
            if any(path[:end] in found for end in range(len(path) + 1)):
                continue  # the branches of a union: one problem is enough
            words = ".".join(map(str, (SECTION, *path)))
            found[path] = Problem(f"{words}: {_message(details)}", document.place((SECTION, *path)))
        return None, list(found.values())


def check_runs(claim: Claim, runs: Sequence[Settings], place: str = "") -> list[Problem]:
    """What is wrong with a claim beside the runs of its sweep: what it speaks of that they do not have.

    Args:
        claim: the claim.
        runs: settings of every run, by dotted key.
        place: where the claim stands.
    """
    return [Problem(f"claim.{message}", place) for message in _unmet(claim, runs)]


def _unmet(claim: Claim, runs: Sequence[Settings]) -> Iterator[str]:
    parts: list[tuple[str, Any]] = [(f"expect.{index}", part) for index, part in enumerate(claim.expect)]
    parts += [(f"picture.{index}", part) for index, part in enumerate(claim.picture)]
    for where, part in parts:
        chosen = [settings for settings in runs if matches(settings, part.of)]
        if not chosen:
            yield f"{where}.of: no run of the sweep is like this{_hint(part.of, runs)}"
            continue
        if changed := getattr(part, "partner", None):
            alone = [settings for settings in chosen if partner(settings, runs, changed) is None]
            if alone:
                yield f"{where}: {len(alone)} of {len(chosen)} runs have no single partner with {flow(dict(changed))}"
        if where.startswith("picture"):
            yield from (f"{where}: {message}" for message in _undrawable(part, chosen))


def _undrawable(panel: Any, chosen: Sequence[Settings]) -> Iterator[str]:
    """A line, or a point, must be one configuration."""
    told = [key for key in (getattr(panel, "across", ""), getattr(panel, "lines", "")) if key not in ("", "layer")]
    unknown = [key for key in told if not any(key in settings for settings in chosen)]
    for key in unknown:
        known = sorted({key for settings in chosen for key in settings})
        yield f"{key!r} is not a setting{did_you_mean(key, known)}"
    groups: dict[Any, list[Settings]] = {}
    for settings in chosen:
        groups.setdefault(tuple(repr(value_of(settings, key)) for key in told), []).append(settings)
    for group in groups.values() if not unknown else ():
        if len({configuration(settings) for settings in group}) > 1:
            what = "a line" if told else "what it draws"
            yield f"{', '.join(differing(group))} differ within {what}; add them to of, or to lines"
            return


def _hint(wanted: Mapping[str, Any], runs: Sequence[Settings]) -> str:
    for key, value in wanted.items():
        known = sorted({other for settings in runs for other in settings})
        if key not in known:
            return f"; {key!r} is not a setting{did_you_mean(key, known)}"
        if not any(matches(settings, {key: value}) for settings in runs):
            there = list(dict.fromkeys(flow(settings[key]) for settings in runs if key in settings))
            return f"; {key} is never {flow(value)}  (values: {', '.join(there[:10])})"
    return ""


def _message(error: ErrorDetails) -> str:
    kind, context, given = error["type"], error.get("ctx", {}), flow(error["input"])
    if kind == "extra_forbidden":
        known = _fields(error["loc"])
        return f"unknown key{did_you_mean(str(error['loc'][-1]), known)}  (choices: {', '.join(known)})"
    if kind in ("literal_error", "union_tag_invalid"):
        allowed = str(context.get("expected", context.get("expected_tags"))).replace("'", "").replace(" or ", ", ")
        arrived = str(context.get("tag", error["input"]))
        return f"must be one of the choices, not {arrived!r}{did_you_mean(arrived, allowed.split(', '))}  ({allowed})"
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "is missing"
    if kind == "union_tag_not_found":
        return f"has no draw  (choices: {', '.join(DRAWINGS)})"
    return f"{error['msg'].removeprefix('Input ').replace('valid ', '')}, not {given}"


def _fields(location: Sequence[str | int]) -> list[str]:
    """The keys that are allowed where an unknown one stands."""
    for step in reversed(location[:-1]):
        name = DRAWINGS.get(str(step), str(step))
        model = MODELS.get({"expect": "Expectation"}.get(name, name))
        if model is not None:
            return list(model.model_fields)
    return list(Claim.model_fields)
