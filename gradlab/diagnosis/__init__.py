"""What is wrong with a run, with evidence.

findings = diagnose(Tables(layers=…, steps=…, …))
RULES["vanishing-gradient"].description
"""

from gradlab.diagnosis.diagnosing import VITAL, Diagnosed, Diagnosis, diagnose, examine, judge
from gradlab.diagnosis.rule import Answer, NotApplicable, Rule
from gradlab.diagnosis.rules import RULES

__all__ = [
    "RULES",
    "VITAL",
    "Answer",
    "Diagnosed",
    "Diagnosis",
    "NotApplicable",
    "Rule",
    "diagnose",
    "examine",
    "judge",
]
