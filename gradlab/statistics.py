"""Every statistic of a recorded module, in one table; and the sums that the recorder takes to make them.

`STATISTICS` is the only list of the statistics in the table `layers`. To add a statistic that is made of sums that
exist, add an entry. A statistic that needs a new sum needs the sum in `SUMS` besides, and one line in each backend:
`recording/plain.py` and `recording/native/kernels.inc`.

This file needs NumPy only. A training that is only watched makes rows but no tables, and polars would cost it 20 MB.

Suffixes: M modules, S statistics.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# --------------------------------------------------------------------------------------------------------------- sums

# Both are plain literals: `hatch_build.py` reads them from this file, without NumPy, to compile the C code with them.
SUMS: Mapping[str, tuple[str, str]] = {
    "mean": ("output", "mean"),
    "centred_squares": ("output", "centred squares"),
    "minimum": ("output", "least"),
    "maximum": ("output", "most"),
    "zeros": ("output", "add"),
    "saturated": ("input", "add"),
    "delta_squares": ("delta", "add"),
}
"""What a backend writes down of each call of a module, in the order of a row in memory.

For each sum: the tensor whose entries are summed up, which is the `output` of the module, its `input` (activations
only), or `delta`, the gradient of the output; and how the sums of several calls become the sum of all their entries
together: `add`, `least`, `most`, `mean` weighted with the number of entries, or `centred squares`, sums of squares
around the mean (Chan, Golub & LeVeque 1983, eq. 2.1).
"""
PARAMETER_SUMS = ("gradient_squares", "weight_squares", "change_squares")
"""What a backend writes down of each parameter: sums of squares of its gradient, of itself, and of its update."""

LAYOUT = f"{','.join(SUMS)};{','.join(PARAMETER_SUMS)}"
"""The sums in the order of their slots. A native library carries the layout that it was compiled with."""

# --------------------------------------------------------------------------------------------------------- statistics


@dataclass(frozen=True)
class Statistic:
    """A number of a module in a step.

    Attributes:
        finish: makes the number, for all modules at once. The names of its arguments say what the number is made of:
            sums of `SUMS` and `PARAMETER_SUMS`; `output_size`, `input_size` and `delta_size`, the numbers of entries;
            `parameter_gradient_squares`, Σ g² of all parameters of the row; `gradient_scale`, what the loss was
            multiplied with; or what a full pass over the training split (`recording/full_pass.py`), a close look
            (`recording/close_look.py`) or a look through time (`recording/through_time.py`) measures. Where one of them
            does not exist, the statistic is null.
        label: what its axis is called in a picture.
        doc: one line of documentation.
        log: whether a picture shows it on a logarithmic axis: it grows and shrinks by factors.
        share: whether it lies between 0 and 1.
        where: an additional condition, with arguments like those of `finish`; where it is false, the statistic is null.
    """

    finish: Callable[..., Any]
    label: str
    doc: str
    log: bool = False
    share: bool = False
    where: Callable[..., Any] | None = None

    @cached_property
    def made_of(self) -> tuple[str, ...]:
        """What `finish` needs, in the order of its arguments."""
        return _arguments(self.finish)

    @cached_property
    def condition_of(self) -> tuple[str, ...]:
        """What `where` needs."""
        return () if self.where is None else _arguments(self.where)


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]


STATISTICS: Mapping[str, Statistic] = {
    "activation_mean": Statistic(lambda mean: mean, "mean of activations", "Mean of the output."),
    "activation_std": Statistic(
        lambda centred_squares, output_size: np.sqrt(centred_squares / output_size),
        "std of activations",
        "Standard deviation of the output.",
    ),
    "activation_rms": Statistic(
        lambda centred_squares, mean, output_size: np.sqrt(centred_squares / output_size + mean**2),
        "RMS of activations",
        "Root mean square of the output.",
        log=True,
    ),
    "activation_min": Statistic(lambda minimum: minimum, "smallest activation", "Smallest entry of the output."),
    "activation_max": Statistic(lambda maximum: maximum, "largest activation", "Largest entry of the output."),
    "zero_fraction": Statistic(
        lambda zeros, output_size, mean: np.where(np.isnan(mean), np.nan, zeros / output_size),
        "share of zeros",
        "Share of the entries of the output that are exactly 0; NaN where there is a NaN among them.",
        share=True,
    ),
    "saturated_fraction": Statistic(
        lambda saturated, input_size, mean: np.where(np.isnan(mean), np.nan, saturated / input_size),
        "saturated share",
        "Share of an activation's inputs where its slope is below 1 % of its largest slope.",
        share=True,
    ),
    "dead_fraction": Statistic(
        lambda dead_fraction: dead_fraction,
        "dead units",
        "Share of units that are exactly 0 on every sample of the training split, from a full pass over it; of a "
        "watched model, on every sample of four records in a row.",
        share=True,
    ),
    "revived_fraction": Statistic(
        lambda revived_fraction: revived_fraction,
        "revived units",
        "Share of units that were dead in the full pass before and are alive in this one.",
        share=True,
    ),
    "across_samples_std": Statistic(
        lambda across_samples_std: across_samples_std,
        "std across samples",
        "RMS over units of the standard deviation over samples: 0 when every input gives the same activations.",
    ),
    "across_units_std": Statistic(
        lambda across_units_std: across_units_std,
        "std across units",
        "RMS over samples of the standard deviation over units: 0 when all units of a layer are copies of one another.",
    ),
    "input_mean": Statistic(
        lambda input_mean: input_mean,
        "mean of the input",
        "Mean of what enters a first layer in its first call of the step, over the features that vary; in some records "
        "only, like all of the input.",
    ),
    "input_std": Statistic(
        lambda input_std: input_std, "std of the input", "Standard deviation of what enters a first layer.", log=True
    ),
    "input_disparity": Statistic(
        lambda input_disparity: input_disparity,
        "disparity of the input",
        "RMS of the largest feature that enters a first layer, divided by that of the median feature.",
        log=True,
    ),
    "running_mean_off": Statistic(
        lambda running_mean_off: running_mean_off,
        "running mean off",
        "Of batch normalization in training: RMS over channels of the batch's mean minus the running mean, in running "
        "standard deviations; of watched models, in some records only.",
    ),
    "running_std_off": Statistic(
        lambda running_std_off: running_std_off,
        "running std off",
        "The same of standard deviations: RMS over channels of log10 of the batch's, divided by the running one.",
    ),
    "delta_rms": Statistic(
        lambda delta_squares, delta_size, gradient_scale: np.sqrt(delta_squares / delta_size) / gradient_scale,
        "RMS δ",
        "Root mean square of δ = ∂L/∂(output), the gradient signal.",
        log=True,
    ),
    "delta_through_time": Statistic(
        lambda delta_through_time: delta_through_time,
        "δ through time in decades",
        "Decades by which RMS δ grows from the last call of a recurrent module to the first, or over the time steps of "
        "its output, the latter in some records only: the straight line through log10; 0 where no line fits.",
    ),
    "weight_norm": Statistic(
        lambda weight_squares: np.sqrt(weight_squares),  # noqa: PLW0108 (the name of the argument counts)
        "norm of the weights",
        "Norm of the weights before the update.",
        log=True,
    ),
    "weight_gradient_norm": Statistic(
        lambda gradient_squares, gradient_scale: np.sqrt(gradient_squares / gradient_scale**2),
        "norm of ∂L/∂W",
        "Norm of the gradient of the weights, before clipping.",
        log=True,
    ),
    "parameter_gradient_norm": Statistic(
        lambda parameter_gradient_squares, gradient_scale: np.sqrt(parameter_gradient_squares / gradient_scale**2),
        "norm of ∂L/∂(parameters)",
        "Norm of the gradient of all parameters of the row, before clipping: each parameter is in exactly one row.",
        log=True,
    ),
    "update_ratio": Statistic(
        lambda change_squares, weight_squares: np.sqrt(change_squares) / np.sqrt(weight_squares),
        "update ratio ‖ΔW‖/‖W‖",
        "Norm of the update of the weights, divided by the norm of the weights.",
        log=True,
        where=lambda weight_squares: weight_squares > 0,
    ),
}
"""The statistics by name, in the order of the columns."""

LAYER_STATISTICS = tuple(STATISTICS)
"""The names of the statistics."""


def finish(
    quantities: Mapping[str, Any],
    exists: Mapping[str, Flags],
    modules: int,
    statistics: Mapping[str, Statistic] = STATISTICS,
) -> tuple[Floats, Flags]:
    """Make the statistics of a step.

    Args:
        quantities: what statistics are made of, by name: an array (modules,) or a number. A statistic of something
            that is not there is null.
        exists: for some of the quantities, the modules that have it.
        modules: how many modules there are.
        statistics: what to make.

    Returns:
        values_SM, and applies_SM, which is false where a value is null.
    """
    values_SM = np.zeros((len(statistics), modules))
    applies_SM = np.ones(values_SM.shape, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for row, statistic in enumerate(statistics.values()):
            try:
                arguments = [quantities[name] for name in statistic.made_of]
            except KeyError:
                applies_SM[row] = False
                continue
            values_SM[row] = statistic.finish(*arguments)
            for name in statistic.made_of:
                if name in exists:
                    applies_SM[row] &= exists[name]
            if statistic.where is not None:
                applies_SM[row] &= statistic.where(*[quantities[name] for name in statistic.condition_of])
    return values_SM, applies_SM


@dataclass(frozen=True)
class StepRows:
    """The `layers` rows of one step; M modules, S statistics in the order of `STATISTICS`."""

    step: int
    layer: Sequence[int]
    module: Sequence[str]
    kind: Sequence[str]
    calls: Sequence[int]
    dtype: Sequence[str | None]
    values_MS: Floats
    applies_MS: Flags
    """Where False, the value does not apply and becomes null. NaN is a value: a diverged network has it."""

    def values(self, statistic: str) -> Floats:
        """The values of one statistic, a number a module."""
        return self.values_MS[:, LAYER_STATISTICS.index(statistic)]
