"""The sums of a step, module by module, before they become statistics; and those of several ranks together.

Suffixes: R rows, Q quantities, P parts (a row of one rank).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.recording.combine import add_up
from gradlab.recording.parameter_sums import ABSENT, KNOWN, OF_PARAMETERS, UNKNOWN, ParameterSums
from gradlab.statistics import SUMS, Flags, Floats, StepRows, finish

OUTPUTS = (*SUMS, "output_size", "input_size", "delta_size")
"""Quantities that each rank has of its own share of the batch."""
WIDTH = len(OUTPUTS) + 2 * len(OF_PARAMETERS)
"""Numbers of a row of a share."""

Columns = tuple[Sequence[int], Sequence[str], Sequence[str], Sequence[int], Sequence[str | None]]
"""Layer, module, kind, calls and dtype of each row."""


class StepSums(NamedTuple):
    """What the rows of a step are made of.

    Attributes:
        step: the number of the step.
        columns: what rows say beside their values.
        order: where each row is among the quantities.
        quantities: what statistics are made of, by name.
        exists: for some quantities, where they exist.
        loss: what was differentiated, unscaled.
        gradient_squares: Σ g² of all parameters, as autograd has left them; None where that is not known.
        scale: what the loss was multiplied with.
    """

    step: int
    columns: Columns
    order: Sequence[int]
    quantities: Mapping[str, Any]
    exists: Mapping[str, Flags]
    loss: float | None
    gradient_squares: float | None
    scale: float

    def rows(self) -> StepRows:
        """The rows of the step."""
        places = len(self.quantities["mean"])
        values_SU, applies_SU = finish({**self.quantities, "gradient_scale": self.scale}, self.exists, places)
        return StepRows(self.step, *self.columns, values_SU.T[self.order], applies_SU.T[self.order])

    @property
    def gradient_norm(self) -> float | None:
        """Norm of the gradient of all parameters, unscaled."""
        return None if self.gradient_squares is None else float(np.sqrt(self.gradient_squares)) / self.scale


class Share(NamedTuple):
    """The sums of a step on one rank, for another rank that puts those of all ranks together.

    Attributes:
        step: the number of the step.
        columns: see `StepSums`.
        numbers_RQ: of each row, the quantities `OUTPUTS`, those `OF_PARAMETERS` that this rank has whole, and those of
            which it has shards.
        states_RQ: of each row, the states of the latter two.
        loss: see `StepSums`.
        gradient_squares: Σ g² of the parameters that this rank has whole, and of its shards.
        scale: see `StepSums`.
        ranks: over how many ranks the gradients are added up, …
        divisor: … and by what their sum is divided.
    """

    step: int
    columns: Columns
    numbers_RQ: Floats
    states_RQ: NDArray[np.int8]
    loss: float | None
    gradient_squares: tuple[float | None, float | None]
    scale: float
    ranks: int
    divisor: float


def share_of(sums: StepSums, whole: ParameterSums, shards: ParameterSums, *, ranks: int, divisor: float) -> Share:
    """What this rank contributes to a step."""
    outputs = [sums.quantities[name] for name in OUTPUTS]
    parts = [part.sums[name] for part in (whole, shards) for name in OF_PARAMETERS]
    states = [part.states[name] for part in (whole, shards) for name in OF_PARAMETERS]
    return Share(
        step=sums.step,
        columns=sums.columns,
        numbers_RQ=np.array([*outputs, *parts], dtype=float).T[sums.order],
        states_RQ=np.array(states, dtype=np.int8).T[sums.order],
        loss=sums.loss,
        gradient_squares=(whole.gradient_squares, shards.gradient_squares),
        scale=sums.scale,
        ranks=ranks,
        divisor=divisor,
    )


def merge(shares: Sequence[Share], *, complete: bool) -> StepSums:
    """The sums of one step of all ranks together.

    Args:
        shares: those of the ranks, in their order.
        complete: whether they are of all ranks. Otherwise nothing is known of parameters that are sharded.
    """
    first, about, row_P = _rows(shares)
    rows = len(about)
    numbers_QP = np.concatenate([share.numbers_RQ for share in shares]).T
    states_QP = np.concatenate([share.states_RQ for share in shares]).T
    quantities, exists = _outputs(dict(zip(OUTPUTS, numbers_QP[: len(OUTPUTS)], strict=True)), row_P, rows)
    sharded = False
    for place, name in enumerate(OF_PARAMETERS):
        of_shards = place + len(OF_PARAMETERS)
        whole_R, state_R = _first_known(numbers_QP[len(OUTPUTS) + place], states_QP[place], row_P, rows)
        states_P = states_QP[of_shards] if complete else np.minimum(states_QP[of_shards], 1) * UNKNOWN
        shards_R, shard_state_R = _added(numbers_QP[len(OUTPUTS) + of_shards], states_P, row_P, rows)
        quantities[name] = whole_R + shards_R
        exists[name] = np.maximum(state_R, shard_state_R) == KNOWN
        sharded |= bool(shard_state_R.any())
    losses = [share.loss for share in shares if share.loss is not None]
    squares = [first.gradient_squares[0], *(share.gradient_squares[1] for share in shares)]
    known = [each for each in squares if each is not None]
    return StepSums(
        step=first.step,
        columns=tuple(map(list, zip(*about, strict=True))) if about else ([], [], [], [], []),  # type: ignore[arg-type]
        order=range(rows),
        quantities=quantities,
        exists=exists,
        loss=float(np.mean(losses)) * first.ranks / first.divisor if len(losses) == len(shares) else None,
        gradient_squares=sum(known) if len(known) == len(squares) and (complete or not sharded) else None,
        scale=first.scale,
    )


def _rows(shares: Sequence[Share]) -> tuple[Share, list[Any], NDArray[np.intp]]:
    """The first share, what the rows of all shares say beside their values, and the row of each part.

    `calls` of a row is that of the rank with most calls: one process with the whole batch would call as often.
    """
    about: dict[str, Any] = {}
    for share in shares:
        for layer, module, kind, calls, dtype in zip(*share.columns, strict=True):
            before = about.get(module)
            if before is None:
                about[module] = layer, module, kind, calls, dtype
            elif calls > before[3]:
                about[module] = *before[:3], calls, before[4] or dtype
    place = {module: row for row, module in enumerate(about)}
    row_P = np.array([place[module] for share in shares for module in share.columns[1]], dtype=np.intp)
    return shares[0], list(about.values()), row_P


def _outputs(of_P: Mapping[str, Floats], row_P: NDArray[np.intp], rows: int) -> tuple[dict[str, Any], dict[str, Flags]]:
    """The sums of outputs and δ, and where they exist."""
    ran_P = of_P["output_size"] > 0
    sizes_P = {of: of_P[f"{of}_size"][ran_P] for of in ("output", "input", "delta")}
    row_P = row_P[ran_P]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quantities: dict[str, Any] = add_up({name: of_P[name][ran_P] for name in SUMS}, sizes_P, row_P, rows)
    sizes_R = {of: np.bincount(row_P, size_P, minlength=rows) for of, size_P in sizes_P.items()}
    exists = {name: sizes_R[of] > 0 for name, (of, _) in SUMS.items()}
    return quantities | {f"{of}_size": size_R for of, size_R in sizes_R.items()}, exists


def _first_known(
    of_P: Floats, states_P: NDArray[np.int8], row_P: NDArray[np.intp], rows: int
) -> tuple[Floats, NDArray[np.int8]]:
    """A sum that ranks have alike: that of the first rank that has it."""
    sums_R, states_R = np.zeros(rows), np.full(rows, ABSENT, dtype=np.int8)
    backwards = np.flatnonzero(states_P != ABSENT)[::-1]  # the first one is written last
    sums_R[row_P[backwards]], states_R[row_P[backwards]] = of_P[backwards], states_P[backwards]
    return sums_R, states_R


def _added(
    of_P: Floats, states_P: NDArray[np.int8], row_P: NDArray[np.intp], rows: int
) -> tuple[Floats, NDArray[np.int8]]:
    """A sum of which each rank has a part."""
    states_R = np.full(rows, ABSENT, dtype=np.int8)
    np.maximum.at(states_R, row_P, states_P)
    known = states_P == KNOWN
    return np.bincount(row_P[known], of_P[known], minlength=rows).astype(np.float64), states_R
