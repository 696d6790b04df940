"""What the graph of the step shows: parameters that no gradient reaches, that nobody updates or that the model does not
know, and outputs that do not fit their loss.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from gradlab.diagnosis.rule import Answer, NotApplicable, numbers
from gradlab.measures.network import is_own
from gradlab.tables import INSPECTED, Finding, Severity, Tables
from gradlab.text import first_of

NEARLY_ALL = 0.95
"""A gradient is never there if it is missing, or exactly 0, in this share of all records."""
FEW = 3
"""So many records are too few to tell."""
MUCH = 0.5
"""If so large a share of the network gets no gradient, training is broken."""
LITTLE = 0.01
"""Less than this, in parameters whose modules are not even called, is a part that this task does not need."""


FIELDS = {
    "trained": int, "unreached": dict, "not_optimized": dict, "strangers": list, "outside": dict, "fresh": list,
    "chains": list,
}  # fmt: skip
"""What the recorder's `StepGraph.found` tells."""


def graph_of(tables: Tables) -> Mapping[str, Any] | None:
    """What the graphs of some steps say; None where nobody looked, or where a summary from elsewhere has it wrong."""
    graph = tables.summary.get("graph")
    if not isinstance(graph, dict) or not all(isinstance(graph.get(field), kind) for field, kind in FIELDS.items()):
        return None
    sizes = [*graph["unreached"].values(), *graph["not_optimized"].values(), *graph["outside"].values()]
    links = [link for chain in graph["chains"] for link in (chain if isinstance(chain, list) else [None])]
    shapes = [*graph["fresh"], *map(_shape_of, links)]
    fits = all(isinstance(size, int) for size in sizes) and all(
        isinstance(shape, list) and all(isinstance(length, int) for length in shape) for shape in shapes
    )
    return graph if fits else None


def _shape_of(link: Any) -> Any:
    """The shape in a link of a chain, an operation and a shape; None of anything else."""
    is_link = isinstance(link, list | tuple) and len(link) == 2 and isinstance(link[0], str)
    return link[1] if is_link else None


def classes_of_loss(tables: Tables) -> int | None:
    """Among how many classes the cross-entropy of a watched model decides; None where that is not its whole loss.

    The graph does not tell whether a loss is a mean or a sum over its n samples: a loss that could be a sum of n usual
    ones in the first step is left out, and so is one of several backward passes.
    """
    chains: Sequence[Any] = (graph_of(tables) or {}).get("chains", ())
    if len(chains) != 1 or [name for name, _ in chains[0][:2]] != ["NllLoss", "LogSoftmax"]:
        return None
    shape = chains[0][1][1]
    first = tables.steps.filter(pl.col("step") == 0)["loss"].drop_nulls()
    calls = tables.layers.filter((pl.col("step") == 0) & (pl.col("kind") == "output"))["calls"].drop_nulls()
    if len(shape) != 2 or shape[1] < 2 or not len(first) or any(count > 1 for count in calls):
        return None
    return int(shape[1]) if first[0] < shape[0] * math.log(shape[1]) / 2 else None


