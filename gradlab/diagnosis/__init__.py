"""What is wrong with a run, with evidence.

findings = diagnose(Tables(layers=…, steps=…, …))
RULES["vanishing-gradient"].description
"""

from gradlab.diagnosis.rule import Answer, NotApplicable, Rule
from gradlab.diagnosis.rules import RULES, Diagnosed, diagnose, examine

__all__ = ["RULES", "Answer", "Diagnosed", "NotApplicable", "Rule", "diagnose", "examine"]
