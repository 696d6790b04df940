"""What the forward signal does: units that are dead, saturated or copies of one another, signals that fade or blow up.

Unit statistics come from a full pass over the training split, on the few steps that have one.
"""

import numpy as np

from gradlab.diagnosis import remedies
from gradlab.diagnosis.rule import Answer, NotApplicable, numbers, severity_of
from gradlab.measures.profiles import Flags, Floats, Numbers, Profiles, profiles
from gradlab.measures.slopes import fit_depth
from gradlab.measures.spells import Spell, lasting, smooth, spell
from gradlab.tables import Finding, Tables

DEAD_FRACTION = 0.7
"""Dead share of a layer's units that is too much, AutoTrainer's limit. Depth alone makes some: the activations of
different inputs grow alike from layer to layer, and in the limit half of the units are off for all of them, in a layer
of 64 units up to 65 % by chance."""
DIED_FRACTION = 0.25
"""Share of all units that is too much to lose in training."""
ALL_DEAD = 0.999
"""Above, nothing passes the layer, forward or backward."""

SATURATED_FRACTION = 0.5
"""Saturated share of a layer's outputs that is too much, as SageMaker Debugger and DeepDiagnosis have it."""

DISTINCTION = 0.01
"""Variation over samples, relative to the activations, below which a layer hardly knows its inputs apart. Networks that
train keep more than 5 % down to depth 100."""
RANGE_DECADES = 2.0
"""Decades of the activations' RMS over the depth that are too many; the forward counterpart of the gradients' limit."""
CURED_DECADES = 1.0
"""Decades below which they are no longer too many."""
R_SQUARED = 0.5
"""The least share of the profile's variance that its line must explain."""

COPIES = 1e-5
"""Variation over units, relative to the activations, that is rounding: float32 sums differ in the seventh digit."""


# --------------------------------------------------------------------------------------------------------------- units


