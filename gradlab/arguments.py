"""What several commands take: arguments and options with their help, and what the words typed for them mean."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gradlab import completion
from gradlab.printing import say
from gradlab.sweeps import ENGINES
from gradlab.views import PlotFormat
from gradlab.views.export import TARGETS

TableFormat = Literal["table", "markdown", "csv", "json"]
Registry = Literal[
    "activations", "initializers", "normalizations", "models", "datasets", "optimizers", "schedules", "rules"
]
if TYPE_CHECKING:
    ExportFormat = str
    EngineName = str
else:
    ExportFormat, EngineName = Literal[tuple(TARGETS)], Literal[tuple(ENGINES)]


ConfigFile = Annotated[
    Path,
    typer.Argument(metavar="CONFIG", help="A YAML file; gradlab init writes one.", autocompletion=completion.configs),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Change the config: depth=50 activation=relu", autocompletion=completion.overrides
    ),
]
RunName = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN",
        help="A run folder, finished or not, or its name or id; otherwise the newest.",
        autocompletion=completion.runs,
    ),
]
RunsFolder = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where run folders are.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
Check = Annotated[bool, typer.Option("--check", help="Exit with 1 unless the verdict is healthy.")]
PlotFormatOption = Annotated[PlotFormat, typer.Option("--plot-format", help="png, or svg or pdf for vectors.")]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="EXPR", help="Only these: \"model.depth >= 20 and verdict != 'healthy'\""),
]
SweepFile = Annotated[
    Path,
    typer.Argument(metavar="SWEEP", help="A sweep file, or a config to vary.", autocompletion=completion.configs),
]
Axes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=V1,V2", help="Vary the config: depth=5,10 seed=range(0,3)", autocompletion=completion.overrides
    ),
]
Folders = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="Run folders, folders of them, names or ids; otherwise all runs.",
        autocompletion=completion.runs,
    ),
]
RunNames = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN",
        help="A run folder, its name or id; several, or a folder of them, are put side by side.",
        autocompletion=completion.runs,
    ),
]


def tell_short_keys(overrides: list[str] | None) -> None:
    """Say what the short keys among overrides were taken for."""
    from gradlab.config.keys import short_keys

    if note := short_keys(overrides or ()):
        say(note, sys.stderr)


def one_run(word: Path | None, runs: Path) -> Path:
    """The run folder that is meant; the newest of several, and that is said."""
    from gradlab.run_folder import runs_meant

    newest, *others = runs_meant(word, runs)
    if others and word is not None and not word.is_dir():
        say(f"{newest}, the newest of {len(others) + 1} runs", sys.stderr)
    return newest


def paths_meant(paths: list[Path], runs: Path) -> list[Path]:
    """Paths as they are; for what is no path, all runs of that name or id."""
    from gradlab.run_folder import runs_meant

    return [found for path in paths for found in ([path] if path.exists() else runs_meant(path, runs))]
