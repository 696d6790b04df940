"""The sums of a step, call by call ─► the sums of each module.

Suffixes: C calls, U modules that were called, S sums.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.recording.calls import Call
from gradlab.statistics import SUMS, Flags, Floats


class Combiner:
    """Puts calls together. What depends on who was called, and not on the numbers, is kept from step to step."""

    def __init__(self) -> None:
        self._calls: Sequence[Call] = ()
        self._plan = Plan(())

    def combine(
        self,
        calls: Sequence[Call],
        sums_CS: Floats,
        delta_sizes: Sequence[int],
        owners: Sequence[int | None],
        phases: Sequence[int],
    ) -> tuple["Plan", dict[str, Any], dict[str, Flags]]:
        """Combine the calls of each module, as if its outputs had been one tensor.

        Calls that came after their module's optimizer had done its last step of this step are left out: it never saw
        what they did.

        Args:
            calls: the calls.
            sums_CS: their sums, in the order of `SUMS`.
            delta_sizes: entries of the gradient that each of them received.
            owners: the optimizer of each module.
            phases: steps that each optimizer has done.

        Returns:
            The plan, which tells the modules that were called; what statistics are made of; and which modules have it.
        """
        delta_size_C = np.array(delta_sizes, dtype=float)
        if len(phases) > 1:
            done = [phases[owner] if (owner := owners[call.module]) is not None else 0 for call in calls]
            seen_C = np.array([not n or call.phase < n for call, n in zip(calls, done, strict=True)], dtype=bool)
            calls = [call for call, seen in zip(calls, seen_C, strict=True) if seen]
            sums_CS, delta_size_C = sums_CS[seen_C], delta_size_C[seen_C]
        if calls != self._calls:
            self._calls, self._plan = list(calls), Plan(calls)
        return self._plan, *self._plan.combine(sums_CS, delta_size_C)


class Plan:
    """Which calls belong together.

    Attributes:
        modules_U: the modules that were called, by number.
        counts_U: how often.
        formats: the format of each one's output.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        modules_C = np.array([call.module for call in calls], dtype=np.intp)
        self.modules_U, self._row_C = np.unique(modules_C, return_inverse=True)
        self.counts_U = np.bincount(self._row_C, minlength=len(self.modules_U))
        formats = {call.module: str(call.dtype).removeprefix("torch.") for call in reversed(calls)}
        self.formats = [formats[module] for module in self.modules_U.tolist()]
        self._order_C = None if len(calls) > len(self.modules_U) else np.argsort(modules_C)
        self._sizes_C: Mapping[str, Floats] = {
            "output": np.array([call.size for call in calls], dtype=float),
            "input": np.array([call.input_size for call in calls], dtype=float),
        }
        self._sizes_U = {name: self._total(sizes_C) for name, sizes_C in self._sizes_C.items()}

    def combine(self, sums_CS: Floats, delta_size_C: Floats) -> tuple[dict[str, Any], dict[str, Flags]]:
        """What statistics are made of, for each module, and which modules have it."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self._order_C is not None:
                delta_size_U = delta_size_C[self._order_C]
                sums = dict(zip(SUMS, sums_CS[self._order_C].T, strict=True))
            else:
                delta_size_U = self._total(delta_size_C)
                sizes_C = {**self._sizes_C, "delta": delta_size_C}
                sums = add_up(dict(zip(SUMS, sums_CS.T, strict=True)), sizes_C, self._row_C, len(self.modules_U))
        sizes_U = {**self._sizes_U, "delta": delta_size_U}
        exists = {name: sizes_U[of] > 0 for name, (of, _) in SUMS.items() if of != "output"}
        return {**sums, **{f"{of}_size": size_U for of, size_U in sizes_U.items()}}, exists

    def _total(self, values_C: Floats) -> Floats:
        return np.bincount(self._row_C, values_C, minlength=len(self.modules_U)).astype(np.float64)


def add_up(
    sums_C: Mapping[str, Floats], sizes_C: Mapping[str, Floats], row_C: NDArray[np.intp], rows: int
) -> dict[str, Floats]:
    """The sums that the calls of each row would have as one call.

    Args:
        sums_C: the sums of each call, by their names in `SUMS`.
        sizes_C: the entries of each call's `output`, `input` and `delta`.
        row_C: the row of each call.
        rows: how many rows there are.
    """

    def total(values_C: Floats) -> Floats:
        return np.bincount(row_C, values_C, minlength=rows).astype(np.float64)

    added: dict[str, Floats] = {}
    for name, (of, how) in SUMS.items():
        values_C, size_C = sums_C[name], sizes_C[of]
        if how == "mean":
            added[name] = total(values_C * (size_C / total(size_C)[row_C]))
        elif how == "centred squares":  # Chan, Golub & LeVeque 1983, eq. 2.1
            mean_C, mean_U = sums_C["mean"], added["mean"]
            distance_C = np.where(mean_C == mean_U[row_C], 0.0, mean_C - mean_U[row_C])
            added[name] = total(values_C + size_C * distance_C**2)
        elif how == "add":
            added[name] = total(np.where(size_C > 0, values_C, 0.0))
        else:
            least = how == "least"
            added[name] = np.full(rows, np.inf if least else -np.inf)
            (np.minimum if least else np.maximum).at(added[name], row_C, values_C)
    return added
