"""The forward signal over the depth: activations that no longer tell inputs apart, that fade, or that blow up."""

import numpy as np

from gradlab.diagnosis import remedies
from gradlab.diagnosis.rule import Answer, NotApplicable, numbers, severity_of
from gradlab.measures.network import is_own, network_of
from gradlab.measures.profiles import Profiles, aligned, by_module, profiles
from gradlab.measures.slopes import fit_depth
from gradlab.measures.spells import lasting, smooth, spell
from gradlab.tables import Finding, Tables
from gradlab.text import factor_text, modules_text

DISTINCTION = 0.01
"""A layer whose outputs vary less than this from sample to sample, relative to their RMS, no longer tells its inputs
apart. Networks that train keep more than 5 % down to depth 100."""
RANGE_DECADES = 2.0
"""The activations fade or explode where their RMS changes by this many decades over the depth: the limit of the rules
about gradients."""
CURED_DECADES = 1.0
"""The trouble counts as gone where the RMS changes by fewer decades than this."""
FEW_LAYERS = 4
"""Through fewer layers of a chain no line is laid: a gate or an output with a scale of its own would make one."""
R_SQUARED = 0.5
"""The straight line must explain at least this share of the variance of log10 RMS over depth."""


def signal_collapse(tables: Tables) -> Answer:
    """The forward signal is lost on its way to the output.

    Either different inputs give the same activations: their variation over samples is below 1 % of their size, so that
    what follows can only learn a constant. Or their size itself falls a hundredfold and more over the depth.

    What to try: an initializer made for the activation, BatchNorm, an activation of slope 1.
    """
    samples = profiles(tables.judged, "across_samples_std", ["activation"])
    sizes = _signals(tables)
    if not samples and not sizes:
        return NotApplicable("neither a full pass nor two hidden layers were recorded")
    over_depth = [finding for size in sizes for finding in _over_depth(tables, size, "signal-collapse", -1)]
    return [*_indistinct(tables, samples), *over_depth]


def signal_explosion(tables: Tables) -> Answer:
    """The activations grow a hundredfold and more from the first hidden layer to the last.

    The output is then huge and its gradient jumps about; with more layers it overflows.

    What to try: an initializer made for the activation, BatchNorm; if it came in training, a smaller learning rate.
    """
    sizes = _signals(tables)
    if not sizes:
        return NotApplicable("a signal explodes over two or more hidden layers")
    return [finding for size in sizes for finding in _over_depth(tables, size, "signal-explosion", +1)]


def _signals(tables: Tables) -> list[Profiles]:
    """RMS of the activations over depth; in a model without known activations, of the outputs of its weight layers.

    Where what feeds what is known, there is a profile for each chain of at least `FEW_LAYERS` hidden layers. What comes
    behind the last layer, as the sigmoid of an output, is not hidden; a gate beside a chain is on a chain of its own.
    """
    network = network_of(tables) if is_own(tables) else None
    if network is None:
        size = profiles(tables.judged, "activation_rms", ["activation"]) or profiles(
            tables.judged, "activation_rms", ["weight"]
        )
        return [size] if len(size.layers) >= 2 else []
    of = by_module(tables.judged, "activation_rms", ("weight", "output", "activation"))
    columns = {name: column for column, name in enumerate(of.modules)}
    has_activations = any(node.kind == "activation" for node in network.nodes.values())
    kinds = ("activation",) if has_activations else ("weight", "output")
    found = []
    for chain in network.chains.values():
        hidden = [n.name for n in chain if n.kind in kinds and n.name in network.hidden and n.name in columns]
        if len(hidden) >= FEW_LAYERS:
            values_TL = of.values_TL[:, [columns[name] for name in hidden]]
            found.append(Profiles(of.steps, np.arange(len(hidden)), values_TL, tuple(hidden)))
    return found


def _indistinct(tables: Tables, samples: Profiles) -> list[Finding]:
    rms_TL = aligned(profiles(tables.judged, "activation_rms", ["activation"]), samples)
    ratio_TL = np.divide(samples.values_TL, rms_TL, out=np.full_like(rms_TL, np.nan), where=rms_TL > 0)
    network = network_of(tables)
    if network is not None:  # what a gate is joined with tells the inputs apart
        ratio_TL[:, [name in network.joined for name in samples.modules]] = np.nan
    when = spell(samples.steps, np.any(ratio_TL < DISTINCTION, axis=1))
    if when is None:
        return []
    same_L = ratio_TL[when.quote] < DISTINCTION
    modules = samples.names(same_L)
    worst = float(np.nanmin(ratio_TL[when.quote]))
    return [
        Finding(
            rule="signal-collapse",
            severity=severity_of(when, "warning"),
            message=f"different inputs give the same activations in {modules_text(modules)}: "
            f"they vary by {worst:.1g} of their size from sample to sample, {when}",
            modules=modules,
            layers=tuple(samples.layers[same_L].tolist()),
            steps=when.steps,
            measured=numbers(across_samples=worst),
            threshold={"across_samples": DISTINCTION},
            remedies=tuple(remedies.start(tables.config) if when.at_start else remedies.smaller_steps(tables.config)),
        )
    ]


def _over_depth(tables: Tables, size: Profiles, rule: str, sign: int) -> list[Finding]:
    fits = fit_depth(size.layers, size.values_TL)
    range_T = smooth(-fits.range_T * (fits.r_squared_T >= R_SQUARED))  # toward the output
    when = spell(size.steps, lasting(sign * range_T, RANGE_DECADES, CURED_DECADES), sign * range_T)
    if when is None:
        return []
    range_decades = float(range_T[when.quote])
    numbered = dict(tables.layers.select("module", "layer").unique(maintain_order=True).iter_rows())
    per_layer = abs(range_decades) / np.ptp(size.layers)
    verb = "grow" if sign > 0 else "shrink"
    return [
        Finding(
            rule=rule,
            severity=severity_of(when, "warning"),
            message=f"activations {verb} toward the output, {factor_text(sign * float(f'{per_layer:.2g}'))} per layer "
            f"({per_layer:.2g} decades): {abs(range_decades):.1f} decades over {np.ptp(size.layers) + 1} layers, from "
            f"{modules_text([size.modules[0]])} to {modules_text([size.modules[-1]])}, {when}",
            modules=size.names(),
            layers=tuple(numbered[name] for name in size.modules),
            steps=when.steps,
            measured=numbers(range_decades=range_decades),
            threshold={"range_decades": sign * RANGE_DECADES},
            remedies=tuple(remedies.start(tables.config) if when.at_start else remedies.training(tables.config)),
        )
    ]
