"""δ across depth: vanishing, exploding, underflowing. Judged by slopes, which no batch size, width or loss scale moves.

The gradient of the *weights* is no evidence here: in linear, tanh and ReLU networks it is flat across depth even while
δ vanishes, because the shrinking δ is multiplied by the growing activation (Glorot & Bengio 2010, eq. 14).
"""

import numpy as np
import polars as pl

from gradlab.diagnosis import remedies
from gradlab.diagnosis.rule import Answer, NotApplicable, numbers, severity_of
from gradlab.diagnosis.through_time import through_time
from gradlab.measures.chain_profiles import delta_over_chains, past_branches
from gradlab.measures.network import LAYERS, is_own, network_of
from gradlab.measures.profiles import Profiles, by_module, profiles
from gradlab.measures.slopes import Fits, fit_depth, slope
from gradlab.measures.spells import Spell, lasting, smooth, spell
from gradlab.tables import Finding, Tables
from gradlab.text import factor_text, modules_text

RANGE_DECADES = 2.0
"""δ vanishes or explodes if it changes by this many decades over the whole depth.

One learning rate cannot serve layers whose gradient signals differ a hundredfold. Networks that are known to train are
below the limit: tanh + Glorot at depth 20 spans 0.6 decades, SELU + LeCun at depth 30 spans 0.4, ReLU with BatchNorm at
depth 20 spans 1.6. Networks that are known not to train are above: ReLU + Glorot at depth 20 spans 2.9 decades, tanh +
U(±1/√n) at depth 10 spans 2.2. The total is judged and not the slope, because a slope that ruins 100 layers does not
harm 5.
"""
CURED_DECADES = 1.0
"""The trouble counts as gone where δ changes by fewer decades than this: half of the limit."""
R_SQUARED = 0.5
"""The line must explain at least this share of the profile's variance, so that one odd layer does not make a slope."""

FEW_LAYERS = 4
"""Fewer layers are no line: what their δ says must show in how their weights move."""
MOVES = 10.0
"""The relative updates of the first and the last of few layers must differ so many times: half of the decades of δ."""

UNKNOWN_GRAPH = " (over the layers in the order in which they were called: what feeds what is not known)"
"""What a message says where no graph of a step is known. Such a finding is a warning at worst, because networks that
have nothing to do with one another look like one."""
SCALE_IT = "Scale the loss with torch.amp.GradScaler, or compute in bfloat16."
NEARLY_ALL = 0.8
"""Share of the weight layers with a normalization behind them, from which on δ is judged there."""

SMALLEST = {"float16": 6.0e-8, "bfloat16": 9.2e-41, "float32": 1.4e-45, "float64": 4.9e-324}
"""The smallest positive numbers. Where RMS δ is no larger, most of its entries are 0."""
NEARLY_OUT = {"float16": 6.1e-5, "bfloat16": 1.2e-32, "float32": 1.2e-32, "float64": 2.2e-302}
"""δ is nearly out of range below this: an RMS of the smallest normal number of float16, and 10⁶ times that of the
others, because single entries and their products with activations become 0 some decades before their RMS does."""


def vanishing_gradient(tables: Tables) -> Answer:
    """The gradient signal δ shrinks from layer to layer on its way to the input, by a hundred or more in total.

    The first layers then learn nothing while the last ones do. Judged on δ = ∂L/∂h at the pre-activations of the hidden
    layers: the slope of its log10 over depth, times the depth. Looked for in the first record, and then in running
    medians over the training. In a configured network it is the RMS of δ over its layers. In others, and where strides
    make maps smaller on the way, it is judged along each chain of the graph of a step, in a form that no width, stride
    or pool changes, relative to the output from which the δ comes, and at the output of a normalization that follows a
    layer. Fewer than four layers need other evidence: that the relative updates of the first one are ten times smaller
    as well.

    Of recurrent modules, δ is judged through time as well, from the last call of a cell to the first, or over the steps
    of a sequence. Networks that forget may learn well, if there is nothing to remember: it is an error only where the
    loss does not fall.

    What to try: at the start, an initializer made for the activation, BatchNorm, an activation of slope 1. If it came
    in training, a smaller learning rate, since initialization helps only at the start.
    """
    return _changes(tables, "vanishing-gradient", -1)


def exploding_gradient(tables: Tables) -> Answer:
    """The gradient signal δ grows from layer to layer on its way to the input, by a hundred or more in total.

    The first layers then take steps that are far too large, or no learning rate is small enough for them and large
    enough for the last ones. Judged like vanishing-gradient, with the opposite sign. δ that overflows on its way from a
    finite last layer counts as well.

    Of recurrent modules, δ is judged through time as well, from the last call of a cell to the first, or over the steps
    of a sequence.

    What to try: at the start, an initializer made for the activation, BatchNorm, fewer layers. If it came in training,
    a smaller learning rate and gradient clipping. Through time: clip the gradient, start recurrent weights orthogonal.
    """
    return _changes(tables, "exploding-gradient", +1)


