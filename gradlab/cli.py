"""The command line: a thin function a command, no logic. What a command needs is imported when it runs.

Exit codes: 0 done · 1 a check failed · 2 the input is wrong, nothing written · 130 interrupted, what was recorded kept.
"""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from gradlab import arguments, exits, interrupts, recorded
from gradlab.arguments import (
    AsJson,
    Axes,
    Check,
    ConfigFile,
    EngineName,
    Overrides,
    PlotFormatOption,
    Registry,
    RunsFolder,
    SweepFile,
)
from gradlab.errors import RunInterrupted
from gradlab.printing import say
from gradlab.text import json_text

app = typer.Typer(
    name="gradlab",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        from gradlab import __version__

        say(f"gradlab {__version__}")
        raise typer.Exit


@app.callback()
def gradlab(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """See gradients vanish and explode, layer by layer.

    Start with [bold]gradlab init[/bold], then [bold]gradlab run config.yaml[/bold].
    """


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: RunsFolder = Path("runs"),
    rerun: Annotated[bool, typer.Option("--rerun", help="Train again, even if this very run is finished.")] = False,
    check: Check = False,
    plots: Annotated[bool, typer.Option("--plots/--no-plots", help="Draw pictures into the run folder.")] = True,
    plot_format: PlotFormatOption = "png",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    json: AsJson = False,
) -> None:
    """Train the configured network and record, diagnose and draw its gradients."""
    exits.require("train")
    from gradlab import experiment

    arguments.tell_short_keys(overrides)
    silent = quiet or json
    interrupted = False
    try:
        with interrupts.all_like_ctrl_c():
            done: Any = experiment.run(
                config,
                overrides or (),
                runs=runs,
                rerun=rerun,
                plots=plots,
                plot_format=plot_format,
                progress=not silent,
                fit_threads=True,
                notify=(lambda line: None) if silent else say,
            )
    except RunInterrupted as interruption:
        done, interrupted = interruption.run, True
    recorded.show_run(done, json=json, quiet=quiet)
    if interrupted:
        raise typer.Exit(130)
    if check:
        recorded.check_verdict(done.verdict)


@app.command()
def sweep(
    source: SweepFile,
    axes: Axes = None,
    runs: RunsFolder = Path("runs"),
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Runs at once; otherwise one for each core.")
    ] = None,
    engine: Annotated[EngineName, typer.Option("--engine", help="Worker processes here, or a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option("--address", metavar="HOST:PORT", help="Ray: the cluster; otherwise one started here.")
    ] = None,
    cpus_per_run: Annotated[
        float, typer.Option("--cpus-per-run", metavar="N", min=0.01, help="Ray: cores that a run takes.")
    ] = 1,
    gpus_per_run: Annotated[
        float, typer.Option("--gpus-per-run", metavar="N", min=0, help="Ray: GPUs that a run takes.")
    ] = 0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what has failed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the runs and what is already done.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 unless the claim, or else every verdict, is as it should be.")
    ] = False,
    plots: Annotated[bool, typer.Option("--plots", help="Draw pictures into every run folder.")] = False,
) -> None:
    """Run every combination of settings that is not yet done, several at once.

    Where the sweep file makes a claim, it is judged on the runs, and drawn.
    """
    from gradlab.sweeps import command

    arguments.tell_short_keys(axes)
    if dry_run:
        command.show_plan(source, axes or (), runs)
        return
    exits.require("train")
    chosen = command.make_engine(engine, workers, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run)
    with interrupts.all_like_ctrl_c():
        done = command.sweep(source, axes or (), chosen, runs=runs, plots=plots, retry_failed=retry_failed)
    if done.report.interrupted:
        say("interrupted; the same command goes on where this one ended")
        raise typer.Exit(130)
    if done.report.failed or (check and not done.passed):
        raise typer.Exit(1)


@app.command()
def fix(
    config: ConfigFile,
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=2, help="Seeds that each trial runs on.")] = 3,
    runs: RunsFolder = Path("runs"),
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE", help="The repaired config; by default CONFIG-fixed.yaml.")
    ] = None,
) -> None:
    """Try the remedies of what is wrong on the same seeds, keep what is proven better, and write the repaired config.

    A repair is proven if its finding is gone, no other one as severe has come, and the test accuracy is higher: the
    95 % interval of the difference, paired by seed, is above 0. Exits with 1 where nothing is proven.
    """
    exits.require("train")
    from gradlab.fixing import fix
    from gradlab.views import terminal
    from gradlab.views.repair import print_repair

    arguments.tell_short_keys(overrides)
    target = write or Path(f"{config.stem}-fixed.yaml")
    with interrupts.all_like_ctrl_c():
        repair = fix(config, overrides or (), seeds=seeds, runs=runs, write=target)
    print_repair(repair, terminal.console())
    if repair.proven:
        say(f"wrote {target}")
    elif not repair.healthy_already:
        raise typer.Exit(1)


@app.command()
def predict(config: ConfigFile, overrides: Overrides = None, json: AsJson = False) -> None:
    """Say what theory predicts for the configured network, without training it."""
    exits.require("train")
    from gradlab import datasets, theory
    from gradlab.config.files import load_config
    from gradlab.views import prediction as view

    arguments.tell_short_keys(overrides)
    loaded = load_config(config, overrides or ())
    prediction = theory.predict_on(loaded, datasets.load_for(loaded))
    if json:
        say(json_text(view.prediction_json(prediction, loaded)))
    else:
        from gradlab.views import terminal

        view.print_prediction(prediction, loaded, terminal.console())


for command in (recorded.show, recorded.compare, recorded.export, recorded.report, recorded.delete):
    app.command()(command)


@app.command("list")
def list_(registry: Annotated[Registry, typer.Argument(metavar="WHAT", help=", ".join(get_args(Registry)))]) -> None:
    """List what a config may name, such as activations, models or datasets; or the rules."""
    from gradlab.views.listing import print_listing

    print_listing(registry)


@app.command()
def schema() -> None:
    """Print the config's JSON Schema, for editors.

    Save it, and begin a config with [bold]# yaml-language-server: $schema=schema.json[/bold]
    """
    from gradlab.config import Config

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    say(json_text(document))


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; - prints it.")] = Path("config.yaml"),
) -> None:
    """Write a commented config to start from."""
    from gradlab.config.files import starter, write_starter

    if str(file) == "-":
        say(starter())
    else:
        write_starter(file)
        say(f"wrote {file}; now: gradlab run {file}")


@app.command("help")
def help_(command: Annotated[str, typer.Argument(metavar="COMMAND", help="One of the commands above.")] = "") -> None:
    """Say what a command does and what it takes, as [bold]gradlab COMMAND --help[/bold] does."""
    app([*filter(None, [command]), "--help"], prog_name="gradlab")


def main() -> None:
    """Entry point."""
    exits.run(app)
