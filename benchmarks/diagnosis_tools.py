"""The published thresholds of other tools, applied to the same runs.

Each function says whether a tool would report a trouble; None where it does not look at such a network. They are
written from the tools' papers and defaults, not with the tools' code. Every one sees every step; update ratios are
medians over the steps, since single ones exceed any limit now and then. T steps, L weight layers with the output layer.

    SageMaker Debugger   Amazon's built-in rules with their default parameters
    AutoTrainer          Zhang et al. 2021; it reports nothing of a model that reaches an accuracy of 0.6
    DeepDiagnosis        Wardat et al. 2022
    TheDeepChecker       Ben Braiek & Khomh 2023
"""

from collections.abc import Callable, Mapping

import numpy as np
from diagnosis_runs import Trace

ZERO_BY_DESIGN = ("relu", "relu6")
BOUNDED = ("sigmoid", "tanh")
RUN_OF_STEPS = 5


def _below(values_TL: np.ndarray, limit: float) -> bool:
    return bool((values_TL < limit).any())


def _not_finite(trace: Trace) -> bool:
    return not np.isfinite(trace.gradient_mean_TL).all() or not np.isfinite(trace.losses).all()


def _factor_every_step(values_TL: np.ndarray, factor: float) -> bool:
    """Whether some layer's values change by a factor, or more, in every one of five steps in a row."""
    if len(values_TL) <= RUN_OF_STEPS:
        return False
    with np.errstate(all="ignore"):
        ratio = values_TL[1:] / values_TL[:-1]
    changed = ratio <= factor if factor < 1 else ratio >= factor
    return bool(np.lib.stride_tricks.sliding_window_view(changed, RUN_OF_STEPS, axis=0).all(-1).any())


# ---------------------------------------------------------------------------------------------------------- vanishing


def sagemaker_vanishing(trace: Trace) -> bool:
    """Mean |∂W| of some layer below 1e-7 in some step."""
    return _below(trace.gradient_mean_TL, 1e-7)


def autotrainer_vanishing(trace: Trace) -> bool:
    """‖∂W‖ of the first layer below 1e-4 and below 1e-3 of the last one's, and an accuracy below 0.6."""
    first_T, last_T = trace.gradient_norm_TL[:, 0], trace.gradient_norm_TL[:, -1]
    return trace.accuracy < 0.6 and bool(((first_T < 1e-3 * last_T) & (first_T < 1e-4)).any())


def deepdiagnosis_vanishing(trace: Trace) -> bool:
    """Mean |∂W| of some layer below 1e-7 in some step."""
    return _below(trace.gradient_mean_TL, 1e-7)


def thedeepchecker_vanishing(trace: Trace) -> bool:
    """Mean |∂W| of some layer below 1e-6, or halved in each of five steps."""
    return _below(trace.gradient_mean_TL, 1e-6) or _factor_every_step(trace.gradient_mean_TL, 0.5)


# ---------------------------------------------------------------------------------------------------------- exploding


def sagemaker_exploding(trace: Trace) -> bool:
    """NaN or infinity in a gradient."""
    return _not_finite(trace)


def autotrainer_exploding(trace: Trace) -> bool:
    """‖∂W‖ of the first layer more than 70 times the last one's, or not finite, and an accuracy below 0.6."""
    with np.errstate(all="ignore"):
        ratio_T = trace.gradient_norm_TL[:, 0] / trace.gradient_norm_TL[:, -1]
    return not trace.accuracy >= 0.6 and (bool((ratio_T > 70).any()) or _not_finite(trace))


def deepdiagnosis_exploding(trace: Trace) -> bool:
    """NaN or infinity in a gradient."""
    return _not_finite(trace)


def thedeepchecker_exploding(trace: Trace) -> bool:
    """Mean |∂W| of some layer above 1e6, or doubled in each of five steps, or not finite."""
    large = bool((trace.gradient_mean_TL > 1e6).any())
    return large or _not_finite(trace) or _factor_every_step(trace.gradient_mean_TL, 2.0)


# -------------------------------------------------------------------------------------------------------------- units


def sagemaker_dead(trace: Trace) -> bool | None:
    """More than half of a layer's units active on less than 1 % of the samples."""
    return _any_unit(trace, "idle", 0.5) if trace.activation in ZERO_BY_DESIGN else None


def autotrainer_dead(trace: Trace) -> bool | None:
    """70 % or more of a weight gradient's entries exactly 0 in some step, and an accuracy below 0.6."""
    if trace.activation not in ZERO_BY_DESIGN:
        return None
    return trace.accuracy < 0.6 and bool((trace.gradient_zeros_TL >= 0.7).any())


def deepdiagnosis_dead(trace: Trace) -> bool | None:
    """70 % or more of a layer's outputs ≤ 0."""
    return _any_unit(trace, "non_positive", 0.7) if trace.activation in ZERO_BY_DESIGN else None


def thedeepchecker_dead(trace: Trace) -> bool | None:
    """For more than half of a layer's units, the 95th percentile of |x| is below 1e-5."""
    return _any_unit(trace, "tiny", 0.5) if trace.activation in ZERO_BY_DESIGN else None


