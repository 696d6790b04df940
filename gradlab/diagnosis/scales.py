"""Sizes that do not fit: of what enters the network, of its weights, of its steps."""

import numpy as np
import polars as pl

from gradlab.diagnosis import remedies
from gradlab.diagnosis.gradients import exploding_gradient
from gradlab.diagnosis.losses import rising_loss, stalled_loss
from gradlab.diagnosis.rule import LARGE_INPUT, Answer, NotApplicable, begins_with, numbers
from gradlab.diagnosis.signal import signal_explosion
from gradlab.diagnosis.units import dead_units, saturated_activations
from gradlab.diagnosis.updates import USUAL
from gradlab.measures.origin import origin
from gradlab.measures.profiles import by_module
from gradlab.tables import Finding, Tables
from gradlab.text import modules_text

HUGE_INPUT = 1000.0
"""Inputs of this size are reported whatever the training does."""
DROWNING = 100.0
"""An input that is so many times the size of another one leaves little of it where they come together."""
TINY_INPUT = 1e-4
"""Inputs of this size leave nothing but the bias to the first layer."""
DISPARITY = 10.0
"""Features differ in size if the largest one is so many times the median one."""

VANISHED = 0.01
"""Weights have vanished if their norm is this share of what it was."""

STEPS_TOO_LARGE = 0.03
"""Steps are large if the median one, over weights and the records until the trouble, moves weights by so much of their
size; networks that train well stay near 0.001."""


def unscaled_inputs(tables: Tables) -> Answer:
    """What enters the first layers is far larger, or far smaller, than initializers expect.

    They are made for inputs of size 1. Inputs of size 1000 saturate activations, make the first loss huge and the
    steps of the first layer too large; a feature that is much larger than the others hides them. Measured in a few
    records, over the features that vary. Inputs of some tens to hundreds are information unless the training suffers,
    or another input of the model is a hundred times smaller.

    What to try: subtract the mean of each feature and divide it by its standard deviation; the same for targets.
    """
    rows = tables.layers.drop_nulls(["input_mean", "input_std", "input_disparity"])
    rows = rows.filter(pl.col("kind").is_in(["weight", "output"]))
    if not rows.height:
        return NotApplicable("no first layer was seen that reads numbers")
    size = (pl.col("input_mean") ** 2 + pl.col("input_std") ** 2).sqrt()
    sizes = by_module(rows, size, ["weight", "output"])
    largest_L = np.nan_to_num(sizes.values_TL, nan=-np.inf).max(axis=0)
    unscaled_L = (largest_L > LARGE_INPUT) | (largest_L < TINY_INPUT)
    if not unscaled_L.any():
        return []
    worst = int(np.argmax(np.where(unscaled_L, np.abs(np.log10(largest_L)), -1)))
    row = rows.filter(pl.col("module") == sizes.modules[worst])[0]
    mean, std, disparity = (float(row[name][0]) for name in ("input_mean", "input_std", "input_disparity"))
    smallest = np.min(largest_L, where=largest_L > TINY_INPUT, initial=np.inf)
    drowns = largest_L[worst] > max(LARGE_INPUT, DROWNING * smallest)
    suffers = largest_L[worst] > HUGE_INPUT or drowns or _suffers(tables)
    apart = f"; the largest feature is {disparity:.2g} times the median one" if disparity > DISPARITY else ""
    apart += f"; the other inputs are {largest_L[worst] / smallest:.2g} times smaller" if drowns else ""
    names = sizes.names(unscaled_L)
    return [
        Finding(
            rule="unscaled-inputs",
            severity="warning" if suffers else "info",
            message=f"what enters {modules_text([sizes.modules[worst]])} has the mean {mean:.3g} and the standard "
            f"deviation {std:.3g}, where about 0 and 1 are expected{apart}",
            modules=names,
            layers=tuple(sizes.layers[unscaled_L].tolist()),
            steps=(int(rows["step"][0]), int(rows["step"][-1])),
            measured=numbers(mean=mean, std=std, disparity=disparity, rms=float(largest_L[worst])),
            threshold={"rms": LARGE_INPUT if largest_L[worst] > LARGE_INPUT else TINY_INPUT},
            remedies=tuple(
                ["Standardize the inputs, feature by feature, and the targets if they are numbers."]
                if tables.config is None
                else ["data.standardize=true"]
            ),
        )
    ]