def dead_units(tables: Tables) -> Answer:
    """Units output 0 on every sample of the training split: most of a layer's, or many that were alive at the start.

    A dead ReLU has slope 0 for all inputs, so that no gradient reaches its weights and it stays dead. A unit that is
    off in one batch only is not dead; therefore a full pass over the training split decides. If all units of a layer
    are dead, the layers before it are cut off from the loss.

    What to try: units that died in training were killed by steps that were too large: a smaller learning rate. At the
    start: an initializer made for the activation, BatchNorm before it. An activation with a negative slope never dies.
    """
    if tables.activation is not None and not tables.activation.traits.can_die:
        return NotApplicable(f"{tables.activation.name} is never exactly 0")
    dead = profiles(tables.judged, "dead_fraction", ["activation"])
    if not dead:
        return NotApplicable("no full pass over the training split was recorded")
    mean_T = dead.values_TL.mean(1)
    died_TL = dead.values_TL - dead.values_TL[0] >= DIED_FRACTION
    many_T = mean_T - mean_T[0] >= DIED_FRACTION
    bad_TL = (dead.values_TL >= DEAD_FRACTION) | (died_TL & many_T[:, None])
    when = spell(dead.steps, bad_TL.any(1))
    if when is None:
        return []
    layers = dead.layers[bad_TL[when.quote]]
    worst, mean = float(np.nanmax(dead.values_TL[when.quote])), float(mean_T[when.quote])
    at_first = "" if when.at_start else f", {mean_T[0]:.0%} at the start"
    return [
        Finding(
            rule="dead-units",
            severity=severity_of(when, "error" if worst >= ALL_DEAD else "warning"),
            message=f"{mean:.0%} of all units are dead{at_first}; most of them in {_layers(layers)}, "
            f"up to {worst:.0%} of a layer; {_life(when)}",
            layers=tuple(layers.tolist()),
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
    if tables.config is None:
        return []
    first = remedies.start(tables.config) if when.at_start else remedies.learning_rate(tables.config, 0.1)
    return [*first, *(["model.activation=leaky_relu"] if tables.activation is not None else [])]


def saturated_activations(tables: Tables) -> Answer:
    """Half or more of a layer's outputs lie where the activation is flat.

    There its slope is below 1 % of its largest one, and δ is multiplied by it. That concerns activations with an upper
    bound; the zero half of a ReLU is what it is made for, and does not count.

    What to try: smaller weights at the start (an initializer made for the activation), BatchNorm before the activation,
    a smaller learning rate if saturation came in training.
    """
    if tables.activation is not None and not tables.activation.traits.bounded:
        return NotApplicable(f"{tables.activation.name} has no upper bound")
    saturated = profiles(tables.judged, "saturated_fraction", ["activation"])
    if not saturated:
        return NotApplicable("no activation with a saturated region was recorded")
    values_TL = saturated.values_TL
    traits = None if tables.activation is None else tables.activation.traits
    if traits is None or (traits.can_die and traits.zero_centred):  # a rectifier: its zero half does not count
        zero = profiles(tables.judged, "zero_fraction", ["activation"])
        if zero.values_TL.shape == values_TL.shape:
            values_TL = values_TL - zero.values_TL
    values_TL = np.apply_along_axis(smooth, 0, values_TL)
    when = spell(saturated.steps, np.any(values_TL >= SATURATED_FRACTION, axis=1))
    if when is None:
        return []
    layers = saturated.layers[values_TL[when.quote] >= SATURATED_FRACTION]
    worst = float(np.nanmax(values_TL[when.quote]))
    return [
        Finding(
            rule="saturated-activations",
            severity=severity_of(when, "warning"),
            message=f"{worst:.0%} of the outputs are saturated in the worst layer, half or more in "
            f"{_layers(layers)}, {when}",
            layers=tuple(layers.tolist()),
            steps=when.steps,
            measured=numbers(saturated_fraction=worst),
            threshold={"saturated_fraction": SATURATED_FRACTION},
            remedies=tuple(remedies.start(tables.config) if when.at_start else remedies.training(tables.config)),
        )
    ]


def symmetric_units(tables: Tables) -> Answer:
    """All units of a layer are copies of one another.

    Units that start with the same weights get the same gradients and stay the same for ever: a layer of any width then
    computes what one unit could. It comes from zero or constant initialization. Units that come to put out the same
    number in training are another trouble, a collapsed signal.

    What to try: any random initializer.
    """
    copies_TL, units = _copies(tables)
    if not units:
        return NotApplicable("no full pass over the training split was recorded")
    widths = None if tables.config is None else tables.config.model.hidden_widths
    if widths is None:  # a layer of a single unit cannot be told from copies
        copies_TL = copies_TL & np.all(copies_TL, axis=1, keepdims=True)
    elif len(widths) == len(units.layers):
        if max(widths) == 1:
            return NotApplicable("every layer has a single unit")
        copies_TL = np.logical_and(copies_TL, np.array(widths) > 1)
    copies_TL = copies_TL & copies_TL[0]
    when = spell(units.steps, np.any(copies_TL, axis=1))
    if when is None:
        return []
    layers = units.layers[copies_TL[when.quote]]
    return [
        Finding(
            rule="symmetric-units",
            severity=severity_of(when, "error"),
            message=f"all units are copies of one another in {_layers(layers)}, {when}",
            layers=tuple(layers.tolist()),
            steps=when.steps,
            threshold={"across_units": COPIES},
            remedies=tuple(remedies.initializer(tables.config)),
        )
    ]


def _copies(tables: Tables) -> tuple[Flags, Profiles]:
    """Where a layer's units are copies: its outputs do not vary over units, or its weights are all zero."""
    units = profiles(tables.judged, "across_units_std", ["activation"])
    rms_TL = _aligned(profiles(tables.judged, "activation_rms", ["activation"]), units)
    copies_TL: Flags = (rms_TL > 0) & (units.values_TL <= COPIES * rms_TL)
    weights_TL = _aligned(profiles(tables.judged, "weight_norm", ["weight"]), units)
    return copies_TL | (weights_TL == 0), units


# -------------------------------------------------------------------------------------------------------------- signal


def signal_collapse(tables: Tables) -> Answer:
    """The forward signal is lost on its way to the output.

    Either different inputs give the same activations: their variation over samples is below 1 % of their size, so that
    what follows can only learn a constant. Or their size itself falls a hundredfold and more over the depth.

    What to try: an initializer made for the activation, BatchNorm, an activation of slope 1.
    """
    samples = profiles(tables.judged, "across_samples_std", ["activation"])
    size = _signal(tables)
    if not samples and len(size.layers) < 2:
        return NotApplicable("neither a full pass nor two hidden layers were recorded")
    return [*_indistinct(tables, samples), *_over_depth(tables, size, "signal-collapse", -1)]


def signal_explosion(tables: Tables) -> Answer:
    """The activations grow a hundredfold and more from the first hidden layer to the last.

    The output is then huge and its gradient jumps about; with more layers it overflows.

    What to try: an initializer made for the activation, BatchNorm; if it came in training, a smaller learning rate.
    """
    size = _signal(tables)
    if len(size.layers) < 2:
        return NotApplicable("a signal explodes over two or more hidden layers")
    return _over_depth(tables, size, "signal-explosion", +1)


def _signal(tables: Tables) -> Profiles:
    """RMS of the activations, or of what the weight layers put out in a model without known activations."""
    return profiles(tables.judged, "activation_rms", ["activation"]) or profiles(
        tables.judged, "activation_rms", ["weight"]
    )


def _indistinct(tables: Tables, samples: Profiles) -> list[Finding]:
    rms_TL = _aligned(profiles(tables.judged, "activation_rms", ["activation"]), samples)
    ratio_TL = np.divide(samples.values_TL, rms_TL, out=np.full_like(rms_TL, np.nan), where=rms_TL > 0)
    when = spell(samples.steps, np.any(ratio_TL < DISTINCTION, axis=1))
    if when is None:
        return []
    layers = samples.layers[ratio_TL[when.quote] < DISTINCTION]
    worst = float(np.nanmin(ratio_TL[when.quote]))
    return [
        Finding(
            rule="signal-collapse",
            severity=severity_of(when, "warning"),
            message=f"different inputs give the same activations in {_layers(layers)}: they vary by {worst:.1g} of "
            f"their size from sample to sample, {when}",
            layers=tuple(layers.tolist()),
            steps=when.steps,
            measured=numbers(across_samples=worst),
            threshold={"across_samples": DISTINCTION},
            remedies=tuple(remedies.start(tables.config) if when.at_start else remedies.training(tables.config)),
        )
    ]


def _over_depth(tables: Tables, size: Profiles, rule: str, sign: int) -> list[Finding]:
    if len(size.layers) < 2:
        return []
    fits = fit_depth(size.layers, size.values_TL)
    range_T = smooth(-fits.range_T * (fits.r_squared_T >= R_SQUARED))  # toward the output
    when = spell(size.steps, lasting(sign * range_T, RANGE_DECADES, CURED_DECADES), sign * range_T)
    if when is None:
        return []
    range_decades = float(range_T[when.quote])
    per_layer = abs(range_decades) / np.ptp(size.layers)
    return [
        Finding(
            rule=rule,
            severity=severity_of(when, "warning"),
            message=f"activations {'grow' if sign > 0 else 'shrink'} by {per_layer:.2g} decades per layer "
            f"toward the output: {abs(range_decades):.1f} decades over {np.ptp(size.layers) + 1} layers, {when}",
            layers=tuple(size.layers.tolist()),
            steps=when.steps,
            measured=numbers(range_decades=range_decades),
            threshold={"range_decades": sign * RANGE_DECADES},
            remedies=tuple(remedies.start(tables.config) if when.at_start else remedies.training(tables.config)),
        )
    ]


# ------------------------------------------------------------------------------------------------------------- helpers


def _aligned(source: Profiles, target: Profiles) -> Floats:
    """The values of one grid at the steps and layers of another; NaN where it has none."""
    if not source:
        return np.full_like(target.values_TL, np.nan)
    row_T, column_L = np.searchsorted(source.steps, target.steps), np.searchsorted(source.layers, target.layers)
    row_T, column_L = row_T.clip(max=len(source.steps) - 1), column_L.clip(max=len(source.layers) - 1)
    found_TL = (source.steps[row_T] == target.steps)[:, None] & (source.layers[column_L] == target.layers)
    return np.where(found_TL, source.values_TL[np.ix_(row_T, column_L)], np.nan)


def _layers(layers: Numbers) -> str:
    """`layer 3`, `layers 0–4`, `layers 0–4, 7`: runs of numbers are folded."""
    runs = np.split(layers, np.flatnonzero(np.diff(layers) > 1) + 1)
    folded = ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs if len(run))
    return f"layer{'' if len(layers) == 1 else 's'} {folded}"
