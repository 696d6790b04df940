"""The sections of a run: verdict and causes, findings, the network, what was run and on what."""

from collections.abc import Iterator, Mapping
from typing import Any

from gradlab.diagnosis import RULES, VITAL
from gradlab.measures.settings import settings_of
from gradlab.report.graph import network_graph
from gradlab.report.markup import Markup, element, hidden_table, markup, prose, table
from gradlab.report.network import modules_of, network_table
from gradlab.tables import UNKNOWN, Finding, Tables
from gradlab.text import compact, setting_text
from gradlab.views.pictures.gradients import flow_finding
from gradlab.views.summary import status_line, totals


def run_sections(run: Tables, number: int = 0, *, level: str = "h2") -> Markup:
    """What is wrong with a run, and its network.

    Args:
        run: the run, in whatever state.
        number: its number on the page.
        level: the headings of the sections.
    """
    modules = modules_of(run)
    return markup(
        verdict(run),
        element(level, "Findings"),
        findings(run, number),
        element(level, "The network"),
        _network(run, modules, number),
    )


def verdict(run: Tables) -> Markup:
    """The verdict in words: what is wrong, from the cause to what follows from it, and what the training came to."""
    severity = "healthy" if run.verdict == "healthy" else "unknown" if run.verdict == UNKNOWN else "error"
    worst = next((finding for finding in run.findings if finding.rule == run.verdict), None)
    causes = [finding for finding in run.findings if finding.severity != "info"]
    lines = [
        element(
            "p",
            "Verdict: ",
            element("span", run.verdict, class_=worst.severity if worst else severity),
            class_="verdict",
        )
    ]
    if run.status != "completed":
        lines.append(element("p", status_line(run), class_="warning"))
    if run.verdict == UNKNOWN:
        why = "; ".join(f"{rule}: {run.not_judged[rule]}" for rule in VITAL if rule in run.not_judged)
        lines.append(element("p", f"Nothing could be judged{f' ({why})' if why else ''}.", class_="warning"))
    elif run.verdict == "healthy":
        lines.append(element("p", "No rule found anything to act on."))
    for index, finding in enumerate(causes[:3]):
        begin = "" if len(causes) == 1 else ("First: " if index == 0 else "Then: ")
        lines.append(element("p", begin, prose(finding.message), "."))
    if run.layers.height:
        lines.append(element("p", flow_finding(run), "."))
    lines.append(element("p", " · ".join(totals(run)), class_="faint"))
    return markup(lines)


def findings(run: Tables, number: int) -> Markup:
    """Every finding with its evidence; the first is the cause that came first."""
    if not run.findings:
        return element("p", "None." if run.verdict != UNKNOWN else "None, because nothing could be judged.")
    return markup([finding_article(finding, index, number) for index, finding in enumerate(run.findings)])


def finding_article(finding: Finding, index: int, number: int | None = None) -> Markup:
    """A finding with its evidence and what to try.

    Args:
        finding: the finding.
        index: its number among those of the run.
        number: the number of the run on the page; None where there are no pictures to link to.
    """
    link = element("a", "Show it in the pictures", href="#pictures", data_finding=index, data_run=number)
    title = RULES[finding.rule].title if finding.rule in RULES else ""
    names = list(dict.fromkeys([*finding.measured, *finding.threshold, *finding.predicted]))
    values = [
        [name, *(compact(each.get(name)) for each in (finding.measured, finding.threshold, finding.predicted))]
        for name in names
    ]
    where = [f"modules: {', '.join(name or 'the model' for name in finding.modules)}"] if finding.modules else []
    if finding.steps:
        where.append(f"steps {finding.steps[0]} to {finding.steps[1]}")
    remedies = [
        element("li", remedy if remedy.endswith(".") else element("code", remedy)) for remedy in finding.remedies
    ]
    return element(
        "article",
        element("p", f"{index + 1}. {finding.severity}: {finding.rule}", class_="severity"),
        element("p", title, class_="faint") if title else None,
        element("p", prose(finding.message), "."),
        None if number is None else element("p", link),
        hidden_table(
            "evidence in numbers",
            element("p", " · ".join(where)) if where else None,
            table(["", "measured", "limit", "predicted"], values) if values else None,
        )
        if where or values
        else None,
        [element("p", "What to try:"), element("ul", remedies)] if remedies else None,
        class_=f"finding {finding.severity}",
        id=None if number is None else f"finding-{number}-{index}",
    )  # fmt: skip


def _network(run: Tables, modules: Any, number: int) -> Markup:
    if not modules:
        return element("p", "No step was recorded.", class_="warning")
    words = "Each name is a link to its course over time. Numbers are those of the last record, if not said otherwise."
    return markup(
        element("p", words, class_="faint"), network_graph(modules, str(number)), network_table(modules, str(number))
    )


def facts(run: Tables, environment: Mapping[str, Any]) -> Markup:
    """Settings, versions, seed, and what was not judged or not read."""
    known = settings_of(run.summary.get("config", {})).items()
    settings = [(key, setting_text(value)) for key, value in known if value not in (None, "", ())]
    about = [("run", run.name), ("id", run.summary.get("id", "")), ("status", run.status), ("folder", run.path)]
    machine = [(key, setting_text(value)) for key, value in environment.items() if value is not None]
    tables = {"Run": [row for row in about if row[1]], "Machine and versions": machine, "Settings": settings}
    parts = [element("div", element("h3", title), table(["", ""], rows)) for title, rows in tables.items() if rows]
    parts = [element("div", parts, class_="two")]
    if run.not_judged:
        parts.append(
            hidden_table("rules that could not judge this run", table(["rule", "why"], run.not_judged.items()))
        )
    parts += [element("p", problem, class_="warning") for problem in _problems(run)]
    return markup(parts)


def _problems(run: Tables) -> Iterator[str]:
    """What could not be read of the run, or not be written in time."""
    yield from run.problems
    said = run.summary.get("problems")
    yield from (str(problem) for problem in said) if isinstance(said, list) else ()
