"""Pydantic's errors in gradlab's words: what arrived, what was allowed, and what was perhaps meant.

One translator serves every part of a file that is validated. A `Form` says what such a part is made of and which words
are its own; `CONFIG` is that of a config.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gradlab.choices import OneOf, Options
from gradlab.config import Config
from gradlab.config.keys import CHOICES, SWEEP, elsewhere, fields_of, models_at, name_of
from gradlab.config.yaml import Path_, flow
from gradlab.nearest import did_you_mean, named
from gradlab.text import dotted


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
        return _unknown_key(path, fields_of(models_at(form.model, error["loc"][:-1])), form)
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
        models = models_at(form.model, error["loc"])
        return f"has no {models[0].tag}  (choices: {', '.join(name_of(model) for model in models)})"
    if kind in ("too_short", "too_long") and context.get("field_type") == "List":
        return "is empty" if kind == "too_short" else f"has at most {context['max_length']}, not {len(error['input'])}"
    if kind == "string_too_short" and kind not in form.expected:
        return "is empty"
    if kind == "string_pattern_mismatch":
        keys = (key, dotted(path[:-1]))  # of an item of a list, those of the list
        allowed = [form.patterns[known] for known in keys if known in form.patterns]
        return f"{(*allowed, 'must be other text')[0]}, not {given}"
    return f"must be {_expected(kind, path, error, form)}, not {given}"


def _unknown_key(path: Path_, known: Sequence[str], form: Form) -> str:
    """That there is no such key; if another part of a config has it, which."""
    key = str(path[-1])
    if form.model is Config and key in SWEEP:
        return "unknown key; sweep files have it, and gradlab sweep runs them"
    parts = elsewhere(key) if form.model is Config and not did_you_mean(key, known) else []
    parts = [] if dotted(path) in parts else parts  # an option of another choice
    return f"unknown key; a config has {' and '.join(parts)}" if parts else f"unknown key{named(key, known)}"


def _choice_message(error: ErrorDetails, one_of: OneOf) -> str:
    given, tag = error["input"], one_of.tag
    name = given.get(tag) if isinstance(given, Mapping) else given
    choices = named(str(name or ""), one_of.names, everything=f"gradlab list {one_of.noun.split()[-1]}s")
    if isinstance(given, Mapping) and tag not in given:
        return f"has no {tag}{choices}"
    if not isinstance(name, str):
        return f"must be a name or a mapping with a {tag}, not {flow(name)}{choices}"
    return f"{name!r} is not {one_of.noun}{one_of.beyond and '; '}{one_of.beyond}{choices}"


def _expected(kind: str, path: Path_, error: ErrorDetails, form: Form) -> str:
    for key in (dotted(path), str(path[-1]) if path else ""):
        if key in form.expected_at:
            return form.expected_at[key]
    words = {**_EXPECTED, **form.expected}
    if kind in ("model_type", "model_attributes_type", "dict_type") and kind not in words:
        known = fields_of(models_at(form.model, error["loc"]))
        return f"a mapping with the keys {', '.join(known)}" if known else "a mapping"
    return words.get(kind, "something else")


# -------------------------------------------------------------------------------------------------------- of a config


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
