from itertools import permutations

import pytest

from gradlab.diagnosis import RULES
from gradlab.diagnosis.causes import CONSEQUENCES, in_causal_order
from gradlab.tables import Finding

SEVERITY = {"vanishing-gradient": "error", "stalled-loss": "error", "diverged": "error", "dead-units": "error"}


def finding(rule, first=0, last=99, severity=None):
    return Finding(rule, severity or SEVERITY.get(rule, "warning"), rule, steps=(first, last))


def ordered(*findings):
    return [(each.rule, each.message) for each in in_causal_order(findings, list(RULES))]


def rules(*findings):
    return [rule for rule, _ in ordered(*findings)]


def test_a_chain_of_causes_in_whatever_order_the_findings_come():
    chain = [finding("saturated-activations"), finding("vanishing-gradient"), finding("stalled-loss")]
    for some in permutations(chain):
        assert ordered(*some) == [
            ("saturated-activations", "saturated-activations"),
            ("vanishing-gradient", "vanishing-gradient; follows from saturated-activations"),
            ("stalled-loss", "stalled-loss; follows from vanishing-gradient"),
        ]


def test_what_came_later_is_no_cause():
    assert rules(finding("saturated-activations", 50), finding("vanishing-gradient")) == [
        "vanishing-gradient",
        "saturated-activations",
    ]
    assert "follows" not in ordered(finding("updates-too-large", 50), finding("dead-units", 10))[0][1]


def test_what_came_at_any_time_may_be_why_a_whole_run_learned_nothing():
    assert rules(finding("stalled-loss"), finding("dead-units", 50)) == ["dead-units", "stalled-loss"]


def test_of_several_causes_the_first_counts():
    told = ordered(finding("signal-explosion"), finding("exploding-gradient", 1), finding("diverged", 9, 9))
    assert ("diverged", "diverged; follows from signal-explosion") in told


def test_information_causes_nothing():
    assert ordered(finding("vanishing-gradient", severity="info"), finding("stalled-loss"))[0] == (
        "stalled-loss",
        "stalled-loss",
    )


def test_a_warning_that_leads_to_an_error_comes_before_other_warnings():
    assert rules(finding("off-theory"), finding("updates-too-large", 5), finding("diverged", 9, 9)) == [
        "updates-too-large",
        "diverged",
        "off-theory",
    ]


def test_the_worst_of_what_is_independent_comes_first():
    assert rules(finding("off-theory"), finding("signal-explosion"), finding("vanishing-gradient")) == [
        "vanishing-gradient",
        "signal-explosion",
        "off-theory",
    ]


@pytest.mark.parametrize("rule", CONSEQUENCES)
def test_consequences_are_rules_and_there_is_no_circle(rule):
    assert {rule, *CONSEQUENCES[rule]} <= set(RULES)
    seen, waiting = set(), list(CONSEQUENCES[rule])
    while waiting:
        each = waiting.pop()
        assert each != rule
        if each not in seen:
            seen.add(each)
            waiting.extend(CONSEQUENCES.get(each, ()))
