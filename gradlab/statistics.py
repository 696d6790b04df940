"""What the recorder makes of a step: rows of the table `layers`, before they are a table.

Apart from `columns.py` because a training that is only watched needs no tables: they bring 20 MB of libraries along.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAYER_STATISTICS = (
    "activation_mean",
    "activation_std",
    "activation_rms",
    "activation_min",
    "activation_max",
    "zero_fraction",
    "saturated_fraction",
    "dead_fraction",
    "revived_fraction",
    "across_samples_std",
    "across_units_std",
    "delta_rms",
    "weight_norm",
    "weight_gradient_norm",
    "update_ratio",
)
"""The numbers of a `layers` row, in order; null where they do not apply.

`dead_fraction`, `revived_fraction`, `across_samples_std` and `across_units_std` come from a full pass over the training
split and are null on the other steps. `revived_fraction` is the share of a layer's units that were dead in the full
pass before and are alive in this one. `across_samples_std` is how much a unit's output varies from sample to sample
(the RMS over units of its standard deviation over samples): 0 when every input gives the same activations.
`across_units_std` is the same the other way round: 0 when all units of the layer are copies of one another.
"""


@dataclass(frozen=True)
class StepRows:
    """The `layers` rows of one step; M modules, S statistics in the order of `LAYER_STATISTICS`."""

    step: int
    layer: Sequence[int]
    module: Sequence[str]
    kind: Sequence[str]
    calls: Sequence[int]
    dtype: Sequence[str]
    values_MS: NDArray[np.float64]
    applies_MS: NDArray[np.bool_]
    """Where False, the value does not apply and becomes null. NaN is a value: a diverged network has it."""