def sagemaker_saturated(trace: Trace) -> bool | None:
    """More than half of the inputs of a tanh outside ±9.5, of a sigmoid outside (−23, 17)."""
    return _any_unit(trace, "beyond_range", 0.5) if trace.activation in BOUNDED else None


def deepdiagnosis_saturated(trace: Trace) -> bool | None:
    """|h| ≥ 5 for more than half of a layer."""
    return _any_unit(trace, "beyond_5", 0.5) if trace.activation in BOUNDED else None


def thedeepchecker_saturated(trace: Trace) -> bool | None:
    """ρ_B above 0.85."""
    return _any_unit(trace, "rho", 0.85) if trace.activation in BOUNDED else None


def _any_unit(trace: Trace, name: str, limit: float) -> bool:
    """Whether some layer exceeds a limit at the start or at the end."""
    return any(value >= limit for units in trace.units for value in getattr(units, name))


# ------------------------------------------------------------------------------------------------------------ updates


def _update_ratios(trace: Trace) -> np.ndarray:
    """η ‖∂W‖ / ‖W‖ of each layer, the median over the steps."""
    with np.errstate(all="ignore"):
        ratio_TL = trace.learning_rate * trace.gradient_norm_TL / trace.weight_norm_TL
    return np.median(np.nan_to_num(ratio_TL, nan=np.inf), axis=0)


def sagemaker_large(trace: Trace) -> bool:
    """η‖∂W‖/‖W‖ of some layer above 10."""
    return bool((_update_ratios(trace) > 10).any())


def deepdiagnosis_large(trace: Trace) -> bool:
    """η‖∂W‖/‖W‖ of some layer above 0.1."""
    return bool((_update_ratios(trace) > 0.1).any())


def thedeepchecker_large(trace: Trace) -> bool:
    """log10 of η‖∂W‖/‖W‖ of some layer above −1."""
    return bool((_update_ratios(trace) > 0.1).any())


def sagemaker_small(trace: Trace) -> bool:
    """η‖∂W‖/‖W‖ of some layer below 1e-8."""
    return _below(_update_ratios(trace), 1e-8)


def deepdiagnosis_small(trace: Trace) -> bool:
    """η‖∂W‖/‖W‖ of some layer below 1e-5."""
    return _below(_update_ratios(trace), 1e-5)


def thedeepchecker_small(trace: Trace) -> bool:
    """log10 of η‖∂W‖/‖W‖ of some layer below −4."""
    return _below(_update_ratios(trace), 1e-4)


# --------------------------------------------------------------------------------------------------------------- loss


def sagemaker_stalled(trace: Trace) -> bool:
    """The loss falls by less than 0.1 % over ten steps."""
    losses = np.array(trace.losses)
    return bool((losses[10:] > 0.999 * losses[:-10]).any())


# ----------------------------------------------------------------------------------------------------- anything at all


def deepdiagnosis_variance(trace: Trace) -> bool:
    """The variance of some weights outside (1e-5, 10)."""
    return bool(((trace.weight_variance_TL < 1e-5) | (trace.weight_variance_TL > 10)).any())


def thedeepchecker_spread(trace: Trace) -> bool:
    """The standard deviation of some layer's outputs outside (0.5, 2)."""
    return any(not 0.5 <= value <= 2 for units in trace.units for value in units.std)


TOOLS: Mapping[str, Mapping[str, Callable[[Trace], bool | None]]] = {
    "SageMaker Debugger": {
        "vanishing-gradient": sagemaker_vanishing,
        "exploding-gradient": sagemaker_exploding,
        "dead-units": sagemaker_dead,
        "saturated-activations": sagemaker_saturated,
        "updates-too-large": sagemaker_large,
        "updates-too-small": sagemaker_small,
        "stalled-loss": sagemaker_stalled,
    },
    "AutoTrainer": {
        "vanishing-gradient": autotrainer_vanishing,
        "exploding-gradient": autotrainer_exploding,
        "dead-units": autotrainer_dead,
    },
    "DeepDiagnosis": {
        "vanishing-gradient": deepdiagnosis_vanishing,
        "exploding-gradient": deepdiagnosis_exploding,
        "dead-units": deepdiagnosis_dead,
        "saturated-activations": deepdiagnosis_saturated,
        "updates-too-large": deepdiagnosis_large,
        "updates-too-small": deepdiagnosis_small,
        "weight variance": deepdiagnosis_variance,
    },
    "TheDeepChecker": {
        "vanishing-gradient": thedeepchecker_vanishing,
        "exploding-gradient": thedeepchecker_exploding,
        "dead-units": thedeepchecker_dead,
        "saturated-activations": thedeepchecker_saturated,
        "updates-too-large": thedeepchecker_large,
        "updates-too-small": thedeepchecker_small,
        "activation spread": thedeepchecker_spread,
    },
}
"""Tool ─► gradlab's name of the trouble, or the tool's own where gradlab has none ─► its check."""


def verdicts(trace: Trace) -> dict[str, dict[str, bool | None]]:
    """What every tool says of a run."""
    return {tool: {rule: check(trace) for rule, check in checks.items()} for tool, checks in TOOLS.items()}
