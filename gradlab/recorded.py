"""The commands about runs that are recorded already: show, compare, export, report and delete."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gradlab import arguments, exits
from gradlab.arguments import (
    AsJson,
    Check,
    ExportFormat,
    Folders,
    PlotFormatOption,
    RunName,
    RunNames,
    RunsFolder,
    TableFormat,
    Where,
)
from gradlab.printing import say
from gradlab.text import json_text


def show(
    run: RunName = None,
    runs: RunsFolder = Path("runs"),
    plots: Annotated[bool, typer.Option("--plots", help="Draw the pictures again.")] = False,
    plot_format: PlotFormatOption = "png",
    check: Check = False,
    json: AsJson = False,
) -> None:
    """Print the summary of a run, as far as it has come; of the newest, unless another is named."""
    from gradlab.results import load_run

    exits.require("draw" if plots else "read")
    done = load_run(arguments.one_run(run, runs))
    if plots:
        done.save_plots(plot_format)
    show_run(done, json=json, quiet=False)
    if check:
        check_verdict(done.verdict)


def compare(
    paths: Folders = None,
    runs: RunsFolder = Path("runs"),
    sort: Annotated[
        str, typer.Option("--sort", metavar="COLUMN", help="Sort by it; -COLUMN for the largest first.")
    ] = "",
    where: Where = None,
    columns: Annotated[str, typer.Option("--columns", metavar="A,B", help="Show these columns only.")] = "",
    group_by: Annotated[
        str, typer.Option("--group-by", metavar="A,B", help="A row for each value of these, whatever else differs.")
    ] = "",
    form: Annotated[TableFormat, typer.Option("--format", help="What to print.")] = "table",
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the gradient flow of every row into a picture.")
    ] = None,
) -> None:
    """Put finished runs side by side: a row for each configuration, its seeds folded into mean ± 95 % interval."""
    exits.require("read" if plot is None else "draw")
    from gradlab.views.comparison.command import show_comparison

    show_comparison(
        arguments.paths_meant(paths, runs) if paths else [runs],
        sort=_names(sort),
        where=where,
        columns=_names(columns),
        group_by=_names(group_by),
        form=form,
        plot=plot,
    )


def export(
    to: Annotated[ExportFormat, typer.Option("--to", help="The format.")],
    run: RunName = None,
    runs: RunsFolder = Path("runs"),
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="Where to; otherwise export/ of the run folder.")
    ] = None,
) -> None:
    """Write a run in another program's format."""
    from gradlab.results import load_run
    from gradlab.views.export.exporting import empty_tables, export_run

    done = load_run(arguments.one_run(run, runs))
    say(f"wrote {export_run(done.tables, to, into)}")
    if nothing := empty_tables(done.tables):
        say(f"this run has no {', '.join(nothing)}")
    for problem in done.tables.problems:
        say(problem, sys.stderr)


def report(
    paths: RunNames = None,
    runs: RunsFolder = Path("runs"),
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to; otherwise report.html in the run folder, or here for several runs.",
        ),
    ] = None,
) -> None:
    """Write a report: one page in one file, to read in a browser, to mail or to print; of the newest run, by default.

    A sweep file among the paths says which runs are meant, and its claim is judged on them.
    """
    exits.require("draw")
    from gradlab.reporting import write_report

    chosen = arguments.paths_meant(paths, runs) if paths else [arguments.one_run(None, runs)]
    say(f"wrote {write_report(chosen, output)}")


def delete(
    paths: RunNames = None,
    where: Where = None,
    runs: RunsFolder = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove run folders: list them, ask, and delete what gradlab has written into them.

    Files that gradlab has not written stay, and so do their folders.
    """
    from gradlab.deleting import delete_runs, list_runs, runs_to_delete

    chosen = runs_to_delete(paths or [], where, runs)
    say(list_runs(chosen))
    if not yes and not typer.confirm(f"delete {'it' if len(chosen) == 1 else 'all of them'}?"):
        say("nothing is deleted")
        return
    for line in delete_runs(chosen):
        say(line)


def show_run(run: Any, *, json: bool, quiet: bool) -> None:
    """Print the summary of a run."""
    if json:
        diagnosis = {
            "verdict": run.verdict,
            "findings": [finding.to_json() for finding in run.findings],
            "not_judged": run.not_judged,
        }
        say(json_text(run.summary if "verdict" in run.summary else {**run.summary, **diagnosis}))
    elif not quiet:
        from gradlab.views import terminal
        from gradlab.views.summary import print_summary

        print_summary(run.tables, terminal.console())


def check_verdict(verdict: str) -> None:
    """Exit with 1 unless a run is healthy."""
    if verdict == "unknown":
        say("not healthy: nothing could be judged", sys.stderr)
    if verdict != "healthy":
        raise typer.Exit(1)


def _names(text: str) -> list[str]:
    """`a, b` ─► a and b."""
    return [name.strip() for name in text.split(",") if name.strip()]
