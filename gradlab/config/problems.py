"""Pydantic's errors in gradlab's words: what arrived, what was allowed, and what was perhaps meant.

One translator serves every part of a file that is validated. A `Form` says what such a part is made of and which words
are its own; `CONFIG` is that of a config.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gradlab.choices import OneOf, Options
from gradlab.config import Config
from gradlab.config.yaml import Path_, flow
from gradlab.text import did_you_mean, dotted


@dataclass(frozen=True)
class Form:
    """What a validated part of a file is made of, and the words of its messages.

    Attributes:
        model: what it becomes.
        choices: where it names one of a registry's choices, by dotted key.
        expected: what was expected, by pydantic's kind of error.
        expected_at: what was expected, by dotted key, or by its last word.
        patterns: what text must look like, by dotted key.
        numbers: what else may stand in place of a word, by the last word of a key.
    """

    model: type[Options]
    choices: Mapping[str, OneOf] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    expected_at: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)


def explain(
    error: ValidationError, data: Any, form: Form, unreadable: Iterable[Path_] = ()
) -> Iterator[tuple[Path_, Path_, str]]:
    """What is wrong with data, one problem a place.

    Args:
        error: what pydantic says.
        data: what was validated.
        form: what it should have been.
        unreadable: keys whose value is not known, so that nothing is said of it.

    Yields:
        Where the problem is, the key whose place in the file shows it, and one sentence.
    """
    found: set[Path_] = set()
    for details in error.errors(include_url=False):
        path = _written_path(details, data)
        if any(path[:end] in found for end in range(len(path) + 1)):
            continue  # the branches of a union: one problem is enough
        if any(known[: len(path)] == path for known in unreadable):
            continue
        found.add(path)
        message, where = _message(details, path, form), path
        choice = form.choices.get(dotted(path))
        if choice is not None and details["type"] == "union_tag_invalid":
            where = (*path, choice.tag)
            path = where if choice.tag != "name" and isinstance(details["input"], Mapping) else path
        yield path, where, message


def _written_path(error: ErrorDetails, data: Any) -> Path_:
    """Pydantic's location as the user wrote it: without the names of unions' branches."""
    path: list[str | int] = []
    for step in error["loc"]:
        inside: Any = data if isinstance(data, Mapping) else range(len(data)) if isinstance(data, list) else ()
        if step in inside:
            data = data[step]
            path.append(step)
    if error["type"] == "missing" and isinstance(data, Mapping):
        path.append(error["loc"][-1])
    return tuple(path)


# ------------------------------------------------------------------------------------------------------------ messages

_BOUNDS = {"greater_than_equal": "at least", "greater_than": "greater than", "less_than_equal": "at most",
           "less_than": "less than"}  # fmt: skip
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "path_type": "a path",
    **dict.fromkeys(("tuple_type", "missing", "too_short", "too_long"), "a list of two numbers"),
}
"""What pydantic's kinds of errors expect, whatever the form. The last ones are about pairs."""


def _message(error: ErrorDetails, path: Path_, form: Form) -> str:
    """One problem in plain words: what arrived, what was allowed."""
    kind, context, given = error["type"], error.get("ctx", {}), flow(error["input"])
    key = dotted(path)
    if kind == "extra_forbidden":
        known = _fields(_models_at(form.model, error["loc"][:-1]))
        return f"unknown key{did_you_mean(str(path[-1]), known)}  (choices: {', '.join(known)})"
    if kind == "value_error":
        return str(context["error"])
    if key in form.choices:
        return _choice_message(error, form.choices[key])
    if kind in _BOUNDS:
        limit = next(iter(context.values()))
        return f"must be {_BOUNDS[kind]} {limit if isinstance(limit, int) else f'{limit:g}'}, not {given}"
    if kind == "missing" and not isinstance(error["loc"][-1], int):
        return "is missing"
    if kind in ("literal_error", "union_tag_invalid"):
        words = str(context.get("expected", context.get("expected_tags"))).replace("'", "").replace(" or ", ", ")
        arrived = context.get("tag", error["input"])
        number = form.numbers.get(str(path[-1]), "") if str(error["loc"][-1]).startswith("literal[") else ""
        near = did_you_mean(str(arrived), words.split(", "))
        return f"must be one of the choices, not {flow(arrived)}{near}  (choices: {words}{number})"
    if kind == "union_tag_not_found":
        models = _models_at(form.model, error["loc"])
        return f"has no {models[0].tag}  (choices: {', '.join(_name_of(model) for model in models)})"
    if kind in ("too_short", "too_long") and context.get("field_type") == "List":
        return "is empty" if kind == "too_short" else f"has at most {context['max_length']}, not {len(error['input'])}"
    if kind == "string_too_short" and kind not in form.expected:
        return "is empty"
    if kind == "string_pattern_mismatch":
        keys = (key, dotted(path[:-1]))  # of an item of a list, those of the list
        allowed = [form.patterns[known] for known in keys if known in form.patterns]
        return f"{(*allowed, 'must be other text')[0]}, not {given}"
    return f"must be {_expected(kind, path, error, form)}, not {given}"


