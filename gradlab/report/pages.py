"""The page of a run, and the page of many runs: their sections in order."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from gradlab.claims.judging import Verdict
from gradlab.errors import UserError
from gradlab.report.comparison import claim_section, comparison_sections
from gradlab.report.markup import Markup, element, markup
from gradlab.report.numbers import BUDGET, CORE, MOST_POINTS, run_numbers
from gradlab.report.page import page, pictures
from gradlab.report.run import facts, run_sections
from gradlab.tables import Tables
from gradlab.text import setting_text, settings_text
from gradlab.views.comparison.comparison import Comparison
from gradlab.views.comparison.runs import FinishedRun, Runs

SECTIONS = {"pictures": "Pictures", "spread-section": "Histograms", "facts": "What was run"}
"""Sections of a page that are linked at its top."""
MOST_SECTIONS = 60
"""Runs that have a section of their own on a page of many."""
FAULTS = (UserError, LookupError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError)
"""What may be wrong with the folder of somebody else."""


def run_page(run: Tables, environment: Mapping[str, Any]) -> str:
    """The page of a run.

    Args:
        run: the run, configured or watched, in whatever state.
        environment: what its `environment.json` holds.
    """
    content = markup(
        element("h1", run.name or "a training"),
        _links(SECTIONS),
        run_sections(run),
        pictures(),
        element("h2", "What was run, and on what", id="facts"),
        facts(run, environment),
    )
    return page(f"{run.name}: {run.verdict}", content, [run_numbers(run)])


def runs_page(
    title: str,
    comparison: Comparison,
    runs: Runs,
    snapshots: Mapping[str, Tables],
    claim: tuple[Verdict, Figure] | str = "",
) -> str:
    """The page of many runs.

    Args:
        title: what they are called.
        comparison: the rows.
        runs: the runs that were read, finished or not.
        snapshots: the snapshots of finished runs, by id.
        claim: the verdict on a claim and its picture, or why it was not judged.
    """
    shown = [run for row in comparison.rows for run in row.runs if run.id in snapshots][:MOST_SECTIONS]
    budget, points = BUDGET / max(len(shown), 1), MOST_POINTS // max(len(shown), 1) + 50
    numbers: list[dict[str, Any]] = []
    sections: list[Markup] = []
    numbered: dict[str, int] = {}
    for run in shown:
        try:
            drawn = run_numbers(snapshots[run.id], budget=budget, statistics=CORE, points=points)
            made = _section(run, snapshots[run.id], comparison, len(numbers))
        except FAULTS as error:
            sections.append(element("p", f"{run.path} cannot be read: {error}", class_="warning"))
            continue
        numbered[run.id] = len(numbers)
        drawn["name"] = _name(run, comparison)
        numbers.append(drawn)
        sections.append(made)
    left = sum(len(row.runs) for row in comparison.rows) - len(shown)
    links = {"comparison": "Side by side", "pictures": "Pictures", "runs-one-by-one": "The runs one by one"}
    if not isinstance(claim, str):
        links = {"claim": "The claim", **links}
    not_judged = isinstance(claim, str) and bool(claim)
    content = markup(
        element("h1", title),
        _links(links if numbers else {}),
        claim_section(*claim) if not isinstance(claim, str) else None,
        element("p", f"The claim is not judged: {claim}.", class_="warning") if not_judged else None,
        comparison_sections(comparison, runs, numbered),
        pictures([str(each["name"]) for each in numbers]) if numbers else None,
        element("h2", "The runs one by one", id="runs-one-by-one") if sections else None,
        element("p", f"{left} runs more have no section; gradlab report writes a page of each.") if left > 0 else None,
        sections,
    )  # fmt: skip
    return page(title, content, numbers)


def _section(run: FinishedRun, tables: Tables, comparison: Comparison, number: int) -> Markup:
    """The section of a run on a page of many, which is opened with a click."""
    heading = element("summary", _name(run, comparison), ": ", element("strong", run.verdict))
    where = element("p", f"id {run.id} · {run.path}", class_="faint")
    link = element("p", element("a", "Its pictures", href="#pictures", data_run=number))
    return element(
        "details", heading, where, link, run_sections(tables, number, level="h3"), id=f"run-{number}", class_="run"
    )


def _name(run: FinishedRun, comparison: Comparison) -> str:
    """What tells a run from the others: the settings that differ, and its seed."""
    keys = [key for key in (*comparison.differing, *comparison.folded) if key in run.settings and key != "name"]
    name = setting_text(run.settings.get("name", run.path.name))
    return f"{name} {settings_text({key: run.settings[key] for key in keys})}".strip()


def _links(sections: Mapping[str, str]) -> Markup:
    return element(
        "nav", [element("a", words, href=f"#{id_}") for id_, words in sections.items()], aria_label="sections"
    )
