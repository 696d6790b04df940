"""The first number that is not finite: where it arose, what led to it, and what helps against that."""

from math import isfinite

import polars as pl

from gradlab.diagnosis import remedies
from gradlab.diagnosis.rule import Answer, NotApplicable, numbers
from gradlab.measures.network import is_own
from gradlab.measures.origin import Growth, Origin, origin
from gradlab.tables import Finding, Tables
from gradlab.text import modules_text

OVERFLOWING = 1e30
"""A gradient signal of this size next to one that is infinite has overflowed; it is no derivative that does not
exist."""


def diverged(tables: Tables) -> Answer:
    """The loss, a gradient or a weight became NaN or infinite.

    Nothing after that step is training. The first such number tells the cause: it arose in the `input`, in the
    `forward` pass, in the `loss`, in the `backward` pass, or in the `update`, at the modules that are named. A finite
    loss with an infinite derivative (a root or a logarithm of 0) is no matter of the learning rate.

    What to try: for outputs, gradients or weights that grew until they overflowed, a smaller learning rate, gradient
    clipping, another initializer; for a single operation, an epsilon or a limit on what enters it; for inputs, data
    without NaN.
    """
    if not tables.steps.height and not tables.layers.height and tables.status != "diverged":
        return NotApplicable("nothing was recorded")
    found = origin(tables)
    losses = tables.steps.drop_nulls("loss").sort("step")
    bad = losses.filter(~pl.col("loss").is_finite())
    if found is None and tables.status != "diverged":
        return []
    step = min([*bad["step"].head(1), *([found.step] if found else [])], default=tables.steps_done - 1)
    before = losses.filter((pl.col("step") < step) & pl.col("loss").is_finite())["loss"]
    recovered = tables.status != "diverged" and _is_finite_at_the_end(tables)
    said = [_where(found, losses) if found else "", _loss_text(step, bad, before), "later on all is finite" * recovered]
    return [
        Finding(
            rule="diverged",
            severity="info" if recovered else "error",
            message="; ".join(filter(None, said)),
            modules=found.modules if found else (),
            steps=(int(step), int(step)),
            measured=numbers(step=step, loss_before=before[-1] if len(before) else None, **_grown(found)),
            remedies=tuple(_remedies(tables, found, untrained=step == 0)),
        )
    ]


def _is_finite_at_the_end(tables: Tables) -> bool:
    last = tables.steps.drop_nulls("loss").sort("step")["loss"].tail(1)
    rows = tables.layers.filter(pl.col("step") == pl.col("step").max())
    weights = [*rows["weight_norm"].drop_nulls(), *rows["update_ratio"].drop_nulls()]
    return all(map(isfinite, [*last, *weights]))


def _loss_text(step: int, bad: pl.DataFrame, before: pl.Series) -> str:
    """What the loss was."""
    untrained = step == 0  # no learning rate helps then, because the signal itself overflows
    history = f"; it was {before[0]:.3g} at first and {before[-1]:.3g} just before" if len(before) else ""
    if bad.height:
        when = f"in step {bad['step'][0]}"
        return f"the loss is {bad['loss'][0]:g} {when}{', before any update' if untrained else history}"
    return "the loss is not finite" + history if not len(before) else f"the loss was {before[-1]:.3g} just before"


def _where(found: Origin, losses: pl.DataFrame) -> str:
    """Where the first number arose that is not finite, as the beginning of a sentence."""
    names = [f"{modules_text([name])}" for name in found.modules]
    if found.phase is None:
        return f"the weights of {modules_text(found.modules)} are not finite at the start" if names else ""
    gap = found.since is not None and found.since < found.step - 1
    when = f"between steps {found.since} and {found.step}" if gap else f"in step {found.step}"
    what = {
        "input": lambda: f"in the input of {names[0]}",
        "forward": lambda: (
            f"in the forward pass, at {names[0]}{f', which comes after {names[1]}' if names[1:] else ''}"
            f"{_growth_text(found.growth, 'its largest output')}"
        ),
        "loss": lambda: (
            f"in the loss, in what it computes from the output of {modules_text(found.modules)}"
            f"{_growth_text(found.growth, 'whose largest entry')}"
        ),
        "backward": lambda: _backward(found, names, losses),
        "update": lambda: (
            f"in the update of the weights of {modules_text(found.modules)}{_growth_text(found.growth, 'their norm')}"
        ),
    }[found.phase]()
    return f"the first number that is not finite arose {when} {what}"


def _backward(found: Origin, names: list[str], losses: pl.DataFrame) -> str:
    if found.at_output:
        loss = losses.filter(pl.col("step") == found.step)["loss"]
        value = f" of {loss[0]:.3g}" if len(loss) else ""
        return f"in the backward pass: the loss{value} is finite, and its derivative by the output of {names[0]} is not"
    after = f", though that of {names[1]} after it is finite" if names[1:] else ""
    return f"in the backward pass, in the gradient of {names[0]}{after}"


def _growth_text(growth: Growth | None, what: str) -> str:
    if growth is None or not growth.grew:
        return ""
    return f", {what} grew from {growth.first:.2g} to {growth.last:.2g}"


def _grown(found: Origin | None) -> dict[str, float]:
    return {} if found is None or found.growth is None else {"first": found.growth.first, "last": found.growth.last}


def _remedies(tables: Tables, found: Origin | None, *, untrained: bool) -> list[str]:
    """What helps against the cause. In a configured run no operation of the loss or the model is at fault."""
    general = remedies.start(tables.config) if untrained else remedies.training(tables.config)
    if found is None or found.phase is None or not is_own(tables):
        return general
    grew = found.growth is not None and found.growth.grew
    match found.phase:
        case "input":
            return ["Remove NaN and infinity from the inputs, or replace them."]
        case "backward" if not (found.growth is not None and found.growth.last > OVERFLOWING):
            return [
                "Give the operation a finite derivative everywhere: an epsilon inside a root, a logarithm or a "
                "division, before it is taken."
            ]
        case "loss":
            limit = "Limit what enters the exponential, logarithm, root or division in the loss."
            return [limit, *(general if grew else [])]
        case "forward" if not grew:
            return ["Limit what enters the exponential, logarithm, root or division in the forward pass."]
        case "update" if not grew:
            return ["Look at the optimizer's epsilon and learning rate: a step of it made finite gradients NaN."]
    return general
