"""Sums ─► the statistics of a step, for all modules at once.

Suffixes: C calls, U modules that were called, M all modules, S statistics.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.recording.calls import DELTA, MAXIMUM, MEAN, MINIMUM, SATURATED, SLOTS, SQUARES, ZEROS, Call
from gradlab.recording.reading import Reading
from gradlab.statistics import LAYER_STATISTICS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
COLUMN: Mapping[str, int] = {name: index for index, name in enumerate(LAYER_STATISTICS)}


class Combined(NamedTuple):
    """A step's calls, put together by module.

    Attributes:
        modules_U: the modules that were called, by number.
        counts_U: how often.
        formats: the format of each one's output.
        values_US: the statistics that calls tell.
        applies_US: where they apply.
    """

    modules_U: NDArray[np.intp]
    counts_U: NDArray[np.intp]
    formats: Sequence[str]
    values_US: Floats
    applies_US: Flags


class Combiner:
    """Puts calls together. What depends on who was called, and not on the numbers, is kept from step to step."""

    def __init__(self) -> None:
        self._calls: Sequence[Call] = ()
        self._plan = _Plan(())

    def combine(self, reading: Reading, owners: Sequence[int | None], phases: Sequence[int], scale: float) -> Combined:
        """Combine the calls of each module, as if its outputs had been one tensor.

        Calls that came after their module's optimizer had done its last step of this step are left out: it never saw
        what they did.

        Args:
            reading: the calls.
            owners: the optimizer of each module.
            phases: steps that each optimizer has done.
            scale: what the loss was multiplied with.
        """
        calls, slots_CS, delta_sizes_C = reading.calls, reading.slots_CS, reading.delta_sizes_C
        if len(phases) > 1:
            done = [phases[owner] if (owner := owners[call.place]) is not None else 0 for call in calls]
            seen = [not steps or call.phase < steps for call, steps in zip(calls, done, strict=True)]
            calls = [call for call, was_seen in zip(calls, seen, strict=True) if was_seen]
            seen_C = np.array(seen, dtype=bool)
            slots_CS, delta_sizes_C = slots_CS[seen_C], delta_sizes_C[seen_C]
        if calls != self._calls:
            self._calls, self._plan = list(calls), _Plan(calls)
        return self._plan.combine(slots_CS, delta_sizes_C, scale)


class _Plan:
    """Which calls belong together."""

    def __init__(self, calls: Sequence[Call]) -> None:
        place_C = np.array([call.place for call in calls], dtype=np.intp)
        self._modules_U, self._module_C = np.unique(place_C, return_inverse=True)
        self._counts_U = np.bincount(self._module_C, minlength=len(self._modules_U))
        formats = {call.place: str(call.dtype).removeprefix("torch.") for call in reversed(calls)}
        self._formats = [formats[module] for module in self._modules_U.tolist()]
        self._order_C = None if len(calls) > len(self._modules_U) else np.argsort(place_C)
        self._sizes_C = np.array([call.size for call in calls], dtype=float)
        self._inputs_C = np.array([call.input_size for call in calls], dtype=float)
        self._sizes_U, self._inputs_U = self._total(self._sizes_C), self._total(self._inputs_C)
        self._applies_US = np.zeros((len(self._modules_U), len(LAYER_STATISTICS)), dtype=bool)
        self._applies_US[:, : COLUMN["zero_fraction"] + 1] = True
        self._applies_US[:, COLUMN["saturated_fraction"]] = self._inputs_U > 0

    def combine(self, slots_CS: Floats, delta_sizes_C: Floats, scale: float) -> Combined:
        """Statistics of each module."""
        values_US = np.zeros(self._applies_US.shape)
        applies_US = self._applies_US.copy()
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self._order_C is not None:
                slots_US, deltas_U = slots_CS[self._order_C], delta_sizes_C[self._order_C]
            else:
                slots_US, deltas_U = self._added_up(slots_CS, delta_sizes_C), self._total(delta_sizes_C)
            sizes_U = self._sizes_U
            mean_U = slots_US[:, MEAN]
            variance_U = slots_US[:, SQUARES] / sizes_U
            values_US[:, 0] = mean_U
            values_US[:, 1] = np.sqrt(variance_U)
            values_US[:, 2] = np.sqrt(variance_U + mean_U**2)
            values_US[:, 3:5] = slots_US[:, MINIMUM : MAXIMUM + 1]
            numbers_U = np.where(np.isnan(mean_U), np.nan, 1.0)  # nothing can be counted among what is no number
            values_US[:, COLUMN["zero_fraction"]] = numbers_U * slots_US[:, ZEROS] / sizes_U
            values_US[:, COLUMN["saturated_fraction"]] = numbers_U * slots_US[:, SATURATED] / self._inputs_U
            values_US[:, COLUMN["delta_rms"]] = np.sqrt(slots_US[:, DELTA] / deltas_U) / scale
            applies_US[:, COLUMN["delta_rms"]] = deltas_U > 0
        return Combined(self._modules_U, self._counts_U, self._formats, values_US, applies_US)

    def _added_up(self, slots_CS: Floats, delta_sizes_C: Floats) -> Floats:
        """The sums that each module's calls would have as one; Chan, Golub & LeVeque 1983, eq. 2.1."""
        slots_US = np.zeros((len(self._modules_U), SLOTS))
        mean_C = slots_CS[:, MEAN]
        mean_U = self._total(mean_C * (self._sizes_C / self._sizes_U[self._module_C]))
        apart_C = np.where(mean_C == mean_U[self._module_C], 0.0, mean_C - mean_U[self._module_C])
        slots_US[:, MEAN] = mean_U
        slots_US[:, SQUARES] = self._total(slots_CS[:, SQUARES] + self._sizes_C * apart_C**2)
        slots_US[:, MINIMUM], slots_US[:, MAXIMUM] = np.inf, -np.inf
        np.minimum.at(slots_US[:, MINIMUM], self._module_C, slots_CS[:, MINIMUM])
        np.maximum.at(slots_US[:, MAXIMUM], self._module_C, slots_CS[:, MAXIMUM])
        slots_US[:, ZEROS] = self._total(slots_CS[:, ZEROS])
        slots_US[:, SATURATED] = self._total(np.where(self._inputs_C > 0, slots_CS[:, SATURATED], 0.0))
        slots_US[:, DELTA] = self._total(np.where(delta_sizes_C > 0, slots_CS[:, DELTA], 0.0))
        return slots_US

    def _total(self, values_C: Floats) -> Floats:
        return np.bincount(self._module_C, values_C, minlength=len(self._modules_U)).astype(np.float64)


def put_weights(values_MS: Floats, applies_MS: Flags, sums_MG: Floats, weighted_M: Flags, trained_M: Flags) -> None:
    """Norms of weights, of their gradients and of their updates.

    Args:
        values_MS: what to fill.
        applies_MS: where it applies.
        sums_MG: for each module, sums of squares of its weights' gradients, of its weights, and of their changes.
        weighted_M: which modules have weights.
        trained_M: which of them have a gradient in this step.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gradient_M, weight_M, change_M = np.sqrt(sums_MG).T
        norm, gradient_norm, ratio = (COLUMN[name] for name in ("weight_norm", "weight_gradient_norm", "update_ratio"))
        values_MS[:, norm], applies_MS[:, norm] = weight_M, weighted_M
        values_MS[:, gradient_norm], applies_MS[:, gradient_norm] = gradient_M, trained_M
        values_MS[:, ratio], applies_MS[:, ratio] = change_M / weight_M, trained_M & (weight_M > 0)
