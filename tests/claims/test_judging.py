"""Judgements against intervals from scipy.stats on numbers made by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradlab.claims.judging import (
    CONDITIONAL,
    CONFIRMED,
    PARTLY,
    REFUTED,
    UNDECIDED,
    by_configuration,
    compared_values,
    judge,
)
from gradlab.claims.measuring import Observation
from gradlab.measures.intervals import mean_of
from tests.claims.vocabulary import claim, observed

NUMBERS = [0.61, 0.64, 0.7, 0.58, 0.66]
EDGE = stats.t.interval(0.95, len(NUMBERS) - 1, loc=np.mean(NUMBERS), scale=stats.sem(NUMBERS))


class Made:
    """A run of which only headline numbers are asked."""

    def __init__(self, numbers, status="completed"):
        self.summary, self.status, self.findings = numbers, status, []


def made(numbers, name="test_accuracy", **settings):
    """A run of each number, with seeds 0, 1, …"""
    return [
        Observation(Made({} if number is None else {name: number}), {"seed": seed, "model.depth": 2, **settings})
        for seed, number in enumerate(numbers)
    ]


def judged(observations, **expectation):
    [judgement] = judge(claim({"above": None, **expectation}), observations).judgements
    return judgement


def test_the_interval_is_that_of_scipy():
    mean = judged(made(NUMBERS), above=0.5).mean
    assert (mean.value - mean.half_width, mean.value + mean.half_width) == pytest.approx(EDGE, rel=1e-9)
    assert mean.count == 5


@pytest.mark.parametrize(
    ("bounds", "outcome"),
    [
        ({"above": EDGE[0] - 1e-9}, "holds"),
        ({"above": EDGE[0] + 1e-9}, "undecided"),
        ({"above": EDGE[1] - 1e-9}, "undecided"),
        ({"above": EDGE[1] + 1e-9}, "fails"),
        ({"below": EDGE[1] + 1e-9}, "holds"),
        ({"below": EDGE[1] - 1e-9}, "undecided"),
        ({"below": EDGE[0] + 1e-9}, "undecided"),
        ({"below": EDGE[0] - 1e-9}, "fails"),
        ({"above": EDGE[0] - 1e-9, "below": EDGE[1] + 1e-9}, "holds"),
        ({"above": EDGE[0] + 1e-9, "below": 1.0}, "undecided"),
        ({"above": 0.639, "below": 0.641}, "undecided"),
        ({"above": 0.8, "below": 0.9}, "fails"),
    ],
)
def test_outcomes_at_the_edges(bounds, outcome):
    assert judged(made(NUMBERS), **bounds).outcome == outcome


@pytest.mark.parametrize("number", [0.0, 1.0])
def test_bounds_are_not_part_of_what_is_expected(number):
    """Seeds that agree exactly have an interval without width."""
    same = made([number] * 3)
    assert judged(same, above=number - 0.1, below=number + 0.1).outcome == "holds"
    assert judged(same, above=number).outcome == judged(same, below=number).outcome == "fails"


@pytest.mark.parametrize("numbers", [[0.9], [0.9, None, None], [None, None], []])
def test_fewer_than_two_numbers_decide_nothing(numbers):
    found = judged(made(numbers), above=0.5)
    assert found.outcome == "undecided"
    assert found.seeds == len(numbers)
    assert found.mean.count == sum(number is not None for number in numbers)


def test_runs_without_the_number_are_left_out_and_counted():
    found = judged(made([0.9, None, 0.91, 0.9]), above=0.5)
    assert (found.outcome, found.mean.count, found.seeds) == ("holds", 3, 4)


def paired(base, other):
    return [*made(base, **{"model.depth": 2}), *made(other, **{"model.depth": 3})]


def test_differences_are_paired_by_seed():
    base, other = np.array([0.1, 0.5, 0.9]), np.array([0.21, 0.6, 1.01])
    found = judged(paired(base, other), of={"model.depth": 3}, minus={"model.depth": 2}, above=0.05)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(other - base), scale=stats.sem(other - base))
    assert (found.mean.value, found.mean.half_width) == pytest.approx(((low + high) / 2, (high - low) / 2), rel=1e-9)
    assert found.outcome == "holds", "though the seeds themselves are far apart"


def test_ratios_are_paired_by_seed():
    base, other = np.array([1.0, 10.0, 100.0]), np.array([2.1, 19.0, 205.0])
    found = judged(paired(base, other), of={"model.depth": 3}, over={"model.depth": 2}, above=1.5, below=2.5)
    assert found.mean.value == pytest.approx(np.mean(other / base), rel=1e-12)
    assert found.mean.half_width == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(other / base), rel=1e-9)
    assert found.outcome == "holds"


def test_what_has_no_partner_or_no_ratio_has_no_number():
    expectation = claim({"over": {"model.depth": 2}}).expect[0]
    runs = paired([1.0, 0.0, None, 1e-300], [2.0, 2.0, 2.0, 1e300])
    assert compared_values(expectation, runs[4:], runs) == [2.0, None, None, None]
    assert compared_values(expectation, runs[4:], runs[5:]) == [None] * 4
    assert compared_values(claim({"minus": {"model.depth": 2}}).expect[0], runs[4:], runs) == [1.0, 2.0, None, 1e300]


def depths(*groups):
    return [
        one for depth, group in enumerate(groups) for one in made(group, **{"model.depth": depth, "model.width": 9})
    ]


HIGH, LOW, WIDE = [0.9, 0.91, 0.92], [0.1, 0.11, 0.12], [0.2, 0.9, 0.5]


@pytest.mark.parametrize(
    ("groups", "outcome", "shown"),
    [
        ((HIGH, [0.8, 0.81, 0.82], HIGH), "holds", 1),
        ((HIGH, WIDE, HIGH), "undecided", 1),
        ((WIDE, HIGH, LOW), "fails", 2),
        ((HIGH, LOW, [0.05, 0.06, 0.07]), "fails", 2),
        ((WIDE, [0.9], HIGH), "undecided", 1),
        (([None, None], HIGH), "undecided", 0),
    ],
)
def test_the_worst_configuration_is_the_one_that_is_shown(groups, outcome, shown):
    for order in itertools.permutations(range(len(groups))):
        found = judged([one for depth in order for one in made(groups[depth], **{"model.depth": depth})], above=0.5)
        assert (found.outcome, found.settings) == (outcome, {"model.depth": shown})
        assert (found.configurations, found.seeds) == (len(groups), len(groups[shown]))


def test_the_worst_of_those_that_are_meant():
    found = judged(depths(HIGH, LOW, HIGH), of={"model.depth": [0, 2]}, above=0.5)
    assert (found.outcome, found.configurations) == ("holds", 2)
    alone = judged(depths(HIGH, LOW), of={"model.depth": 1}, above=0.5)
    assert (alone.outcome, alone.settings) == ("fails", {}), "nothing tells a configuration from itself"


def test_nothing_that_is_meant_is_undecided():
    found = judged(depths(HIGH), of={"model.depth": 7}, above=0.5)
    assert (found.outcome, found.configurations, found.mean.value) == ("undecided", 0, None)


def test_configurations_are_folded_over_seeds(tmp_path):
    runs = [observed(tmp_path, {"seed": seed, "model.depth": depth}) for seed in (0, 1) for depth in (2, 3)]
    groups = by_configuration(runs)
    assert [[one.settings["seed"] for one in group] for group in groups] == [[0, 1], [0, 1]]
    assert [{one.settings["model.depth"] for one in group} for group in groups] == [{2}, {3}]


def test_run_folders_are_judged(tmp_path):
    runs = [
        observed(tmp_path, {"seed": seed, "model.depth": depth}, columns={"delta_rms": lambda step, layer: 10.0**layer})
        for seed in range(3)
        for depth in (2, 3)
    ]
    slope = {"column": "delta_rms", "layers": "slope", "at": "start"}
    found = judged(runs, measure=slope, above=-1.01, below=-0.99)
    assert (found.outcome, found.mean.value, found.mean.half_width) == ("holds", pytest.approx(-1), pytest.approx(0))


HOLDS, FAILS, OPEN = {"above": 0.5}, {"above": 0.95}, {"above": 0.92}


@pytest.mark.parametrize(
    ("claims", "conditions", "word"),
    [
        ([HOLDS], [], CONFIRMED),
        ([HOLDS, HOLDS], [], CONFIRMED),
        ([HOLDS], [FAILS], CONFIRMED),
        ([HOLDS], [OPEN], CONFIRMED),
        ([HOLDS], [FAILS, HOLDS], CONDITIONAL),
        ([HOLDS, FAILS], [], PARTLY),
        ([FAILS], [HOLDS], REFUTED),
        ([HOLDS, FAILS, FAILS], [], REFUTED),
        ([OPEN, FAILS], [HOLDS], REFUTED),
        ([HOLDS, HOLDS, FAILS], [HOLDS], PARTLY),
        ([HOLDS, FAILS, OPEN], [], PARTLY),
        ([HOLDS, OPEN], [], UNDECIDED),
        ([OPEN], [HOLDS], UNDECIDED),
        ([], [HOLDS], UNDECIDED),
    ],
)
def test_verdicts(claims, conditions, word):
    limits = [{**one, "role": "condition", "says": f"limit {index}"} for index, one in enumerate(conditions)]
    parts = [{**one, "says": f"part {index}"} for index, one in enumerate(claims)]
    verdict = judge(claim(*parts, *limits), made([0.9, 0.91, 0.92]))
    assert verdict.failing == [f"part {index}" for index, one in enumerate(claims) if one is FAILS]
    assert verdict.word == word
    assert verdict.confirmed is (word in (CONFIRMED, CONDITIONAL))
    assert verdict.conditions == [f"limit {index}" for index, one in enumerate(conditions) if one is HOLDS]


# -------------------------------------------------------------------------------------------------------- properties

FLOATS = st.integers(-1000, 1000).map(lambda number: number / 16)  # sums are exact
SOME = st.lists(FLOATS, min_size=1, max_size=5)


@given(SOME, FLOATS)
def test_never_above_and_below(numbers, bound):
    above, below = judged(made(numbers), above=bound).outcome, judged(made(numbers), below=bound).outcome
    assert not above == below == "holds"
    assert (above == "undecided") == (below == "undecided") or {above, below} == {"fails", "undecided"}
    if len(set(numbers)) > 1:
        assert (above == "holds") == (below == "fails")


@given(SOME, FLOATS, st.integers(-100, 100))
def test_what_is_added_to_values_and_bounds_changes_nothing(numbers, bound, constant):
    moved = made([number + constant for number in numbers])
    one, other = judged(made(numbers), above=bound), judged(moved, above=bound + constant)
    low = one.mean.value - (one.mean.half_width or 0) - bound
    if min(abs(low), abs(low + 2 * (one.mean.half_width or 0))) > 1e-9:
        assert one.outcome == other.outcome
    assert other.mean.value == pytest.approx(one.mean.value + constant, abs=1e-9)


@given(SOME, FLOATS)
def test_the_other_sign_turns_above_into_below(numbers, bound):
    negated = judged(made([-number for number in numbers]), below=-bound)
    assert judged(made(numbers), above=bound).outcome == negated.outcome


@given(SOME, FLOATS, st.floats(0.1, 10))
def test_a_weaker_bound_holds_where_a_stronger_one_does(numbers, bound, less):
    if judged(made(numbers), above=bound).outcome == "holds":
        assert judged(made(numbers), above=bound - less).outcome == "holds"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=5))
def test_the_largest_numbers_have_a_mean_too(numbers):
    mean = mean_of(numbers)
    assert math.isfinite(mean.value)
    assert mean.half_width >= 0
    assert min(numbers) <= mean.value <= max(numbers) or mean.value == pytest.approx(
        np.clip(mean.value, min(numbers), max(numbers))
    )
    judged(made(numbers), above=0.5)
