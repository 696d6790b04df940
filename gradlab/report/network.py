"""The network of a run as a list of modules: what each of them is, what was measured of it, and how healthy it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from gradlab.report.markup import Markup, element, table
from gradlab.statistics import STATISTICS
from gradlab.tables import SEVERITIES, Finding, Tables
from gradlab.text import ABSENT, compact, log10_text, percent

MEASURED = (
    "delta_rms",
    "weight_gradient_norm",
    "activation_mean",
    "activation_std",
    "zero_fraction",
    "saturated_fraction",
    "update_ratio",
)
"""The statistics in the list."""


GRAPH = ("type", "output shape", "parameters", "fed by")
"""What the graph of the step says of a module."""
MOST_NAMED = 3
"""Modules named in a cell at most; the others are counted."""


@dataclass(frozen=True)
class Module:
    """A recorded module.

    Attributes:
        number: its number on the page.
        layer: the layer it belongs to.
        name: its name; the whole model has none.
        kind: as in the table `layers`.
        graph: what the graph of the step says of it, a row of the table `modules`; empty where it says nothing.
        start: its statistics in the first record that has them, by name; None where none has.
        end: the same in the last record.
        findings: what was found of it.
    """

    number: int
    layer: int
    name: str
    kind: str
    graph: Mapping[str, Any]
    start: Mapping[str, float | None]
    end: Mapping[str, float | None]
    findings: Sequence[Finding]

    @property
    def health(self) -> str:
        """The worst severity of what was found of it, or `healthy`."""
        return min((finding.severity for finding in self.findings), key=SEVERITIES.index, default="healthy")


def modules_of(run: Tables) -> list[Module]:
    """The recorded modules of a run, in the order in which they first ran."""
    if not run.layers.height:
        return []
    first, last = (
        run.layers.group_by("module", maintain_order=True)
        .agg(pl.col("layer", "kind").first(), *(_end(name, moment) for name in MEASURED))
        .to_dicts()
        for moment in ("first", "last")
    )
    graph = {row["module"]: row for row in run.modules.to_dicts()}
    findings = {row["module"]: _findings_of(run, row["module"], row["layer"]) for row in first}
    return [
        Module(
            number,
            row["layer"],
            row["module"],
            row["kind"],
            graph.get(row["module"], {}),
            row,
            later,
            findings[row["module"]],
        )
        for number, (row, later) in enumerate(zip(first, last, strict=True))
    ]


def _end(name: str, moment: str) -> pl.Expr:
    have = pl.col(name).drop_nulls()
    return have.first() if moment == "first" else have.last()


def _findings_of(run: Tables, name: str, layer: int) -> list[Finding]:
    """The findings that name a module, or its layer where they name no module."""
    return [each for each in run.findings if name in each.modules or (not each.modules and layer in each.layers)]


def network_table(modules: Sequence[Module], prefix: str = "") -> Markup:
    """The list of modules; each name is a link into the pictures.

    Args:
        modules: the modules.
        prefix: the number of the run on the page; empty where there are no pictures to link to.
    """
    known = any(module.graph for module in modules)
    head = ["layer", "module", "kind", *(GRAPH if known else []), *(
        element("th", words, scope="col", class_="number", title=STATISTICS[name].doc) for words, name in (
            ("RMS δ, start", "delta_rms"), ("end", "delta_rms"), ("norm of ∂L/∂W", "weight_gradient_norm"),
            ("activation", "activation_mean"), ("zero", "zero_fraction"), ("saturated", "saturated_fraction"),
            ("log ΔW/W", "update_ratio"),
        )
    ), "health"]  # fmt: skip
    rows = [
        element("tr", list(_cells(module, prefix, known=known)), class_=f"health {module.health}") for module in modules
    ]
    return element("div", table(head, rows, class_="network"), class_="tall")


def _graph(module: Module) -> Iterator[str]:
    """The cells of `GRAPH`."""
    row = module.graph
    shape, before = row.get("shape"), row.get("before") or []
    yield str(row.get("type") or ABSENT)
    yield " × ".join(map(str, shape)) if shape else ABSENT
    yield ABSENT if row.get("parameters") is None else f"{row['parameters']:,}"
    names = [name or "the model" for name in before]
    yield ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def _cells(module: Module, prefix: str, *, known: bool) -> Iterator[Markup]:
    end = module.end
    name: str | Markup = module.name or "the model"
    if prefix:
        name = element("a", name, href="#pictures", data_module=module.number, data_run=prefix)
    for cell in (module.layer, name, module.kind, *(_graph(module) if known else [])):
        yield element("td", cell)
    mean = end["activation_mean"]
    spread = ABSENT if mean is None else f"{compact(mean, decimals=2)} ± {compact(end['activation_std'], decimals=2)}"
    for text in (
        compact(module.start["delta_rms"]),
        compact(end["delta_rms"]),
        compact(end["weight_gradient_norm"]),
        spread,
        percent(end["zero_fraction"]),
        percent(end["saturated_fraction"]),
        log10_text(end["update_ratio"]),
    ):
        yield element("td", text, class_="number")
    rules = ", ".join(dict.fromkeys(finding.rule for finding in module.findings))
    yield element("td", element("span", f"{module.health}: {rules}" if rules else module.health, class_=module.health))
