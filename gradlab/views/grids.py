"""What a view reads: a run, and its tables as layer × step arrays. Torch-free.

L layers, T recorded steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gradlab.config import Config

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Finding(Protocol):
    """What a view says of a finding; the full one is `gradlab.diagnosis.finding.Finding`."""

    @property
    def rule(self) -> str:
        """Id of the rule, such as `vanishing-gradient`."""

    @property
    def severity(self) -> str:
        """How bad it is."""

    @property
    def message(self) -> str:
        """What is wrong, in a sentence or two."""

    @property
    def remedies(self) -> Sequence[str]:
        """What to try, as `key=value` overrides."""


class Run(Protocol):
    """The part of `gradlab.results.Run` that views read: a run on disk, or anything with the same tables."""

    @property
    def path(self) -> Path:
        """The run folder."""

    @property
    def config(self) -> Config:
        """The resolved config."""

    @property
    def status(self) -> str:
        """`running`, `completed`, `diverged`, `interrupted` or `failed`."""

    @property
    def verdict(self) -> str:
        """Id of the worst finding's rule, or `healthy`."""

    @property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What the rules found, worst first."""

    @property
    def layers(self) -> pl.DataFrame:
        """A row a recorded step and module."""

    @property
    def steps(self) -> pl.DataFrame:
        """A row a step."""

    @property
    def evaluations(self) -> pl.DataFrame:
        """Loss and accuracy of each split."""

    @property
    def histograms(self) -> pl.DataFrame:
        """Distributions of activations, deltas, weights and weight gradients."""

    @property
    def theory(self) -> pl.DataFrame:
        """The prediction, a row a hidden layer; may be empty."""


@dataclass(frozen=True)
class Grid:
    """One statistic of one kind of module, layer × step.

    Attributes:
        layers_L: layer numbers, ascending.
        steps_T: the steps at which it was recorded, ascending.
        values_LT: the values; NaN also where there is none.
        recorded_LT: where there is a value, be it NaN.
    """

    layers_L: Integers
    steps_T: Integers
    values_LT: Floats
    recorded_LT: Mask

    def __bool__(self) -> bool:
        return self.values_LT.size > 0

    @property
    def zero_LT(self) -> Mask:
        """Where the value is exactly 0."""
        return np.equal(self.values_LT, 0)

    @property
    def broken_LT(self) -> Mask:
        """Where the recorded value is NaN or infinite."""
        return self.recorded_LT & ~np.isfinite(self.values_LT)

    @property
    def finite_LT(self) -> Floats:
        """The values with NaN in place of infinity."""
        return np.where(np.isfinite(self.values_LT), self.values_LT, np.nan)


def grid(layers: pl.DataFrame, column: str, *kinds: str) -> Grid:
    """A column of the table `layers` as an array; nulls are left out, and with them steps or layers without a value.

    Where several modules of these kinds carry one layer number, the last one counts.

    Args:
        layers: the table.
        column: one of `columns.LAYER_STATISTICS`.
        kinds: `weight`, `norm`, `activation`, `output`.
    """
    rows = layers.lazy().filter(pl.col("kind").is_in(kinds) & pl.col(column).is_not_null())
    frame = rows.select("layer", "step", column).collect()
    layers_L, row = np.unique(frame["layer"].to_numpy().astype(np.int64), return_inverse=True)
    steps_T, position = np.unique(frame["step"].to_numpy(), return_inverse=True)
    values_LT = np.full((len(layers_L), len(steps_T)), np.nan)
    recorded_LT = np.zeros(values_LT.shape, dtype=np.bool_)
    values_LT[row, position] = frame[column].to_numpy()
    recorded_LT[row, position] = True
    return Grid(layers_L, steps_T, values_LT, recorded_LT)


def activation_kind(layers: pl.DataFrame) -> str:
    """Whose outputs stand for the activations: a network without activation modules has those of its weight layers."""
    return "activation" if (layers["kind"] == "activation").any() else "weight"


def bad_step(run: Run) -> int | None:
    """The step at which a run diverged: the first whose loss is not finite."""
    bad = run.steps.filter(~pl.col("loss").is_finite())
    return int(bad["step"][0]) if run.status == "diverged" and bad.height else None
