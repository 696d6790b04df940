"""Where the first number arose that is not finite: in which step, in which part of it, and at which module.

The parts of a step follow one another: the input enters the first layers, the forward pass makes the outputs and the
loss of it, the backward pass the gradients, and the optimizer the new weights. NaN and infinity spread from one to the
next, so the first part that has one is where it arose. Rows are in the order in which modules compute.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from gradlab.measures.network import network_of
from gradlab.tables import Tables

Phase = Literal["input", "forward", "loss", "backward", "update"]

OUTPUTS = ("activation_mean", "activation_rms")
GRADIENTS = ("weight_gradient_norm", "parameter_gradient_norm")
GREW = 10.0
"""An output has grown if its largest entry is this many times what it was at first."""
RECURRENT = 10
"""Calls in one step from which on a module may have overflowed because it reads its own output, over and over."""
SAME_WEIGHTS = 1.5
"""Weights whose norm is not more than so many times that of the record before cannot make a sound input overflow."""
NEAR_OVERFLOW = {"float16": 1e3}
"""Outputs of this size in the record before may overflow in the next one, by number format; 1e18 in all others."""


@dataclass(frozen=True)
class Growth:
    """How a quantity of a module changed before something became NaN or infinite.

    Attributes:
        first: its value in the first record.
        last: its value in the last record that is finite.
    """

    first: float
    last: float

    @property
    def grew(self) -> bool:
        """Whether it grew so much that the number format may have run out."""
        return self.last >= GREW * self.first


@dataclass(frozen=True)
class Origin:
    """Where the first number arose that is not finite.

    Attributes:
        step: the step.
        phase: the part of the step; None where no record tells.
        modules: where it arose, nearest first; empty where no record tells.
        since: the last step before that is known to have been finite; None where there is none.
        at_output: of the backward pass: whether the gradient signal of the output itself is not finite.
        growth: of what would have overflowed: the largest entry of an output, or the norm of weights.
    """

    step: int
    phase: Phase | None = None
    modules: tuple[str, ...] = ()
    since: int | None = None
    at_output: bool = False
    growth: Growth | None = None


def origin(tables: Tables) -> Origin | None:
    """Where the first number arose that is not finite; None where every loss, gradient and weight is finite.

    Outputs alone do not count: a mask of −∞ is a sound output.
    """
    layers = tables.layers
    bad_loss = _first_step(tables.steps.filter(_bad("loss")))
    bad_rows = _first_step(layers.filter(_bad("delta_rms", *GRADIENTS, "weight_norm", "update_ratio")))
    first = min((step for step in (bad_loss, bad_rows) if step is not None), default=None)
    if first is None:
        return None
    usual = layers.filter(_bad(*OUTPUTS) & (pl.col("step") < first))["module"].unique()
    marked = layers.with_columns(output=_bad(*OUTPUTS) & ~pl.col("module").is_in(usual.implode()))
    marked = marked.with_columns(
        delta=_bad("delta_rms"), gradient=_bad(*GRADIENTS), weight=_bad("weight_norm"), update=_bad("update_ratio")
    )
    flags = ("output", "delta", "gradient", "weight", "update")
    shown = pl.any_horizontal(*flags) | (pl.col("step") == (-1 if bad_loss is None else bad_loss))
    step = _first_step(marked.filter((pl.col("step") >= first) & shown))
    if step is None or (bad_loss is not None and bad_loss < step):
        return Origin(first)  # the step in which the loss went was not recorded
    before = layers.filter(pl.col("step") < step)
    since = None if before.is_empty() else int(before["step"].to_numpy().max())
    network = network_of(tables)
    ends = frozenset() if network is None else frozenset(node.name for node in network.nodes.values() if node.last)
    rows = marked.filter(pl.col("step") == step)
    return _in_step(rows, before, step, since, ends if bad_loss == step else None)


def _in_step(
    rows: pl.DataFrame, before: pl.DataFrame, step: int, since: int | None, ends: frozenset[str] | None
) -> Origin:
    """Where the first one arose in a step.

    Args:
        rows: of the step.
        before: the rows of the steps before.
        step: the step.
        since: the last recorded step before.
        ends: the modules that the loss reads, where they are known, if the loss is not finite; None if it is finite.
    """
    weights = _names(rows, "weight")
    if weights:
        if since is None:
            return Origin(step, None, weights)
        return Origin(step - 1, "update", weights, since, growth=_growth(before, weights[0], "weight_norm"))
    outputs = _names(rows, "output")
    if outputs:
        return _in_forward_pass(rows, before, step, since)
    deltas = _names(rows, "delta")
    if ends is not None:
        outputs = tuple(name for name in deltas if name in ends) or deltas[-1:] or tuple(rows["module"][-1:])
        seen = pl.concat([before, rows], how="diagonal")
        grown = {name: _growth(seen, name) for name in outputs}
        read = tuple(sorted(outputs, key=lambda name: -_factor(grown[name])))
        return Origin(step, "loss", read, since, growth=grown[read[0]])
    if deltas:
        after = rows.with_row_index().filter(pl.col("module") == deltas[-1])["index"][-1] + 1
        finite = rows[after:].filter(pl.col("delta_rms").is_not_null())["module"].to_list()
        growth = _growth(before, deltas[-1], "delta_rms")
        return Origin(step, "backward", (deltas[-1], *finite[:1]), since, not finite, growth)
    gradients = _names(rows, "gradient")
    if gradients:
        return Origin(step, "backward", gradients[-1:], since)
    updates = _names(rows, "update")
    return Origin(step, "update", updates, since, growth=_growth(before, updates[0], "weight_norm"))


def _in_forward_pass(rows: pl.DataFrame, before: pl.DataFrame, step: int, since: int | None) -> Origin:
    place = int(rows["output"].arg_max())  # type: ignore[arg-type]
    name, kind = rows["module"][place], rows["kind"][place]
    growth = _growth(before, name)
    if kind in ("weight", "norm", "output") and place == 0 and not _may_overflow(rows[0], before, growth):
        return Origin(step, "input", (name,), since)
    above = rows[:place].filter(pl.col("activation_max").is_not_null())["module"].to_list()
    return Origin(step, "forward", (name, *above[-1:]), since, growth=growth)


def _may_overflow(row: pl.DataFrame, before: pl.DataFrame, growth: Growth | None) -> bool:
    """Whether the first module may have made NaN or infinity of a finite input."""
    earlier = before.filter(pl.col("module") == row["module"][0])
    if not earlier.height or growth is None:
        return bool((row["calls"][0] or 1) >= RECURRENT)
    norms = row["weight_norm"][0], earlier["weight_norm"][-1]
    moved = None not in norms and norms[0] > SAME_WEIGHTS * norms[1]
    return bool(moved or growth.last > NEAR_OVERFLOW.get(row["dtype"][0] or "", 1e18))


def _growth(rows: pl.DataFrame, module: str, column: str | None = None) -> Growth | None:
    """How a column, or the size of the largest output entry, changed over some records; None where it is not known."""
    largest = pl.max_horizontal(pl.col("activation_min").abs(), pl.col("activation_max").abs())
    chosen = rows.filter(pl.col("module") == module).select(value=largest if column is None else pl.col(column))
    values = chosen.filter(pl.col("value").is_finite())["value"]
    return Growth(float(values[0]), float(values[-1])) if len(values) else None


def _factor(growth: Growth | None) -> float:
    return 0.0 if growth is None or not growth.first else growth.last / growth.first


def _first_step(rows: pl.DataFrame) -> int | None:
    return None if rows.is_empty() else int(rows["step"].to_numpy().min())


def _names(rows: pl.DataFrame, flag: str) -> tuple[str, ...]:
    return tuple(rows.filter(pl.col(flag))["module"])


def _bad(*columns: str) -> pl.Expr:
    """Whether any of some columns has a number that is not finite; null is none."""
    return pl.any_horizontal([pl.col(column).is_not_null() & ~pl.col(column).is_finite() for column in columns])
