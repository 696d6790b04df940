"""Pydantic's errors about a config in gradlab's words: what arrived, what was allowed, and what was perhaps meant."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic_core import ErrorDetails

from gradlab.choices import ACTIVATIONS, ALIASES, DATASETS, INITIALIZERS, OPTIMIZERS, Choice, Options
from gradlab.config import Config
from gradlab.config.yaml import Path_, flow
from gradlab.text import did_you_mean, dotted

CHOICES: Mapping[str, tuple[str, Mapping[str, type[Choice]]]] = {
    "model.activation": ("an activation", ACTIVATIONS),
    "model.initializer": ("an initializer", INITIALIZERS),
    "data": ("a dataset", DATASETS),
    "train.optimizer": ("an optimizer", OPTIMIZERS),
}
"""Where a config names one of a registry's choices."""


def default_choice(key: str) -> dict[str, Any]:
    """What an override of an option refers to where the file does not name a choice: the default one."""
    if key not in CHOICES:
        return {}
    default: Any = Config()
    for step in key.split("."):
        default = getattr(default, step)
    return {"name": default.name}


def written_path(error: ErrorDetails, data: Any) -> Path_:
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


def message_of(error: ErrorDetails, path: Path_, data: Any) -> str:
    """One problem in plain words: what arrived, what was allowed."""
    kind, context, given = error["type"], error.get("ctx", {}), flow(error["input"])
    key = dotted(path)
    bounds = {"greater_than_equal": "at least", "greater_than": "greater than", "less_than_equal": "at most",
              "less_than": "less than"}  # fmt: skip
    if kind == "extra_forbidden":
        known = list(_fields(path[:-1], data))
        return f"unknown key{did_you_mean(str(path[-1]), known)}  (choices: {', '.join(known)})"
    if key in CHOICES:
        return _choice_message(error, key)
    if key.removesuffix(".name") in CHOICES and kind in ("union_tag_invalid", "union_tag_not_found"):
        return _choice_message(error, key.removesuffix(".name"))
    if kind in bounds:
        limit = next(iter(context.values()))
        return f"must be {bounds[kind]} {limit if isinstance(limit, int) else f'{limit:g}'}, not {given}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing" and not isinstance(error["loc"][-1], int):
        return "is missing"
    if kind == "literal_error":
        allowed = _literals(path, data) or str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        word = str(error["input"])
        return f"must be one of the choices, not {given}{did_you_mean(word, allowed)}  (choices: {', '.join(allowed)})"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(key, f"must match {context.get('pattern')}") + f", not {given}"
    return f"must be {_expected(path, kind)}, not {given}"


_PATTERNS = {
    "name": "must be letters, digits, '.', '_' and '-', beginning with a letter or digit",
    "device": "must be auto, cpu, cuda, cuda:0 (or another number) or mps",
}
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "string_too_short": "a name",
    "string_too_long": "a shorter name",
    "list_type": "a list",
    "tuple_type": "a list of two numbers",
    "missing": "a list of two numbers",
    "too_short": "a list of two numbers",
    "too_long": "a list of two numbers",
    "path_type": "a path",
}
_EXPECTED_AT = {
    "model.width": "a whole number, at least 1, or a list of them",
    "data.dataset": "a name or a number",
    "data.version": "a whole number or 'active'",
}


def _expected(path: Path_, kind: str) -> str:
    key = dotted(path)
    if key in _EXPECTED_AT:
        return _EXPECTED_AT[key]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        known = list(_fields(path, {}))
        return f"a mapping with the keys {', '.join(known)}" if known else "a mapping"
    return _EXPECTED.get(kind, "something else")


def _choice_message(error: ErrorDetails, key: str) -> str:
    noun, registry = CHOICES[key]
    given = error["input"]
    name = given.get("name") if isinstance(given, Mapping) else given
    names = [*registry, *(alias for alias, target in ALIASES.items() if target in registry)]
    choices = f"  (choices: {', '.join(names)})"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if isinstance(given, Mapping) and "name" not in given:
        return f"has no name{choices}"
    if not isinstance(name, str):
        return f"must be a name or a mapping with a name, not {flow(name)}{choices}"
    return f"{name!r} is not {noun}{did_you_mean(name, names)}{choices}"


def _fields(path: Path_, data: Any) -> Iterable[str]:
    """The keys that are allowed at a path."""
    key = dotted(path)
    if key in CHOICES:
        for step in path:
            data = data.get(step) if isinstance(data, Mapping) else None
        name = data.get("name", default_choice(key)["name"]) if isinstance(data, Mapping) else data
        choice = CHOICES[key][1].get(ALIASES.get(str(name), str(name)))
        return choice.model_fields if choice else ()
    model: type[Options] = Config
    for step in path:
        annotation = model.model_fields[str(step)].annotation if str(step) in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, Options)):
            return ()
        model = annotation
    return model.model_fields


def _literals(path: Path_, data: Any) -> list[str]:
    """The words that a field of the fixed part of a config may have."""
    model: Any = Config
    for step in path[:-1]:
        found = model.model_fields.get(str(step)) if isinstance(model, type) and issubclass(model, Options) else None
        model = found.annotation if found else None
    if not (isinstance(model, type) and issubclass(model, Options)) or str(path[-1]) not in model.model_fields:
        return []
    return [str(word) for word in get_args(model.model_fields[str(path[-1])].annotation)]
