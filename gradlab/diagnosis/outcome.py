"""Rules about the outcome of a run: it evaluates worse than it trains, or its start is off theory."""

from collections.abc import Mapping, Sequence
from math import isfinite, log, sqrt

import numpy as np
import polars as pl

from gradlab.diagnosis import remedies
from gradlab.diagnosis.rule import Answer, NotApplicable, numbers
from gradlab.measures.network import is_own
from gradlab.measures.profiles import Floats, by_module
from gradlab.tables import Finding, Tables
from gradlab.text import modules_text

WARMED_UP = 30
"""After so many steps with momentum 0.1, the initial values are 4 % of the running statistics."""
DRIFT_ACCURACY = 0.05
"""Too large a loss of accuracy through running statistics; one batch more or less changes far less."""
DRIFT_LOSS = 0.1
"""The same limit for the loss, as a share of the loss at the start."""
DRIFT_EVALUATIONS = 3
"""So many evaluations at the end are judged together, because one alone may depend on an unlucky batch."""

DRIFT_MEAN = 1.0
"""Running means are off by this many standard deviations: what a unit sees in evaluation is another thing then. In
sound networks they are off by less than 0.3."""
DRIFT_STD = 0.3
"""Running standard deviations are off by this many decades, twofold."""
IN_A_ROW = 4
"""Records of a watched model that are looked at together."""

SCATTERS = 3.0
"""A measurement may be off theory by so many standard deviations of the scatter that a finite width causes."""
SLACK_DECADES = 0.1
"""It may be off by so many decades more, because real inputs are not Gaussian, which the first layers show."""
SLACK_PER_LAYER = 0.01
"""It may be off by so many decades more for each layer, because real inputs shift a layer's factor by up to 2 %."""


def batch_norm_drift(tables: Tables) -> Answer:
    """Evaluated with BatchNorm's running statistics the network is worse than with those of the batch.

    Running means lag behind activations that change quickly, over many layers at once. The network has learned what the
    training loss says, but does not show it in evaluation. Judged on the training split, so that it cannot be
    overfitting; of a watched model, whose evaluations are not known, on the statistics of the batches in four records
    in a row, which are compared with the running ones.

    What to try: a smaller learning rate, larger batches, more steps for the running statistics to settle.
    """
    if is_own(tables) or tables.config is None:
        return _watched_drift(tables)
    norm = tables.config.model.hidden_normalization
    if norm is not None and not norm.traits.uses_batch_statistics:
        return NotApplicable("the network has no BatchNorm")
    both = tables.split("train").join(tables.split("train_batch_statistics"), on="step", suffix="_batch")
    both = both.filter(pl.col("step") >= WARMED_UP).sort("step").tail(DRIFT_EVALUATIONS)
    if not both.height:
        return NotApplicable(f"no evaluation with batch statistics after step {WARMED_UP}")
    lost = _median((both["accuracy_batch"] - both["accuracy"]).to_numpy())
    more = _median((both["loss"] - both["loss_batch"]).to_numpy())
    start = tables.split("train_batch_statistics")["loss"][0]
    limit = DRIFT_LOSS * (start if start is not None and isfinite(start) else 1.0)
    if not (lost >= DRIFT_ACCURACY or more >= limit):
        return []
    return [
        Finding(
            rule="batch-norm-drift",
            severity="warning",
            message=f"with running statistics the training {_numbers_of(both, '')}; with those of the batch the "
            f"{_numbers_of(both, '_batch')}",
            steps=(int(both["step"][0]), int(both["step"][-1])),
            measured=numbers(accuracy_lost=lost, loss_added=more),
            threshold={"accuracy_lost": DRIFT_ACCURACY, "loss_added": limit},
            remedies=tuple(remedies.learning_rate(tables.config, 0.1)),
        )
    ]


def _numbers_of(evaluations: pl.DataFrame, suffix: str) -> str:
    """The last accuracy, where classes are predicted, and the last loss."""
    loss, accuracy = f"loss is {evaluations['loss' + suffix][-1]:.3g}", evaluations["accuracy" + suffix][-1]
    return loss if accuracy is None else f"accuracy is {accuracy:.1%} and the {loss}"


def _watched_drift(tables: Tables) -> Answer:
    """The batches' statistics against the running ones, at the last look."""
    rows = tables.layers.drop_nulls(["running_mean_off", "running_std_off"])
    means, stds = (by_module(rows, column, ["norm"]) for column in ("running_mean_off", "running_std_off"))
    if not means:
        return NotApplicable("no batch normalization was looked at while it trains")
    if means.steps[-1] < WARMED_UP:
        return NotApplicable(
            f"no batch normalization was looked at after step {WARMED_UP}; records 100 to 103 are next"
        )
    last = slice(max(0, len(means.steps) - IN_A_ROW), None)
    mean_L, std_L = (np.median(np.nan_to_num(off.values_TL[last], nan=0.0), axis=0) for off in (means, stds))
    bad_L = (mean_L >= DRIFT_MEAN) | (std_L >= DRIFT_STD)
    if not bad_L.any():
        return []
    worst = int(np.argmax(np.maximum(mean_L / DRIFT_MEAN, std_L / DRIFT_STD)))
    return [
        Finding(
            rule="batch-norm-drift",
            severity="warning",
            message=f"the running statistics of {modules_text(means.names(bad_L))} are not those of the batches: in "
            f"{modules_text([means.modules[worst]])} the means are {mean_L[worst]:.2g} running standard deviations "
            f"apart, and the standard deviations differ {10 ** std_L[worst]:.2g}-fold",
            modules=means.names(bad_L),
            layers=tuple(means.layers[bad_L].tolist()),
            steps=(int(means.steps[last][0]), int(means.steps[-1])),
            measured=numbers(running_mean_off=float(mean_L[worst]), running_std_off=float(std_L[worst])),
            threshold={"running_mean_off": DRIFT_MEAN, "running_std_off": DRIFT_STD},
            remedies=(
                "Let the running statistics follow faster: a larger momentum of batch normalization, or a smaller "
                "learning rate.",
                "Pass some batches through the model in training mode, without steps, before it is evaluated.",
            ),
        )
    ]


