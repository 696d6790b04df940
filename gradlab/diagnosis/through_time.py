"""δ through time in recurrent modules: from the last call of a cell to the first, or over the steps of a sequence.

Where the loss is made of all outputs, δ of each time step has a part of its own, and says nothing of how far back the
others reach; then it is flat and there is no finding.
"""

import numpy as np
import polars as pl

from gradlab.diagnosis.rule import numbers, severity_of
from gradlab.measures.profiles import Floats, Numbers
from gradlab.measures.spells import Spell, lasting, smooth, spell
from gradlab.measures.trend import trend
from gradlab.tables import Finding, Severity, Tables
from gradlab.text import modules_text

RANGE_DECADES = 2.0
"""The limit over the depth, for the same reason: one learning rate cannot serve what differs a hundredfold."""
CURED_DECADES = 1.0
MANY_STEPS = 100
"""A loss is expected to have fallen after so many recorded steps; before, a network that forgets is not blamed."""
REMEDIES = {
    +1: "Clip the norm of the gradient before each update, start recurrent weights orthogonal, or take a gated cell "
    "(LSTM, GRU).",
    -1: "Take a gated cell (LSTM, GRU) with a bias of 1 at the forget gate, start the recurrent weights orthogonal, or "
    "give more time steps a part in the loss.",
}


def through_time(tables: Tables, rule: str, sign: int) -> list[Finding] | None:
    """What there is to say of δ through time.

    Args:
        tables: the run.
        rule: the rule for which it is said.
        sign: −1 for δ that shrinks on its way back, +1 for δ that grows.

    Returns:
        The findings; None where no module is known to be recurrent.
    """
    rows = tables.judged.filter(pl.col("delta_through_time").is_finite()).sort("step", maintain_order=True)
    if not rows.height:
        return None
    found = []
    for module in rows["module"].unique(maintain_order=True):
        its = rows.filter(module=module)
        finding = _of_module(tables, its, rule, sign)
        if finding is not None:
            found.append(finding)
    return found


def _of_module(tables: Tables, rows: pl.DataFrame, rule: str, sign: int) -> Finding | None:
    steps_T: Numbers = rows["step"].to_numpy().astype(np.int64)
    range_T: Floats = smooth(rows["delta_through_time"].to_numpy().astype(np.float64))
    when = spell(steps_T, lasting(sign * range_T, RANGE_DECADES, CURED_DECADES), sign * range_T)
    if when is None:
        return None
    module, layer, calls = rows.row(when.quote, named=True)["module"], rows["layer"][0], rows["calls"][when.quote]
    where = f"over the {calls} calls of" if (calls or 0) > 1 else "over the sequence of"
    range_decades = float(range_T[when.quote])
    return Finding(
        rule=rule,
        severity=_severity(tables, when, sign),
        message=f"through time, δ {'grows' if sign > 0 else 'shrinks'} by {abs(range_decades):.1f} decades on its way "
        f"from the last time step to the first, {where} {modules_text([module])}, {when}",
        modules=(module,),
        layers=(int(layer),),
        steps=when.steps,
        measured=numbers(range_decades=range_decades),
        threshold={"range_decades": sign * RANGE_DECADES},
        remedies=(REMEDIES[sign],),
    )


def _severity(tables: Tables, when: Spell, sign: int) -> Severity:
    """How bad it is. A network whose δ shrinks through time forgets; it may learn all the same, as a gated one does."""
    if sign > 0:
        return severity_of(when, "error")
    course = trend(tables.steps.sort("step")["loss"].drop_nulls().to_numpy())
    if course is None or course.records < MANY_STEPS or course.fell:
        return "info"
    return severity_of(when, "error" if course.certain else "warning")
