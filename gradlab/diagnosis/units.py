"""The units of a layer: dead ones, saturated ones, and units that are copies of one another.

Whether a unit is dead or a copy is known only in the few steps with a full pass over the training split, or with a
close look at a batch.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from gradlab.diagnosis import remedies
from gradlab.diagnosis.graph import graph_of
from gradlab.diagnosis.rule import Answer, NotApplicable, numbers, severity_of
from gradlab.measures.network import is_own, network_of
from gradlab.measures.profiles import Flags, Floats, Profiles, by_module
from gradlab.measures.spells import Spell, smooth, spell
from gradlab.measures.trend import trend
from gradlab.tables import INSPECTED, Finding, Severity, Tables
from gradlab.text import modules_text

DEAD_FRACTION = 0.7
"""A layer with at least this share of dead units is reported; AutoTrainer has the same limit. Depth alone makes some
dead units: from layer to layer the activations of different inputs become more alike, until half of the units are off
for all inputs; in a layer of 64 units up to 65 % by chance."""
DIED_FRACTION = 0.25
"""The units are reported if this share of them or more died in training."""
DEAD_IN_BATCHES = 0.9
"""The limit for a watched model, of which some batches are known and not the whole training split: sparse layers are
off in many of them."""
ALL_DEAD = 0.999
"""With at least this share of dead units, nothing passes a layer, neither forward nor backward."""

SATURATED_FRACTION = 0.5
"""A layer with at least this share of saturated outputs is reported, as in SageMaker Debugger and DeepDiagnosis."""

COPIES = 1e-5
"""Units whose outputs differ by at most this much, relative to the RMS of the activations, are copies: sums in float32
differ in the seventh digit."""


def dead_units(tables: Tables) -> Answer:
    """Units output 0 on every sample of the training split: most of a layer's, or many that were alive at the start.

    A dead ReLU has slope 0 for all inputs, so that no gradient reaches its weights and it stays dead. A unit that is
    off in one batch only is not dead; therefore a full pass over the training split decides, or, of a watched model,
    all samples of four records in a row, and only layers count that are dead nearly as a whole. If all units of a layer
    are dead, the layers before it are cut off from the loss.

    What to try: units that died in training were killed by steps that were too large: a smaller learning rate. At the
    start: an initializer made for the activation, BatchNorm before it. An activation with a negative slope never dies.
    """
    traits = tables.activation_traits
    if tables.activation is not None and traits is not None and not traits.can_die:
        return NotApplicable(f"{tables.activation.label} is never exactly 0")
    dead = by_module(tables.judged, "dead_fraction", ["activation"])
    if not dead:
        return NotApplicable(
            "no activation was looked at, in a full pass over the training split or in four records in a row"
        )
    mean_T = dead.values_TL.mean(1)
    died_TL = dead.values_TL - dead.values_TL[0] >= DIED_FRACTION
    many_T = mean_T - mean_T[0] >= DIED_FRACTION
    bad_TL = (dead.values_TL >= DEAD_FRACTION) | (died_TL & many_T[:, None])
    if is_own(tables):
        bad_TL = dead.values_TL >= DEAD_IN_BATCHES
    when = spell(dead.steps, bad_TL.any(1))
    if when is None:
        return []
    modules = dead.names(bad_TL[when.quote])
    worst, mean = float(np.nanmax(dead.values_TL[when.quote])), float(mean_T[when.quote])
    at_first = "" if when.at_start else f", {mean_T[0]:.0%} at the start"
    return [
        Finding(
            rule="dead-units",
            severity=severity_of(when, "error" if worst >= ALL_DEAD else "warning"),
            message=f"{mean:.0%} of all units are dead{at_first}; most of them in {modules_text(modules)}, "
            f"up to {worst:.0%} of a layer; {_life(when)}",
            modules=modules,
            layers=tuple(dead.layers[bad_TL[when.quote]].tolist()),
            steps=when.steps,
            measured=numbers(dead_fraction=worst, mean_dead_fraction=mean),
            threshold={"dead_fraction": DEAD_FRACTION},
            remedies=tuple(_against_death(tables, when)),
        )
    ]


def _life(when: Spell) -> str:
    if when.at_start and not when.at_end:
        return f"at the start; revived after step {when.last}"
    if not when.at_start and when.at_end:
        return f"died by step {when.first}"
    return str(when)


def _against_death(tables: Tables, when: Spell) -> list[str]:
    first = remedies.start(tables.config) if when.at_start else remedies.learning_rate(tables.config, 0.1)
    return [*first, *remedies.leaky(tables.config)]


def saturated_activations(tables: Tables) -> Answer:
    """Half or more of a layer's outputs lie where the activation is flat.

    There its slope is below 1 % of its largest one, and δ is multiplied by it. That concerns activations with an upper
    bound; the zero half of a ReLU is what it is made for, and does not count.

    What to try: smaller weights at the start (an initializer made for the activation), BatchNorm before the activation,
    a smaller learning rate if saturation came in training.
    """
    traits = tables.activation_traits
    if tables.activation is not None and traits is not None and not traits.bounded:
        return NotApplicable(f"{tables.activation.label} has no upper bound")
    share = pl.col("saturated_fraction")
    if traits is None or (traits.can_die and traits.zero_centred):  # a rectifier: its zero half does not count
        share = share - pl.col("zero_fraction").fill_null(0)
    saturated = by_module(tables.judged, share, ["activation"])
    if not saturated:
        return NotApplicable("no activation with a saturated region was recorded")
    one_sided_L = _one_sided(tables, saturated.modules)
    if one_sided_L.all():
        return NotApplicable("no activation with an upper bound was recorded")
    values_TL = np.apply_along_axis(smooth, 0, saturated.values_TL)
    values_TL[:, one_sided_L] = np.nan
    values_TL[:, _decided(tables, saturated.modules, values_TL)] = np.nan
    when = spell(saturated.steps, np.any(values_TL >= SATURATED_FRACTION, axis=1))
    if when is None:
        return []
    saturated_L = values_TL[when.quote] >= SATURATED_FRACTION
    modules = saturated.names(saturated_L)
    worst = float(np.nanmax(values_TL[when.quote]))
    return [
        Finding(
            rule="saturated-activations",
            severity=severity_of(when, "warning"),
            message=f"{worst:.0%} of the outputs are saturated in the worst layer, half or more in "
            f"{modules_text(modules)}, {when}",
            modules=modules,
            layers=tuple(saturated.layers[saturated_L].tolist()),
            steps=when.steps,
            measured=numbers(saturated_fraction=worst),
            threshold={"saturated_fraction": SATURATED_FRACTION},
            remedies=tuple(remedies.start(tables.config) if when.at_start else remedies.smaller_steps(tables.config)),
        )
    ]


def _one_sided(tables: Tables, modules: Sequence[str]) -> Flags:
    """The activations of a watched model without an upper bound: their flat side is what they are made for."""
    unbounded = (graph_of(tables) or {}).get("unbounded")
    return np.array([isinstance(unbounded, list) and name in unbounded for name in modules], dtype=bool)


def _decided(tables: Tables, modules: Sequence[str], values_TL: Floats) -> Flags:
    """The activations of a watched model that saturate while it learns, at its output or in a gate: it is decided."""
    if not is_own(tables) or not len(values_TL):
        return np.zeros(len(modules), dtype=bool)
    course = trend(tables.steps.sort("step")["loss"].drop_nulls().to_numpy())
    order = tables.layers.filter(pl.col("kind").is_in(["weight", "output", "activation"]))
    order = order.unique("module", maintain_order=True, keep="first")
    weights = order["kind"].is_in(["weight", "output"]).to_numpy()
    after = order["module"].to_list()[int(np.flatnonzero(weights)[-1]) :] if weights.any() else []
    learns = course is not None and course.fell
    late_L: Flags = values_TL[0] < SATURATED_FRACTION
    network = network_of(tables)
    gates = network.joined if network is not None else frozenset()
    sure_L: Flags = np.array([learns and (name in after or name in gates) for name in modules], dtype=bool)
    return np.logical_and(late_L, sure_L)


def symmetric_units(tables: Tables) -> Answer:
    """All units of a layer are copies of one another.

    Units that start with the same weights get the same gradients and stay the same for ever: a layer of any width then
    computes what one unit could. It comes from zero or constant initialization. Weights that are all 0, and stay so,
    count as well. Units that come to put out the same
    number in training are another trouble, a collapsed signal.

    What to try: any random initializer.
    """
    units = _copies(tables, zero_weights=tables.status != INSPECTED)
    if not units:
        return NotApplicable("no activation and no recurrent layer was looked at, whose units could be copies")
    widths = None if tables.config is None else tables.config.model.hidden_widths
    if widths is not None and max(widths) == 1:
        return NotApplicable("every layer has a single unit")
    single_L = np.array([widths is not None and widths[min(layer, len(widths) - 1)] == 1 for layer in units.layers])
    copies_TL = (units.values_TL == 1) & (units.values_TL[0] == 1) & ~single_L
    when = spell(units.steps, np.any(copies_TL, axis=1))
    if when is None:
        return []
    modules = units.names(copies_TL[when.quote])
    severity: Severity = "warning" if tables.status == INSPECTED else "error"  # they may come apart in training
    return [
        Finding(
            rule="symmetric-units",
            severity=severity if when.at_end else "info",  # what came apart is no trouble
            message=f"all units are copies of one another in {modules_text(modules)}, {when}",
            modules=modules,
            layers=tuple(units.layers[copies_TL[when.quote]].tolist()),
            steps=when.steps,
            threshold={"across_units": COPIES},
            remedies=tuple(remedies.initializer(tables.config)),
        )
    ]


def _copies(tables: Tables, *, zero_weights: bool) -> Profiles:
    """1 where the units of an activation or a recurrent layer put out the same, or where all weights are 0.

    Weights of 0 count where a gradient is there to move them, and in the records in which units were looked at; not
    before the first step, which moves most of them.
    """
    looked = tables.judged.filter(pl.col("across_units_std").is_not_null())["step"].unique()
    rows = tables.judged.filter(pl.col("step").is_in(looked.implode()))
    same = (pl.col("activation_rms") > 0) & (pl.col("across_units_std") <= COPIES * pl.col("activation_rms"))
    zero = pl.lit(zero_weights) & (pl.col("weight_norm") == 0) & pl.col("weight_gradient_norm").is_not_null()
    weights = pl.when(pl.col("kind") != "activation").then(zero)
    copies = pl.when(pl.col("across_units_std").is_not_null()).then(same | zero.fill_null(False)).otherwise(weights)
    return by_module(rows, copies.cast(pl.Float64), ["activation", "weight", "output"])
