"""How far one optimizer step moves the weights: ‖ΔW‖ / ‖W‖, near 1e-3 in networks that train well."""

from dataclasses import replace
from math import log10

import numpy as np
import polars as pl

from gradlab.diagnosis import remedies
from gradlab.diagnosis.rule import Answer, NotApplicable, numbers
from gradlab.measures.profiles import Floats, Profiles, profiles
from gradlab.tables import Finding, Tables
from gradlab.text import modules_text

USUAL = 1e-3
"""The median update ratio of networks that train well (Karpathy's rule of thumb)."""
SMALL = 1e-5
"""Too small an update ratio; DeepDiagnosis has the same limit. At 1e-5, 1,000 steps in one direction change a weight
by 1 %."""
LARGE = 0.1
"""Too large an update ratio; DeepDiagnosis and TheDeepChecker have the same limit. After ten such steps little is left
of the weights."""
REACH_ALL = (
    "Find out why no gradient reaches these layers, or hardly any: a larger learning rate would be too large for the "
    "others."
)
"""What helps a watched model in which some layers move and others do not."""
NEVER_MOVES = (
    "Look at the learning rate of the parameter group of these layers: it is 0, or so small that the number format "
    "rounds the step away."
)
FEW_RECORDS = 3
UNEVEN = 100.0
"""If the update ratio of a layer is this many times the median, no learning rate suits all layers."""
LEARNED = 0.5
"""A run whose training loss fell below this share of its start has learned; small updates then mean convergence."""


def updates_too_small(tables: Tables) -> Answer:
    """The optimizer hardly moves the weights, and the loss hardly moves either.

    The median over the run, and over the weight layers, of ‖ΔW‖/‖W‖ is below 1e-5. Once the loss is small, small
    updates are convergence and not reported. Layers that get a gradient and never move at all, while others do, are
    reported as well.

    What to try: a larger learning rate; if the gradient vanishes, cure that first.
    """
    ratios = _ratios(tables)
    median_L = _medians(ratios)
    if np.isnan(median_L).all():
        return NotApplicable("no update was recorded")
    if unmoved := _some_never_move(tables):
        return unmoved
    loss = tables.steps["loss"].drop_nulls()
    if len(loss) and loss.tail(5).mean() < LEARNED * loss.head(5).mean():  # type: ignore[operator]
        return []
    typical = float(np.nanmedian(median_L))
    if not typical < SMALL:
        return []
    uneven = not typical > 0 or np.nanmax(median_L) > UNEVEN * typical
    return [
        Finding(
            rule="updates-too-small",
            severity="warning",
            message=f"one step moves the weights by {typical:.1g} of their size (median over layers and steps; "
            f"near {USUAL:g} is usual)",
            modules=ratios.names(median_L < SMALL),
            layers=tuple(ratios.layers[median_L < SMALL].tolist()),
            steps=(int(ratios.steps[0]), int(ratios.steps[-1])),
            measured=numbers(update_ratio=typical),
            threshold={"update_ratio": SMALL},
            remedies=tuple(
                (remedies.start(tables.config) if tables.config is not None else [REACH_ALL])
                if uneven
                else remedies.learning_rate(tables.config, 10 ** round(min(3, log10(USUAL / typical))))
            ),
        )
    ]


def _some_never_move(tables: Tables) -> list[Finding]:
    """Weights that never move at all, though they get a gradient and others move."""
    rows = tables.layers.filter(pl.col("kind").is_in(["weight", "output"]) & (pl.col("weight_gradient_norm") > 0))
    moves = rows.drop_nulls("update_ratio").group_by("module", maintain_order=True)
    most = moves.agg(records=pl.len(), most=pl.col("update_ratio").max()).filter(pl.col("records") >= FEW_RECORDS)
    modules = tuple(most.filter(pl.col("most") == 0)["module"])
    if not 0 < len(modules) < most.height:
        return []
    steps = tables.steps["step"]
    return [
        Finding(
            rule="updates-too-small",
            severity="warning",
            message=f"the weights of {modules_text(modules)} get a gradient and never move, while others do",
            modules=modules,
            steps=(int(steps[0]), int(steps[-1])),
            remedies=tuple([NEVER_MOVES] if tables.config is None else []),
        )
    ]


def updates_too_large(tables: Tables) -> Answer:
    """A layer loses a tenth of its weights, or more, to every step.

    The median over the run of ‖ΔW‖/‖W‖ is above 0.1 in a layer. What was learned is overwritten before it can be used;
    ReLUs die, tanhs saturate, losses diverge.

    What to try: a smaller learning rate; gradient clipping.
    """
    ratios = _ratios(tables)
    median_L = _medians(ratios)
    if np.isnan(median_L).all():
        return NotApplicable("no update was recorded")
    large_L = median_L > LARGE
    if not large_L.any():
        return []
    worst = float(np.nanmax(median_L))
    factor = 10 ** -round(min(3, log10(worst / USUAL))) if np.isfinite(worst) else 1e-3
    return [
        Finding(
            rule="updates-too-large",
            severity="warning",
            message=f"one step moves the weights of {large_L.sum()} of {len(median_L)} layers by more than {LARGE:g} "
            f"of their size: {modules_text(ratios.names(large_L))} (median over steps; at most {worst:.2g}, near "
            f"{USUAL:g} is usual)",
            modules=ratios.names(large_L),
            layers=tuple(ratios.layers[large_L].tolist()),
            steps=(int(ratios.steps[0]), int(ratios.steps[-1])),
            measured=numbers(update_ratio=worst),
            threshold={"update_ratio": LARGE},
            remedies=(*remedies.learning_rate(tables.config, factor), *remedies.clip(tables.config)),
        )
    ]


def _ratios(tables: Tables) -> Profiles:
    """Update ratios of all weight layers, without the first step where there are others.

    Optimizers with running means start with steps of their own kind.
    """
    ratios = profiles(tables.layers, "update_ratio", ["weight", "output"])
    return replace(ratios, steps=ratios.steps[1:], values_TL=ratios.values_TL[1:]) if len(ratios.steps) > 1 else ratios


def _medians(ratios: Profiles) -> Floats:
    """The median over steps of each layer; a layer without any number has the median NaN."""
    if not ratios:
        return np.array([])
    values_TL = np.sort(ratios.values_TL, axis=0)  # NaN last
    n_L = np.count_nonzero(~np.isnan(values_TL), axis=0)
    columns = np.arange(len(ratios.layers))
    return np.asarray(values_TL[np.maximum(n_L - 1, 0) // 2, columns])