def no_gradient(tables: Tables) -> Answer:
    """Parameters never get a gradient, or one that is exactly 0, while others get one.

    They stay as they started. Their output was detached, computed without gradients, multiplied by 0, or left out of
    the loss; or two layers in a row start at 0; or the units behind them are off for all inputs.

    What to try: follow the output of the named module to the loss, and let it take part in it.
    """
    if not is_own(tables):
        return NotApplicable("the network of a configured run is whole")
    if not tables.steps.height:
        return NotApplicable("no step was recorded")
    graph = graph_of(tables)
    norms = _gradient_norms(tables.layers)
    one_pass = tables.status == INSPECTED
    enough = 1 if one_pass else FEW
    if not one_pass and not norms.height and not tables.layers["weight_gradient_norm"].count():
        return _never_there(tables, graph)
    if norms.height and not norms["ever"].any() and (norms["records"] >= enough).any():
        return [_nothing_arrives(norms["module"].to_list(), graph)]
    unreached: Mapping[str, int] = graph["unreached"] if graph else {}
    cut_off = list(dict.fromkeys(name.rpartition(".")[0] or name for name in unreached))
    never = (pl.col("records") >= enough) & (pl.col("zero") >= NEARLY_ALL * pl.col("records"))
    zero = [module for module in norms.filter(never)["module"] if module not in cut_off]
    findings = []
    if cut_off:
        assert graph is not None
        share = sum(unreached.values()) / max(1, graph["trained"])
        computed = set(tables.layers["module"].unique())
        called = [module for module in cut_off if module in computed or _has_part(module, computed)]
        findings.append(_cut_off(cut_off, called, share))
    if zero and one_pass:
        findings.append(_zero_in_one_pass(zero))
    elif zero:
        share = len(zero) / max(1, norms.height)
        findings.append(
            Finding(
                "no-gradient",
                "error" if share >= MUCH else "warning",
                f"the gradient of {_some(zero)} is exactly 0 in nearly all records, while others have one",
                modules=tuple(zero),
                steps=_steps(tables),
                measured=numbers(share=share),
                threshold={"records": NEARLY_ALL},
                remedies=(
                    "Look at what multiplies the output of these modules on the way to the loss: a weight or a gate "
                    "that starts at 0, or units that are off for all inputs.",
                ),
            )
        )
    return findings


def _never_there(tables: Tables, graph: Mapping[str, Any] | None) -> Answer:
    """At each step of an optimizer that holds the model's parameters, none of them has a gradient."""
    rows = tables.layers.drop_nulls("weight_norm")
    unknown = graph is None and (tables.summary.get("graph") is not None or "unfinished" not in tables.summary)
    elsewhere = graph is not None and (all(graph["strangers"]) or not graph["trained"])
    if rows["step"].n_unique() < FEW or unknown or elsewhere:
        return NotApplicable("no gradient of a parameter was recorded")
    if graph is None:
        message = "no backward pass reaches the model: the loss does not depend on its parameters"
        remedy = (
            "Call backward on the loss itself: torch.tensor(loss), loss.item(), loss.detach() and an argmax lose the "
            "graph by which the loss depends on the model."
        )
    else:
        message = "backward passes reach the model, and no parameter has a gradient when the optimizer steps"
        remedy = "Clear the gradients before the backward pass and not between it and the step of the optimizer."
    modules = tuple(rows["module"].unique(maintain_order=True))
    return [Finding("no-gradient", "error", message, modules=modules, steps=_steps(tables), remedies=(remedy,))]


def _zero_in_one_pass(modules: Sequence[str]) -> Finding:
    """Before the first step, a gradient of 0 is often meant: what follows starts at 0, and will not stay there."""
    return Finding(
        "no-gradient",
        "info",
        f"the gradient of {_some(modules)} is exactly 0 in this pass, while others have one",
        modules=tuple(modules),
        remedies=(
            "Look at what multiplies the output of these modules: a weight or a gate that starts at 0 is fine if it "
            "gets a gradient itself.",
        ),
    )


def _gradient_norms(layers: pl.DataFrame) -> pl.DataFrame:
    """For each module: its records with a gradient, those where it is 0, and whether it ever is not."""
    norm = pl.col("parameter_gradient_norm")
    return (
        layers.filter(norm.is_not_null())
        .group_by("module", maintain_order=True)
        .agg(records=pl.len(), zero=(norm == 0).sum(), ever=(norm != 0).any())
    )


def _nothing_arrives(modules: Sequence[str], graph: Mapping[str, Any] | None) -> Finding:
    where = ""
    if graph and graph["chains"]:
        where = f"; the loss is made by {' of '.join(name for name, _ in graph['chains'][0][:4])}"
    return Finding(
        "no-gradient",
        "error",
        f"no parameter gets a gradient other than 0{where}",
        modules=tuple(modules),
        remedies=("Look at the last operations before the loss: one of them has the derivative 0 everywhere.",),
    )


def _cut_off(modules: Sequence[str], called: Sequence[str], share: float) -> Finding:
    severity: Severity = "error" if share >= MUCH else "warning" if called or share >= LITTLE else "info"
    how = (
        "it computes, and what it computes does not reach the loss"
        if len(called) == len(modules) == 1
        else "they compute, and what they compute does not reach the loss"
        if len(called) == len(modules)
        else "no loss depends on them"
    )
    return Finding(
        "no-gradient",
        severity,
        f"no gradient ever reaches {_some(modules)}: {how} ({share:.0%} of the weights)",
        modules=tuple(modules),
        measured=numbers(share=share),
        remedies=(
            "Follow the output of these modules to the loss: it is detached, computed under torch.no_grad(), replaced "
            "or not used. What shall not train has requires_grad=False.",
        ),
    )


