"""What a run says in words, as Markdown."""

import json
from typing import Any

import polars as pl

from gradlab.tables import Tables
from gradlab.views.markdown import markdown_table


def settings(run: Tables) -> dict[str, Any]:
    """The resolved config as the summary has it: of any version of gradlab, also one that does not know its keys."""
    return dict(run.summary.get("config") or {})


def texts(run: Tables) -> dict[str, str]:
    """Verdict and findings, config and prediction by the name that they get; without those that there are not."""
    findings = "\n".join(f"- {finding.severity}: {finding.message} ({finding.rule})" for finding in run.findings)
    written = {
        "run/findings": f"{run.status}, {run.verdict}\n\n{findings}".strip(),
        "run/config": f"```json\n{json.dumps(settings(run), indent=2)}\n```" if settings(run) else "",
        "run/theory": _markdown(run.theory) if run.theory.height else "",
    }
    return {name: text for name, text in written.items() if text}


def _markdown(table: pl.DataFrame) -> str:
    rows = (["" if value is None else str(value) for value in row] for row in table.rows())
    return "\n".join(markdown_table(table.columns, rows))
