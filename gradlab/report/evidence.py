"""A finding ─► what of the pictures shows it: the statistic, the modules and the steps."""

from collections.abc import Mapping
from typing import Any

from gradlab.statistics import STATISTICS
from gradlab.tables import Finding

SHOWN_BY: Mapping[str, str] = {
    "diverged": "activation_rms",
    "signal-collapse": "across_samples_std",
    "signal-explosion": "activation_rms",
    "symmetric-units": "across_units_std",
    "unscaled-inputs": "input_std",
    "vanishing-weights": "weight_norm",
}
"""The statistic that shows a finding of a rule, where the finding has not measured a statistic itself. Otherwise δ."""


def evidence_of(finding: Finding, modules: Mapping[str, int]) -> dict[str, Any]:
    """What the scripts of the page mark for a finding, as plain JSON types.

    Args:
        finding: the finding.
        modules: the number of each module on the page, by name.
    """
    measured = next((name for name in finding.measured if name in STATISTICS), None)
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "statistic": measured or SHOWN_BY.get(finding.rule, "delta_rms"),
        "modules": [modules[name] for name in finding.modules if name in modules],
        "layers": list(finding.layers),
        "steps": finding.steps,
    }
