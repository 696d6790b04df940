"""The texts of a run as Markdown: verdict and findings, config, prediction."""

from typing import Any

import polars as pl

from gradlab.tables import Tables
from gradlab.text import json_text
from gradlab.views.markdown import literal, markdown_table


def settings(run: Tables) -> dict[str, Any]:
    """The config in the run's summary. It is not validated, so that a run of another version of gradlab can be
    exported.
    """
    return dict(run.summary.get("config") or {})


def texts(run: Tables) -> dict[str, str]:
    """Verdict and findings, config, and prediction, keyed by the name in the export; what is missing is left out."""
    findings = "\n".join(
        f"- {finding.severity}: {literal(finding.message)} ({literal(finding.rule)})" for finding in run.findings
    )
    written = {
        "run/findings": f"{literal(run.status)}, {literal(run.verdict)}\n\n{findings}".strip(),
        "run/config": f"```json\n{json_text(settings(run))}\n```" if settings(run) else "",
        "run/theory": _markdown(run.theory) if run.theory.height else "",
    }
    return {name: text for name, text in written.items() if text}


def _markdown(table: pl.DataFrame) -> str:
    rows = (["" if value is None else str(value) for value in row] for row in table.rows())
    return "\n".join(markdown_table(table.columns, rows))
