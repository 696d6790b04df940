"""A report: one page of HTML in one file, which is mailed, opened without a network, printed, or read on a phone.

    markup     text ─► HTML that nothing can break out of
    thinning   many steps ─► a few columns, with smallest and largest values
    numbers    a run ─► what its pictures draw       evidence   a finding ─► what of it they mark
    pictures   empty pictures (Bokeh)                page.js    fills them, follows the controls, sorts tables
    network    the list of modules                   run        the sections of a run
    page       all of that in one file

Bokeh takes half a second to import; nothing here is imported before somebody asks for a report.
"""

from collections.abc import Mapping
from typing import Any

from gradlab.report.markup import element, markup
from gradlab.report.numbers import run_numbers
from gradlab.report.page import page, pictures
from gradlab.report.run import facts, run_sections
from gradlab.tables import Tables

SECTIONS = {"pictures": "Pictures", "spread-section": "Histograms", "facts": "What was run"}
"""Sections of a page that are linked at its top."""

__all__ = ["run_page"]


def run_page(run: Tables, environment: Mapping[str, Any]) -> str:
    """The page of a run.

    Args:
        run: the run, configured or watched, in whatever state.
        environment: what its `environment.json` holds.
    """
    content = markup(
        element("h1", run.name or "a training"),
        element("nav", [element("a", words, href=f"#{id_}") for id_, words in SECTIONS.items()], aria_label="sections"),
        run_sections(run),
        pictures(),
        element("h2", "What was run, and on what", id="facts"),
        facts(run, environment),
    )
    return page(f"{run.name}: {run.verdict}", content, [run_numbers(run)])
