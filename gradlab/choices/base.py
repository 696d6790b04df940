"""What all choices are made of."""

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import CoreSchema

from gradlab import user_code
from gradlab.text import setting_text

Count = Annotated[int, Field(ge=1, le=10**9)]
"""Of what comes one after the other: steps, for example. Nobody can mean more."""
Size = Annotated[int, Field(ge=1, le=10**6)]
"""Of what is there at once: units of a layer, for example. Nobody can mean more."""
Samples = Annotated[int, Field(ge=2, le=10**8)]
Classes = Annotated[int, Field(ge=2, le=10**6)]
Times = Annotated[int, Field(ge=0, le=10**6)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Code = Annotated[str, AfterValidator(user_code.checked)]
"""A Python function: a file and what is in it, or a package's module."""


def _named_options(options: dict[str, Any]) -> dict[str, Any]:
    for key, value in options.items():
        if not key.isidentifier() or iskeyword(key):
            raise ValueError(f"{key!r} is no name of an argument of a Python function")
        if not _is_plain(value):
            raise ValueError(f"{key} must be a finite number, a text, true, false, null, or a list or mapping of those")
    return options


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and isfinite(value))


NamedOptions = Annotated[dict[str, Any], AfterValidator(_named_options)]
"""What a Python function of the user is called with, by the names of its arguments."""


def called_text(reference: str, options: Mapping[str, Any]) -> str:
    """A function and what it is called with, `build(depth=8)`."""
    given = ", ".join(f"{key}={setting_text(value)}" for key, value in options.items())
    return f"{user_code.function_name(reference)}({given})"


class Options(BaseModel):
    """Frozen, no unknown keys, no silent conversions: the base of everything in a config."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
    tag: ClassVar[str] = ""
    """The field that says which choice this is; empty where there is nothing to choose."""

    @functools.cached_property
    def non_defaults(self) -> Mapping[str, Any]:
        """The fields that differ from their defaults, and the tag, as plain data: what an identity is made of.

        An option that is added later, with a default, leaves the result as it is.
        """
        return {
            key: _plain(value)
            for key, default in defaults_of(type(self)).items()
            if ((value := getattr(self, key)) is not default and value != default) or key == self.tag
        }


@functools.cache
def defaults_of(kind: type[Options]) -> Mapping[str, Any]:
    """The default of each field that counts."""
    fields = {key: info for key, info in kind.model_fields.items() if not info.exclude}
    return {key: info.get_default(call_default_factory=True) for key, info in fields.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return value.non_defaults
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


class Choice(Options):
    """A named choice with options; written as the bare name where it has no option to tell."""

    tag: ClassVar[str] = "name"
    name: str
    code: ClassVar[str] = ""
    """The option that names a Python function; an id has the content of its file in place of the option."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        return self.name

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        fields = handler(self)
        return fields["name"] if list(fields) == ["name"] else fields


O = TypeVar("O", bound=Options)  # noqa: E741


def by_name(*choices: type[O]) -> Mapping[str, type[O]]:
    """A registry: choices by the word that a config has for them, in the order given."""
    return MappingProxyType({choice.model_fields[choice.tag].default: choice for choice in choices})


def _bare(name: str) -> str:
    """A name without what tells apart the ways of writing it: `leaky_relu` and `LeakyReLU` are one."""
    return name.replace("_", "").replace("-", "").lower()


@dataclass(frozen=True, eq=False)
class OneOf:
    """Annotates a field that takes one of a registry's choices: a mapping with its name, or the bare name.

    Attributes:
        noun: what messages call such a choice: `an activation`.
        choices: the registry.
        aliases: other names of some of them.
        default: the choice that a mapping without a name is about; empty where a mapping needs a name.
        beyond: said where a name is none of them: what else there is.
    """

    noun: str
    choices: Mapping[str, type[Options]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    beyond: str = ""

    @functools.cached_property
    def tag(self) -> str:
        """The key that names the choice: `name` or `kind`."""
        return next(iter(self.choices.values())).tag

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that is understood."""
        return (*self.choices, *self.aliases)

    def find(self, name: Any) -> type[Options] | None:
        """The choice of a name or an alias, if there is one."""
        return self.choices.get(self.named(str(name)))

    def named(self, name: str) -> str:
        """The name in the registry that a name stands for: an alias, or a name as PyTorch and Keras write it (`ReLU`,
        `LeakyReLU`, `HeNormal`); one that is not known as it is.
        """
        known = self._written.get(_bare(name), name)
        return self.aliases.get(known, known)

    @functools.cached_property
    def _written(self) -> Mapping[str, str]:
        return {_bare(name): name for name in self.names}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate as the union of the choices, told apart by their tag."""
        models: Any = functools.reduce(operator.or_, self.choices.values())
        union: Any = Annotated[models, Field(discriminator=self.tag)]
        written: Any = Literal[self.names] | union
        return handler.generate_schema(Annotated[union, BeforeValidator(self._named, json_schema_input_type=written)])

    def _named(self, value: Any) -> Any:
        """`relu` is short for `{name: relu}`; aliases become the name they stand for."""
        if isinstance(value, str):
            value = {self.tag: value}
        if isinstance(value, Mapping) and self.default:
            value = {self.tag: self.default, **value}
        if isinstance(value, Mapping) and isinstance(value.get(self.tag), str):
            value = {**value, self.tag: self.named(value[self.tag])}
        return value
