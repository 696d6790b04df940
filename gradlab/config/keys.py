"""What may stand in a config: the keys of its parts, and short keys for them.

`activation` is short for `model.activation`: the first word of a key may leave out the part of the config that it
stands in, where no other part has it.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic.fields import FieldInfo

from gradlab.choices import OneOf, Options
from gradlab.config.config import Config
from gradlab.nearest import close

SWEEP = ("base", "grid", "pairs", "exclude", "claim")
"""The keys of a sweep file, none of which a config has."""


def in_full(key: str) -> str:
    """The dotted key that a key stands for: `model.depth` for `depth`; any other key as it is."""
    first, dot, rest = key.partition(".")
    found = _ending_in(first)
    return f"{found[0]}{dot}{rest}" if len(found) == 1 and first not in Config.model_fields else key


def short_keys(overrides: Sequence[str]) -> str:
    """What the short keys among overrides were taken for: `depth is model.depth`; empty where there are none."""
    keys = dict.fromkeys(text.partition("=")[0].strip() for text in overrides)
    return ", ".join(f"{key} is {in_full(key)}" for key in keys if in_full(key) != key)


def elsewhere(word: str) -> list[str]:
    """The dotted keys of a config that end in a word, or in the one nearest to it; none of the top level."""
    words = {key.rpartition(".")[2] for key in setting_keys() if "." in key}
    return _ending_in(word) or [key for near in close(word, words) for key in _ending_in(near)]


def _ending_in(word: str) -> list[str]:
    """The dotted keys that end in a word, those that stand least deep."""
    found = [key for key in setting_keys() if key.endswith(f".{word}")]
    least = min((key.count(".") for key in found), default=0)
    return [key for key in found if key.count(".") == least]


@functools.cache
def setting_keys() -> tuple[str, ...]:
    """Every dotted key that a config may have, in its order, those of every choice among them."""
    return tuple(dict.fromkeys(_keys_below(Config, "")))


def _keys_below(model: type[Options], prefix: str) -> Iterator[str]:
    for key, info in model.model_fields.items():
        if not (prefix and key == model.tag and key == "name"):
            yield f"{prefix}{key}"
        for inner in models_of(info):
            yield from _keys_below(inner, f"{prefix}{key}.")


def models_at(root: type[Options], location: Sequence[str | int]) -> list[type[Options]]:
    """The models that may stand at one of pydantic's locations, in which the branches of unions are named."""
    models = [root]
    for step in location:
        fields = [model.model_fields[str(step)] for model in models if step in model.model_fields]
        inner = [model for model in models if step in (model.__name__, name_of(model))]
        models = [model for field in fields for model in models_of(field)] if fields else inner or models
    return models


def models_of(field: FieldInfo) -> list[type[Options]]:
    """The models that a field may hold."""
    one_of = one_of_field(field)
    return list(one_of.choices.values()) if one_of else _models_in(field.annotation)


def _models_in(annotation: Any) -> list[type[Options]]:
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def one_of_field(field: FieldInfo) -> OneOf | None:
    """The choice that a field takes, if it takes one."""
    return next((note for note in field.metadata if isinstance(note, OneOf)), None)


def name_of(model: type[Options]) -> str:
    """What a file calls a choice; empty for a model that is none."""
    tag = model.model_fields.get(model.tag)
    return str((*get_args(tag.annotation), "")[0]) if tag else ""


def fields_of(models: Sequence[type[Options]]) -> list[str]:
    """The keys of some models, each once."""
    return list(dict.fromkeys(key for model in models for key in model.model_fields))


# ------------------------------------------------------------------------------------------------- where choices stand


def _choices(model: type[Options], prefix: str = "") -> Iterator[tuple[str, OneOf, Any]]:
    """Every field below a model that takes a choice: its dotted key, what it takes, and its default."""
    for key, info in model.model_fields.items():
        if (one_of := one_of_field(info)) is not None:
            yield f"{prefix}{key}", one_of, info.default
        for inner in models_of(info):
            yield from _choices(inner, f"{prefix}{key}.")


_SLOTS = list(_choices(Config))[::-1]  # of a key that several choices have, the first counts
CHOICES: Mapping[str, OneOf] = {key: one_of for key, one_of, _ in _SLOTS}
"""Where a config names one of a registry's choices."""
_DEFAULTS = {key: {one_of.tag: name_of(type(default))} for key, one_of, default in _SLOTS}


def default_choice(key: str) -> dict[str, Any]:
    """What an override of an option refers to where the file does not name a choice: the default one."""
    return dict(_DEFAULTS.get(key, {}))
