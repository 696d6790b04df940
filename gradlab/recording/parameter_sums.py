"""What statistics of parameters are made of: sums of squares, module by module."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.statistics import PARAMETER_SUMS, Flags, Floats

OF_PARAMETERS = (*PARAMETER_SUMS, "parameter_gradient_squares")
"""The sums: `PARAMETER_SUMS` of the weights of each module, and Σ g² of all parameters of its row."""

ABSENT, KNOWN, UNKNOWN = 0, 1, 2
"""Of a sum of a module: there is nothing to sum up; the sum is known; or it is not."""


class ParameterSums(NamedTuple):
    """Sums of some parameters, module by module.

    Attributes:
        sums: for each of `OF_PARAMETERS`, the sum of each module.
        states: for each of them, `ABSENT`, `KNOWN` or `UNKNOWN` for each module.
        gradient_squares: Σ g² of all these parameters; None where that is not known.
    """

    sums: Mapping[str, Floats]
    states: Mapping[str, NDArray[np.int8]]
    gradient_squares: float | None

    def of(self, modules: NDArray[np.intp]) -> "ParameterSums":
        """Those of some modules."""
        sums = {name: sums[modules] for name, sums in self.sums.items()}
        return self._replace(sums=sums, states={name: states[modules] for name, states in self.states.items()})

    @property
    def exists(self) -> dict[str, Flags]:
        """For each of `OF_PARAMETERS`, which modules have it."""
        return {name: states == KNOWN for name, states in self.states.items()}


class ShardSums(NamedTuple):
    """Sums of the shards that are on this rank.

    Attributes:
        all: those of all shards, which are only parts of what a row is about.
        counted: those of the shards that this rank counts.
    """

    all: ParameterSums
    counted: ParameterSums

    def of(self, modules: NDArray[np.intp]) -> "ShardSums":
        """Those of some modules."""
        return ShardSums(self.all.of(modules), self.counted.of(modules))

    def hidden(self, exists: Mapping[str, Flags]) -> dict[str, Flags]:
        """Which sums of whole parameters are all of a module: those of modules without shards."""
        return {name: flags & (self.all.states[name] == ABSENT) for name, flags in exists.items()}

    @property
    def has_gradient(self) -> bool:
        """Whether a shard has a gradient."""
        return any(bool(self.all.states[name].any()) for name in OF_PARAMETERS if "gradient" in name)


def nothing(modules: int) -> ParameterSums:
    """The sums of no parameters."""
    sums, states = np.zeros(modules), np.full(modules, ABSENT, dtype=np.int8)
    return ParameterSums(dict.fromkeys(OF_PARAMETERS, sums), dict.fromkeys(OF_PARAMETERS, states), 0.0)