def _median(values: Floats) -> float:
    """The median, where NaN counts as infinite: that evaluation overflowed."""
    return float(np.median(np.nan_to_num(values, nan=np.inf, posinf=np.inf, neginf=-np.inf)))


# ---------------------------------------------------------------------------------------------------------- the theory


def off_theory(tables: Tables) -> Answer:
    """At the start the network does not do what mean-field theory predicts for its config.

    Compared in the first step are the range of δ over the depth and the size of each layer's activations. Networks of
    finite width scatter around the prediction: the log of a mean square has a standard deviation of √(5 L/n) at width n
    and depth L, and three of them are allowed beside what real inputs do. Beyond that it is usually a bug in the model:
    an initializer that was not applied, a missing activation, normalization in the wrong place.

    What to try: compare the per-layer table with `gradlab predict`; look at the first layer that leaves the prediction.
    """
    if not tables.theory.height:
        return NotApplicable("theory does not cover this network")
    if tables.config is None:
        return NotApplicable("a prediction needs a config")
    activation, widths = tables.activation, tables.config.model.hidden_widths
    if activation is None or widths is None:
        return NotApplicable("the config does not say how wide its layers are, or with which activation")
    traits = tables.activation_traits
    if traits is not None and traits.half_stable:
        return NotApplicable(f"{activation.label} is next to a half-stable point, where the theory is loose")
    first = tables.layers.filter(pl.col("step") == 0)
    if not first.height:
        return NotApplicable("step 0 was not recorded")
    delta = _decades_off(first, "delta_rms", "weight", tables.theory, "delta_relative")
    size = _decades_off(first, "activation_rms", "activation", tables.theory, "activation_rms")
    relative = [(layer, off - delta[-1][1]) for layer, off in delta]  # the scale of δ is that of the loss
    names = [
        dict(first.filter(pl.col("kind") == kind).select("layer", "module").rows()) for kind in ("weight", "activation")
    ]
    return [
        *_beyond_scatter("δ", relative, [_allowed(widths[layer + 1 :]) for layer, _ in delta], names[0]),
        *_beyond_scatter("activations", size, [_allowed(widths[: layer + 1]) for layer, _ in size], names[1]),
    ]


def _decades_off(
    first: pl.DataFrame, column: str, kind: str, theory: pl.DataFrame, name: str
) -> list[tuple[int, float]]:
    """log10(measured / predicted) of each layer that has both."""
    measured = first.filter(pl.col("kind") == kind).select("layer", measured=column)
    both = measured.join(theory.select("layer", predicted=name), on="layer").drop_nulls().sort("layer")
    both = both.filter((pl.col("measured") > 0) & (pl.col("predicted") > 0) & pl.col("measured").is_finite())
    off = (both["measured"] / both["predicted"]).log10()
    return list(zip(both["layer"].to_list(), off.to_list(), strict=True))


def _allowed(widths: Sequence[int]) -> float:
    """Decades that an RMS may be off after layers of these widths: ln of a mean square has the sd √(Σ 5/n)."""
    scatter = 0.5 * sqrt(sum(5 / width for width in widths)) / log(10)
    return SLACK_DECADES + SLACK_PER_LAYER * len(widths) + SCATTERS * scatter


def _beyond_scatter(
    quantity: str, off: list[tuple[int, float]], allowed: list[float], names: Mapping[int, str]
) -> list[Finding]:
    beyond = [
        (layer, decades, limit) for (layer, decades), limit in zip(off, allowed, strict=True) if abs(decades) > limit
    ]
    if not beyond:
        return []
    layer, decades, limit = max(beyond, key=lambda item: abs(item[1]) - item[2])
    return [
        Finding(
            rule="off-theory",
            severity="warning",
            message=f"{quantity} at the start: {decades:+.2f} decades off the prediction in "
            f"{modules_text([names[layer]])}, where finite-width scatter and real inputs explain {limit:.2f}",
            modules=tuple(names[layer] for layer, _, _ in beyond),
            layers=tuple(layer for layer, _, _ in beyond),
            steps=(0, 0),
            measured=numbers(decades_off=decades),
            threshold=numbers(decades_off=limit),
            predicted={"decades_off": 0.0},
        )
    ]