def not_optimized(tables: Tables) -> Answer:
    """Parameters that are to be trained, and that no watched optimizer holds.

    They get gradients and never move. The optimizer was made before they were, or of another model, or of a part.

    What to try: make the optimizer of `model.parameters()`, after all layers are in place; what shall stay as it is has
    `requires_grad=False`.
    """
    if tables.status == INSPECTED:
        return NotApplicable("a single pass needs no optimizer")
    graph = graph_of(tables)
    if not is_own(tables) or graph is None:
        return NotApplicable("nobody has looked at the graph of a step")
    missing: Mapping[str, int] = {
        name: size for name, size in graph["not_optimized"].items() if name not in graph["unreached"]
    }
    strangers = [index for index, stranger in enumerate(graph["strangers"]) if stranger]
    if not missing and not strangers:
        return []
    share = sum(missing.values()) / max(1, graph["trained"])
    modules = list(dict.fromkeys(name.rpartition(".")[0] or name for name in missing))
    if missing:
        message = f"no watched optimizer holds the parameters of {_some(modules)}, which get gradients"
        message += f" ({share:.0%} of the weights)"
    else:
        which = " and ".join(f"optimizer {index}" for index in strangers)
        message = f"{which} of the watched ones holds no parameter of the model"
    return [
        Finding(
            "not-optimized",
            "error" if share >= MUCH or len(strangers) == len(graph["strangers"]) else "warning",
            message,
            modules=tuple(modules),
            measured=numbers(share=share),
            remedies=(
                "Make the optimizer of model.parameters(), after all layers are in place, or watch the optimizer that "
                "holds these parameters, too.",
            ),
        )
    ]


def unregistered_parameters(tables: Tables) -> Answer:
    """The loss depends on layers that the model does not know.

    PyTorch finds layers that are attributes of a module, and not those in a plain list or dict, or those that are made
    anew in each forward pass. They are in no `parameters()`, no optimizer and no `state_dict`: they never train, and
    what is saved lacks them.

    What to try: `nn.ModuleList`, `nn.ModuleDict` or `nn.ParameterList` in place of the list or dict; make layers in
    `__init__`.
    """
    graph = graph_of(tables)
    if not is_own(tables) or graph is None:
        return NotApplicable("nobody has looked at the graph of a step")
    findings = []
    outside: Mapping[str, int] = graph["outside"]
    if outside:
        findings.append(
            Finding(
                "unregistered-parameters",
                "error",
                f"the loss depends on layers in {_some(list(outside))}, a plain list or dict: the model does not know "
                f"their {sum(outside.values()):,} weights, and no watched optimizer holds them",
                modules=tuple(outside),
                measured=numbers(weights=sum(outside.values())),
                remedies=("Keep them in an nn.ModuleList, nn.ModuleDict, nn.ParameterList or nn.ParameterDict.",),
            )
        )
    fresh: Sequence[Sequence[int]] = graph["fresh"]
    if fresh:
        shapes = first_of([" × ".join(map(str, shape)) or "1" for shape in fresh])
        findings.append(
            Finding(
                "unregistered-parameters",
                "error",
                f"the loss depends on {len(fresh)} parameters that are made anew in each step (shapes: {shapes})",
                measured=numbers(weights=sum(math.prod(shape) for shape in fresh)),
                remedies=("Make layers in __init__ and not in forward, and give them to the optimizer.",),
            )
        )
    return findings


def _some(modules: Iterable[str]) -> str:
    return first_of([f"`{module}`" if module else "the model itself" for module in modules])


def _has_part(module: str, names: Iterable[str]) -> bool:
    return any(name.startswith((f"{module}.", f"{module}:")) for name in names)


def _steps(tables: Tables) -> tuple[int, int]:
    steps = tables.steps["step"]
    return int(steps[0]), int(steps[-1])
