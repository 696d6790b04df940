"""Which row each parameter belongs to: exactly one.

A parameter belongs to the module that has it; a parameter that several modules have, to the one of them that computed
something first in the step. Where none of them has computed anything, because the module around them uses the parameter
itself, it belongs to the nearest module around them that has a row. Where there is none, a row is made.

Suffixes: P parameters.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gradlab.recording.modules import RecordedModule
from gradlab.statistics import Flags


class ParameterRows:
    """Where the parameters of a model are.

    Args:
        model: the model.
        modules: its recorded modules.
        parameters: its parameters.
        stand_ins: for parameters that are in the place of others while modules compute, these others.
        makes_rows: whether a row is made for a parameter that would be in none.
    """

    def __init__(
        self,
        model: nn.Module,
        modules: Sequence[RecordedModule],
        parameters: Sequence[nn.Parameter],
        stand_ins: Mapping[nn.Parameter, nn.Parameter],
        *,
        makes_rows: bool,
    ) -> None:
        self._makes_rows = makes_rows
        indices = {each.module: index for index, each in enumerate(modules) if not each.is_function}
        named = dict(model.named_modules())
        homes: dict[nn.Parameter, list[tuple[int | None, list[int]]]] = {each: [] for each in parameters}
        for name, module in named.items():
            around = [indices[named[path]] for path in _upwards(name) if path in named and named[path] in indices]
            for found in module.parameters(recurse=False):
                parameter = stand_ins.get(found, found)
                if parameter in homes:
                    homes[parameter].append((indices.get(module), around))
        self._homes = list(homes.values())
        self._last: tuple[tuple[int, ...], bytes] = (), b""
        self._rows_P: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._silent: list[int] = []

    def assign(self, ran: tuple[int, ...], has_gradient_P: Flags) -> tuple[NDArray[np.intp], list[int]]:
        """The row of each parameter in a step.

        Args:
            ran: the modules that have computed something, in that order.
            has_gradient_P: which parameters have a gradient.

        Returns:
            The module of each parameter, −1 for none; and the modules that have not computed anything, and get a row.
        """
        key = ran, has_gradient_P.tobytes()
        if key != self._last or len(self._rows_P) != len(self._homes):
            self._last = key
            self._silent = []
            first = {module: place for place, module in enumerate(ran)}
            rows = [self._row(homes, first, bool(has)) for homes, has in zip(self._homes, has_gradient_P, strict=True)]
            self._rows_P = np.array(rows, dtype=np.intp)
        return self._rows_P, self._silent

    def _row(self, homes: Sequence[tuple[int | None, list[int]]], first: Mapping[int, int], has_gradient: bool) -> int:
        owners = [owner for owner, _ in homes if owner in first]
        if owners:
            return min((owner for owner in owners if owner is not None), key=lambda owner: first[owner])
        candidates = [index for _, around in homes for index in around]
        row = next((index for index in candidates if index in first), -1)
        if row < 0 and has_gradient and self._makes_rows and candidates:
            row = candidates[0]
            if row not in self._silent:
                self._silent.append(row)
        return row


def _upwards(name: str) -> Iterator[str]:
    """A qualified name, and those of all modules around it."""
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""
