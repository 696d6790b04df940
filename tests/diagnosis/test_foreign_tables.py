"""A rule that fails on what somebody else has put into a folder leaves the other rules their say."""

from dataclasses import replace

import pytest

from gradlab.diagnosis import diagnosing
from gradlab.diagnosis.rules import RULES
from tests.diagnosis.tables import tables


def failing(run):
    raise ValueError("cannot convert float NaN to integer")


def test_a_rule_that_fails_on_foreign_tables_cannot_judge(monkeypatch):
    run = tables()
    expected = diagnosing.examine(run)
    failing_rule = replace(RULES["stalled-loss"], check=failing)
    monkeypatch.setattr(diagnosing, "RULES", {**RULES, "stalled-loss": failing_rule})
    answers = diagnosing.examine(run, trusted=False)
    reason = answers.pop("stalled-loss").reason
    assert reason == "it cannot judge what is in these tables: ValueError: cannot convert float NaN to integer"
    assert answers == {id: answer for id, answer in expected.items() if id != "stalled-loss"}
    with pytest.raises(ValueError, match="NaN"):
        diagnosing.examine(run)
