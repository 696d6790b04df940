"""What a view reads of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from gradlab.config import Config
from gradlab.diagnosis.finding import Finding
from gradlab.diagnosis.measures import Grid, grid


class Run(Protocol):
    """The part of `gradlab.results.Run` that views read: a run on disk, or anything with the same tables."""

    @property
    def path(self) -> Path:
        """The run folder."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def config(self) -> Config | None:
        """The resolved config; None of a model that was only watched."""

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


def activation_kind(layers: pl.DataFrame) -> str:
    """Whose outputs stand for the activations: a network without activation modules has those of its weight layers."""
    return "activation" if (layers["kind"] == "activation").any() else "weight"


def unit_shares(layers: pl.DataFrame, column: str) -> Grid:
    """A share of units or activations, layer × step; NaN where the activations themselves are not finite.

    Nothing is 0 or saturated in a layer of NaN, which must not look like health: 0 × NaN is NaN, and so is 0 × ∞.
    """
    spoiled = layers.with_columns(pl.col(column) + 0 * pl.col("activation_rms"))
    return grid(spoiled, column, (activation_kind(layers),))


def bad_step(run: Run) -> int | None:
    """The step at which a run diverged: the first whose loss is not finite."""
    bad = run.steps.filter(~pl.col("loss").is_finite())
    return int(bad["step"][0]) if run.status == "diverged" and bad.height else None
