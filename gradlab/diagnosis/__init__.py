"""What is wrong with a run, with evidence. Torch-free.

findings = diagnose(Tables(layers=…, steps=…, …))
verdict(findings)                    # 'vanishing-gradient'
RULES["vanishing-gradient"].description
"""

from gradlab.diagnosis.finding import SEVERITIES, Answer, Finding, NotApplicable, Rule, Severity, Tables
from gradlab.diagnosis.rules import HEALTHY, RULES, diagnose, examine, verdict

__all__ = [
    "HEALTHY",
    "RULES",
    "SEVERITIES",
    "Answer",
    "Finding",
    "NotApplicable",
    "Rule",
    "Severity",
    "Tables",
    "diagnose",
    "examine",
    "verdict",
]
