"""What all choices are made of."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Options(BaseModel):
    """Frozen, no unknown keys, no silent conversions: the base of everything in a config."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Choice(Options):
    """A named choice with options; written as the bare name where it has no option to tell."""

    name: str

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        fields = handler(self)
        return fields["name"] if list(fields) == ["name"] else fields


C = TypeVar("C", bound=Choice)


def by_name(*choices: type[C]) -> Mapping[str, type[C]]:
    """A registry: choices by the name that a config has for them, in the order given."""
    return MappingProxyType({choice.model_fields["name"].default: choice for choice in choices})
