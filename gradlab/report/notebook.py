"""A run and its findings as a notebook shows them: without scripts, and without the page around them."""

from collections.abc import Sequence

from gradlab.report.markup import Markup, element, hidden_table
from gradlab.report.network import modules_of, network_table
from gradlab.report.run import finding_article, verdict
from gradlab.tables import Finding, Tables

STYLE = Markup(
    ".gradlab .error {color: #c62828} .gradlab .warning {color: #9a6700} .gradlab .info {color: #0969da} "
    ".gradlab .healthy {color: #1a7f37} .gradlab .faint {opacity: 0.75} .gradlab .verdict {font-weight: bold} "
    ".gradlab .finding {border-left: 4px solid currentColor; padding-left: 0.8em; margin: 0.6em 0} "
    ".gradlab .finding > :not(.severity) {color: initial; color: var(--jp-content-font-color1, inherit)} "
    ".gradlab .health {border-left: 4px solid currentColor} .gradlab .health > * {color: initial; "
    "color: var(--jp-content-font-color1, inherit)} .gradlab .scroll {overflow: auto; max-height: 30em}"
)
"""Every rule begins with `.gradlab`, so that nothing else in the notebook changes."""


def run_html(run: Tables) -> str:
    """A run: verdict, findings and the list of modules."""
    modules = modules_of(run)
    return _shown(
        element("p", element("strong", run.name)),
        verdict(run),
        [finding_article(finding, index) for index, finding in enumerate(run.findings)],
        hidden_table("the network", network_table(modules)) if modules else None,
    )


def findings_html(findings: Sequence[Finding]) -> str:
    """Findings with their evidence and what to try."""
    if not findings:
        return _shown(element("p", "No rule found anything."))
    return _shown([finding_article(finding, index) for index, finding in enumerate(findings)])


def _shown(*parts: object) -> str:
    return element("div", element("style", STYLE), *parts, class_="gradlab")