def _choice_message(error: ErrorDetails, one_of: OneOf) -> str:
    given, tag = error["input"], one_of.tag
    name = given.get(tag) if isinstance(given, Mapping) else given
    choices = f"  (choices: {', '.join(one_of.names)})"
    if isinstance(given, Mapping) and tag not in given:
        return f"has no {tag}{choices}"
    if not isinstance(name, str):
        return f"must be a name or a mapping with a {tag}, not {flow(name)}{choices}"
    return f"{name!r} is not {one_of.noun}{did_you_mean(name, one_of.names)}{choices}"


def _expected(kind: str, path: Path_, error: ErrorDetails, form: Form) -> str:
    for key in (dotted(path), str(path[-1]) if path else ""):
        if key in form.expected_at:
            return form.expected_at[key]
    words = {**_EXPECTED, **form.expected}
    if kind in ("model_type", "model_attributes_type", "dict_type") and kind not in words:
        known = _fields(_models_at(form.model, error["loc"]))
        return f"a mapping with the keys {', '.join(known)}" if known else "a mapping"
    return words.get(kind, "something else")


# ---------------------------------------------------------------------------------------------------- what may stand


def _models_at(root: type[Options], location: Sequence[str | int]) -> list[type[Options]]:
    """The models that may stand at one of pydantic's locations, in which the branches of unions are named."""
    models = [root]
    for step in location:
        fields = [model.model_fields[str(step)] for model in models if step in model.model_fields]
        named = [model for model in models if step in (model.__name__, _name_of(model))]
        models = [model for field in fields for model in _models_of(field)] if fields else named or models
    return models


def _models_of(field: FieldInfo) -> list[type[Options]]:
    """The models that a field may hold."""
    one_of = _one_of(field)
    return list(one_of.choices.values()) if one_of else _models_in(field.annotation)


def _models_in(annotation: Any) -> list[type[Options]]:
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _one_of(field: FieldInfo) -> OneOf | None:
    return next((note for note in field.metadata if isinstance(note, OneOf)), None)


def _name_of(model: type[Options]) -> str:
    """What a file calls a choice; empty for a model that is none."""
    tag = model.model_fields.get(model.tag)
    return str((*get_args(tag.annotation), "")[0]) if tag else ""


def _fields(models: Sequence[type[Options]]) -> list[str]:
    return list(dict.fromkeys(key for model in models for key in model.model_fields))


# -------------------------------------------------------------------------------------------------------- of a config


def _choices(model: type[Options], prefix: str = "") -> Iterator[tuple[str, OneOf, Any]]:
    """Every field below a model that takes a choice: its dotted key, what it takes, and its default."""
    for key, info in model.model_fields.items():
        if (one_of := _one_of(info)) is not None:
            yield f"{prefix}{key}", one_of, info.default
        for inner in _models_of(info):
            yield from _choices(inner, f"{prefix}{key}.")


_SLOTS = list(_choices(Config))[::-1]  # of a key that several choices have, the first counts
CHOICES: Mapping[str, OneOf] = {key: one_of for key, one_of, _ in _SLOTS}
"""Where a config names one of a registry's choices."""
_DEFAULTS = {key: {one_of.tag: _name_of(type(default))} for key, one_of, default in _SLOTS}

CONFIG = Form(
    model=Config,
    choices=CHOICES,
    expected={
        "string_type": "text in quotes",
        "string_too_short": "a name",
        "string_too_long": "a shorter name",
    },
    expected_at={
        "tags": "a list of words",
        "model.width": "a whole number, at least 1, or a list of them",
        "model.residual": "true, false, {scale: 0.1} or {scale: zero}",
        "data.dataset": "a name or a number",
        "data.batch_size": "a whole number, at least 1, or full",
        "data.version": "a whole number or 'active'",
    },
    patterns={
        "name": "must be letters, digits, '.', '_' and '-', beginning with a letter or digit",
        "tags": "must be one word of letters, digits, '.', '_' and '-'",
        "device": "must be auto, cpu, cuda, cuda:0 (or another number) or mps",
    },
)
"""A config."""


def default_choice(key: str) -> dict[str, Any]:
    """What an override of an option refers to where the file does not name a choice: the default one."""
    return dict(_DEFAULTS.get(key, {}))