def _behind_norms(layers: pl.DataFrame) -> pl.DataFrame:
    """The table `layers`, where δ of a weight layer with a normalization behind it is that at the latter's output.

    A normalization divides by σ, the standard deviation of what enters it, and so does the δ that leaves it toward the
    input. σ says how large the weights are, which nothing behind the normalization notices: δ before it is no evidence.
    Only for networks in which nearly all weight layers have one; elsewhere it stands between other layers.
    """
    keys = ["step", "layer"]
    weights = layers.filter((pl.col("kind") == "weight") & pl.col("delta_rms").is_not_null())
    norms = layers.filter((pl.col("kind") == "norm") & pl.col("delta_rms").is_not_null())
    norms = norms.unique(keys, keep="first", maintain_order=True).select(*keys, behind="delta_rms")
    together = weights.join(norms, on=keys, how="left", maintain_order="left")
    if not together.height or 1 - together["behind"].null_count() / together.height < NEARLY_ALL:
        return layers
    return together.with_columns(delta_rms=pl.coalesce("behind", "delta_rms")).drop("behind")


def _changes(tables: Tables, rule: str, sign: int) -> Answer:
    """What there is to say of δ over the depth, and of δ through time."""
    over_time, over_depth = through_time(tables, rule, sign), _across_depth(tables, rule, sign)
    if over_time is None:
        return over_depth
    return over_time if isinstance(over_depth, NotApplicable) else [*over_time, *over_depth]


def _across_depth(tables: Tables, rule: str, sign: int) -> Answer:
    profiles_, note = _profiles(tables, sign)
    if not profiles_:
        return NotApplicable("no δ was recorded")
    if all(len(delta.layers) < 2 for delta in profiles_):
        return NotApplicable("one hidden layer has no depth to vanish or explode over")
    fewest = 2 if tables.layers["update_ratio"].count() else FEW_LAYERS
    judged = [(delta, fit_depth(delta.layers, delta.values_TL)) for delta in profiles_ if len(delta.layers) >= fewest]
    if not judged:
        return NotApplicable(f"fewer than {FEW_LAYERS} layers in a row are judged by how their weights move as well")
    if not any((fits.n_T >= 2).any() for _, fits in judged):
        return NotApplicable("δ is zero or not finite in all hidden layers but one")
    found = [_along(tables, delta, fits, rule, sign, note) for delta, fits in judged]
    return [finding for finding in found if finding is not None]


def _profiles(tables: Tables, sign: int) -> tuple[list[Profiles], str]:
    """The profiles of δ that are judged, and what a message has to say of how they were made.

    The layers of a configured network are a chain. Those of others are in the chains of the graph of a step, and so are
    those of maps that become smaller.
    """
    if is_own(tables) or _uneven(tables):
        network = network_of(tables)
        if network is not None:
            return [past_branches(delta, sign) for delta in delta_over_chains(network, tables.judged)], ""
    layers = _behind_norms(tables.judged) if is_own(tables) else tables.judged
    delta = profiles(layers, "delta_rms", ["weight"])
    return [delta] if delta else [], UNKNOWN_GRAPH if is_own(tables) else ""


def _uneven(tables: Tables) -> bool:
    """Whether a configured network makes its maps smaller on the way, which changes δ an entry by arithmetic."""
    return tables.config is not None and not tables.config.model.same_entries


def _along(tables: Tables, delta: Profiles, fits: Fits, rule: str, sign: int, note: str) -> Finding | None:
    """What there is to say of one chain of layers."""
    range_T = smooth(fits.range_T * (fits.r_squared_T >= R_SQUARED))
    present_T = lasting(sign * range_T, RANGE_DECADES, CURED_DECADES)
    if sign > 0:  # δ that is finite in the last layer and infinite in the first has no slope
        present_T |= np.isfinite(delta.values_TL[:, -1]) & np.isinf(delta.values_TL[:, 0])
    when = spell(delta.steps, present_T, sign * range_T)
    if when is None or (len(delta.layers) < FEW_LAYERS and not _moves_as_much(tables, delta, when, sign)):
        return None
    gaps = int(np.ptp(delta.layers))
    range_decades = float(range_T[when.quote])
    r_squared = float(smooth(fits.r_squared_T)[when.quote])
    verb, slope = "grows" if sign > 0 else "shrinks", float(f"{range_decades / gaps:.2g}")
    message = (
        f"the gradient signal δ {verb} toward the input, {factor_text(slope)} per layer ({abs(slope):.2g} decades, "
        f"R² {r_squared:.2f}): {abs(range_decades):.1f} decades over {gaps + 1} layers, from "
        f"{modules_text([delta.modules[-1]])} back to {modules_text([delta.modules[0]])}"
        if sign * range_decades >= CURED_DECADES
        else "δ overflows on its way to the input"
    )
    severity = severity_of(when, "warning" if note else "error")
    if sign > 0 and when.at_start and severity == "info":
        # A vanishing gradient that recovers has cost time. An exploding one has moved the first layers too far in the
        # first steps, for good: with BatchNorm their weights have grown, so that later steps hardly turn them.
        severity = "warning"
    later = remedies.training if sign > 0 else remedies.smaller_steps
    numbered = dict(tables.layers.select("module", "layer").unique(maintain_order=True).iter_rows())
    return Finding(
        rule=rule,
        severity=severity,
        message=f"{message}, {when}{note}",
        modules=delta.names(),
        layers=tuple(numbered[name] for name in delta.modules),
        steps=when.steps,
        measured=numbers(decades_per_layer=range_decades / gaps, range_decades=range_decades, r_squared=r_squared),
        threshold={"range_decades": sign * RANGE_DECADES, "r_squared": R_SQUARED},
        predicted=_predicted(tables) if when.at_start else {},
        remedies=tuple(remedies.start(tables.config) if when.at_start else later(tables.config)),
    )