def _suffers(tables: Tables) -> bool:
    """Whether the training shows a trouble that unscaled inputs lead to."""
    answers = [check(tables) for check in (stalled_loss, rising_loss, saturated_activations, dead_units)]
    found = [finding for answer in answers if not isinstance(answer, NotApplicable) for finding in answer]
    return origin(tables) is not None or any(finding.severity != "info" for finding in found)


def vanishing_weights(tables: Tables) -> Answer:
    """The weights of a layer decay to nothing.

    Weight decay, or a penalty on the weights, is stronger than the gradient of the loss. Judged on the norm of the
    weights at the end against that at the start.

    What to try: a smaller weight decay.
    """
    norms = by_module(tables.judged, "weight_norm", ["weight", "output"])
    if len(norms.steps) < 2:
        return NotApplicable("the norms of weights were recorded fewer than two times")
    first_L, last_L = norms.values_TL[0], norms.values_TL[-1]
    gone_L = (first_L > 0) & (last_L <= VANISHED * first_L)
    if not gone_L.any():
        return []
    worst = int(np.argmin(np.where(gone_L, last_L / np.where(first_L > 0, first_L, 1), np.inf)))
    first, last = float(first_L[worst]), float(last_L[worst])
    return [
        Finding(
            rule="vanishing-weights",
            severity="warning",
            message=f"the weights of {modules_text(norms.names(gone_L))} decay to nothing: the norm falls from "
            f"{first:.3g} to {last:.2g} in {modules_text([norms.modules[worst]])}",
            modules=norms.names(gone_L),
            layers=tuple(norms.layers[gone_L].tolist()),
            steps=(int(norms.steps[0]), int(norms.steps[-1])),
            measured=numbers(share=last / first),
            threshold={"share": VANISHED},
            remedies=tuple(["Use a smaller weight decay."] if tables.config is None else []),
        )
    ]


def learning_rate_too_high(tables: Tables) -> Answer:
    """The steps are large, and the loss rises, does not fall or is NaN, or units die.

    Large steps alone are what updates-too-large reports. Here both are measured: the median step over the weights, in
    the records until the trouble, and what came of the steps. A network whose signals explode at the start has another
    trouble first.

    What to try: a learning rate ten times as small.
    """
    ratios = by_module(tables.layers, "update_ratio", ["weight", "output"])
    if not ratios:
        return NotApplicable("no update was recorded")
    found = origin(tables)
    # the update of the step in which something is no longer finite comes after it, unless it arose in the update
    until = ratios.steps < (np.inf if found is None else found.step + (found.phase == "update"))
    values = ratios.values_TL[until]
    values = values[np.isfinite(values)]
    if not values.size or not np.median(values) > STEPS_TOO_LARGE:
        return []
    if any(begins_with(check(tables)) for check in (exploding_gradient, signal_explosion, vanishing_weights)):
        return []
    trouble = _trouble(tables)
    if trouble is None:
        return []
    step = float(np.median(values))
    return [
        Finding(
            rule="learning-rate-too-high",
            severity="warning",
            message=f"half of all steps move weights by {step:.2g} of their size or more (near {USUAL:g} is usual), "
            f"and {trouble}",
            steps=(int(ratios.steps[0]), int(ratios.steps[-1])),
            measured=numbers(update_ratio=step),
            threshold={"update_ratio": STEPS_TOO_LARGE},
            remedies=tuple(remedies.learning_rate(tables.config, 0.1)),
        )
    ]


def _trouble(tables: Tables) -> str | None:
    """What came of large steps, in words."""
    found = origin(tables)
    if found is not None and found.phase not in ("input", "backward"):
        return f"something is no longer finite in step {found.step}"
    told = ((rising_loss, "the loss rises"), (stalled_loss, "the loss does not fall"), (dead_units, "units die"))
    for check, words in told:
        answer = check(tables)
        if not isinstance(answer, NotApplicable) and any(finding.severity != "info" for finding in answer):
            return words
    return None
