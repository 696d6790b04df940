"""Everything that a config may name (activations, initializers, …), a line each."""

from collections.abc import Iterator, Mapping

from rich.table import Table
from rich.text import Text

from gradlab.choices import (
    ACTIVATIONS,
    ALIASES,
    DATASETS,
    INITIALIZERS,
    MODELS,
    NORMALIZATIONS,
    OPTIMIZERS,
    SCHEDULES,
    Choice,
    Data,
    Options,
)
from gradlab.text import setting_text
from gradlab.views import terminal

REGISTRIES: Mapping[str, Mapping[str, type[Options]]] = {
    "activations": ACTIVATIONS,
    "initializers": INITIALIZERS,
    "normalizations": NORMALIZATIONS,
    "models": MODELS,
    "datasets": DATASETS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
}


def print_listing(registry: str) -> None:
    """Print every name of a registry with a line of description and its options.

    Args:
        registry: a key of `REGISTRIES`, or `rules`.
    """
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, line in _rules() if registry == "rules" else _choices(registry):
        table.add_row(Text(name), line)
    terminal.console().print(table)


def _rules() -> Iterator[tuple[str, Text]]:
    from gradlab.diagnosis import RULES  # polars, which the other lists do not need

    for rule in RULES.values():
        yield rule.id, Text(f"{rule.title} ") + Text(f"({rule.severity}; {', '.join(rule.papers)})", style="dim")


def _choices(registry: str) -> Iterator[tuple[str, Text]]:
    shared = set(Data.model_fields) if registry == "datasets" else set()
    for name, choice in REGISTRIES[registry].items():
        line = Text(summary(choice))
        options = [option for option in options_of(choice) if option.partition("=")[0] not in shared]
        if options:
            line += Text(f"\n{', '.join(options)}", style="dim")
        yield ", ".join([name, *(alias for alias, target in ALIASES.items() if target == name)]), line
    if shared:
        yield "every dataset", Text("takes these options too\n") + Text(", ".join(options_of(Data)), style="dim")


def summary(choice: type[Options]) -> str:
    """The first line of a choice's documentation."""
    return (choice.__doc__ or "").strip().splitlines()[0]


def options_of(choice: type[Options]) -> list[str]:
    """The options of a choice with their defaults, `momentum=0.0`; an option without a default is required."""
    return [
        option if field.is_required() else f"{option}={_written(field.default)}"
        for option, field in choice.model_fields.items()
        if option != choice.tag and not field.exclude
    ]


def _written(default: object) -> str:
    return setting_text(default.name if isinstance(default, Choice) else default, exact=True)