def _moves_as_much(tables: Tables, delta: Profiles, when: Spell, sign: int) -> bool:
    """Whether the weights of the first layer move less than those of the last one, or more, as their δ says.

    Two or three points always make a line, and what makes them may be one gate or one output with a scale of its own.
    If the layers suffer from it, the weights show it: the relative updates differ tenfold and more. Where a layer does
    not move at all, that is a difference, too.
    """
    moves = by_module(tables.layers, "update_ratio", LAYERS)
    places = {name: column for column, name in enumerate(moves.modules)}
    ends = [places.get(name) for name in (delta.modules[0], delta.modules[-1])]
    if None in ends:
        return False
    within_T = (moves.steps >= when.first) & (moves.steps <= when.last)
    values = [moves.values_TL[within_T, column] for column in ends]
    first, last = (float(np.median(known)) if len(known := of[~np.isnan(of)]) else np.nan for of in values)
    return bool(first >= MOVES * last > 0 if sign > 0 else last >= MOVES * first)


def _predicted(tables: Tables) -> dict[str, float]:
    theory = tables.theory.drop_nulls("delta_relative")
    if theory.height < 2 or _uneven(tables):  # theory is about δ an entry
        return {}
    line = slope(theory["layer"].to_numpy().astype(np.int64), theory["delta_relative"].to_numpy())
    return numbers(decades_per_layer=line.value, range_decades=line.range_decades)


def gradient_underflow(tables: Tables) -> Answer:
    """Layers get a gradient of exactly 0 because the number format ran out.

    float32 has no numbers between 0 and 1.4e-45, float16 none between 0 and 6e-8. Where δ, or its product with the
    activations, falls below, the weights stop for good, whatever the optimizer. A layer counts whose δ or weight
    gradient is exactly 0, or of which most entries are, while the smallest δ that is left somewhere is almost out of
    the format's range; zeros beside healthy numbers have another cause (dead units, zero weights).

    What to try: what cures the vanishing gradient; in float16, a scaler of the loss; dtype=float64 makes the zeros
    numbers again, but not useful ones.
    """
    scales = tables.steps.select("step", scale=pl.col("gradient_scale").fill_null(1.0))
    formats = pl.col("dtype").fill_null("float32" if tables.config is None else tables.config.dtype)
    rows = tables.judged.drop_nulls("delta_rms").filter(formats.is_in(list(SMALLEST)))
    rows = rows.join(scales, on="step", how="left", maintain_order="left").with_columns(dtype=formats)
    formats = pl.col("dtype")
    size = pl.col("delta_rms") * pl.col("scale").fill_null(1.0)  # as the backward pass has it
    delta = by_module(rows, size, LAYERS)
    if not delta:
        return NotApplicable("no δ was recorded")
    zero = (size <= formats.replace_strict(SMALLEST)) | (pl.col("weight_gradient_norm") == 0)
    silent_TL = by_module(rows, zero.fill_null(False).cast(pl.Float64), LAYERS).values_TL == 1
    near = (size > 0) & (size < formats.replace_strict(NEARLY_OUT))
    near_TL = by_module(rows, near.cast(pl.Float64), LAYERS).values_TL == 1
    when = spell(delta.steps, silent_TL.any(1) & near_TL.any(1))
    if when is None:
        return []
    silent = delta.names(silent_TL[when.quote])
    smallest = float(np.where(delta.values_TL > 0, delta.values_TL, np.inf)[when.quote].min())
    ran_out = rows.filter(pl.col("module").is_in(silent))["dtype"][0]
    return [
        Finding(
            rule="gradient-underflow",
            severity=severity_of(when, "error"),
            message=f"{len(silent)} of {len(delta.layers)} layers get a gradient of exactly 0, {modules_text(silent)}: "
            f"{ran_out} ran out (the smallest δ left is {smallest:.1g}), {when}",
            modules=silent,
            layers=tuple(delta.layers[silent_TL[when.quote]].tolist()),
            steps=when.steps,
            measured=numbers(layers=len(silent), smallest_delta_rms=smallest),
            threshold={"smallest_delta_rms": NEARLY_OUT[ran_out]},
            remedies=tuple([SCALE_IT] if ran_out == "float16" else remedies.start(tables.config)),
        )
    ]
