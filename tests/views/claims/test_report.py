import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gradlab.claims.judging import judge
from gradlab.text import mean_and_interval
from gradlab.views.claims.report import as_json, bound_words, measure_words, verdict_words
from tests.claims.test_judging import made
from tests.claims.vocabulary import claim, printed

GOLDEN = Path(__file__).parents[2] / "golden" / "views" / "claims"
ACCURACY = {("relu", 5): [0.91, 0.92, 0.94], ("relu", 30): [0.71, 0.78, 0.81], ("tanh", 5): [0.9, None, 0.95],
            ("tanh", 30): [0.1, 0.12, 0.11]}  # fmt: skip
RUNS = [
    one
    for (activation, depth), numbers in ACCURACY.items()
    for one in made(numbers, **{"model.activation": activation, "model.depth": depth})
]
VERDICT = judge(
    claim(
        {
            "says": "relu networks learn, whether they are shallow or deep, and [no] markup is read in what is said",
            "of": {"model.activation": "relu"},
            "above": 0.5,
        },
        {
            "says": "a deep tanh network does not",
            "of": {"model.activation": "tanh", "model.depth": 30},
            "minus": {"model.activation": "relu"},
            "above": None,
            "below": -0.5,
        },
        {
            "says": "shallow networks learn too",
            "role": "condition",
            "of": {"model.depth": [5]},
            "above": 0.8,
            "below": 1.0,
        },
        title="Rectifiers keep deep networks trainable",
    ),
    RUNS,
)


@pytest.mark.parametrize("width", [80, 120])
def test_a_verdict_is_the_golden_text(width):
    """To accept a change that you have read: BLESS=1 pytest tests/claims"""
    text, file = printed(VERDICT, width), GOLDEN / f"verdict-{width}.txt"
    if os.environ.get("BLESS"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("width", [80, 120])
def test_what_is_printed_is_what_was_measured(width):
    text = printed(VERDICT, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line.endswith(" ") for line in lines)
    outcomes = [one.outcome for one in VERDICT.judgements]
    assert [line.split()[0] for line in lines if line[:3].strip()] == ["claim:", *outcomes, "verdict:"]
    numbers = re.findall(r"measured (−?[\d.]+) ± ([\d.]+)", re.sub(r"\s+", " ", text))
    deep = np.array(ACCURACY["tanh", 30]) - ACCURACY["relu", 30]
    pair = [one for one in ACCURACY["tanh", 5] if one is not None]
    for (value, half), expected in zip(numbers, (ACCURACY["relu", 30], deep, pair), strict=True):
        assert float(value.replace("−", "-")) == pytest.approx(np.mean(expected), abs=6e-4)
        width_ = stats.t.ppf(0.975, len(expected) - 1) * stats.sem(expected)
        assert float(half) == pytest.approx(width_, abs=6e-4)


def test_words_of_a_line_are_not_broken_or_lost():
    narrow, wide = (re.sub(r"\s+", " ", printed(VERDICT, width)) for width in (40, 500))
    assert narrow == wide


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"above": 0.3}, "> 0.3"),
        ({"above": None, "below": -1.0}, "< −1"),
        ({"above": -0.02, "below": 0.02}, "−0.02 … 0.02"),
        ({"above": 1e-7}, "> 1e−07"),
    ],
)
def test_bounds_in_words(bounds, words):
    assert bound_words(claim(bounds).expect[0]) == words


def test_a_measure_in_words():
    one = {"measure": {"column": "delta_rms", "layers": "slope"}, "of": {"model.depth": [10, 30]}}
    words = "delta_rms, decades per layer toward the input, at the end; model.depth=10|30"
    assert measure_words(claim(one).expect[0]) == words
    assert measure_words(claim({**one, "minus": {"seed": 0}}).expect[0]) == f"{words}; less that with seed=0"
    assert measure_words(claim({**one, "over": {"seed": 0}}).expect[0]) == f"{words}; over that with seed=0"


def test_the_verdict_in_words():
    assert verdict_words(VERDICT) == VERDICT.word == "confirmed"
    limits = [{"role": "condition", "says": says, "above": 0.0} for says in ("it is warm", "it is dry")]
    conditional = judge(claim({"above": 0.0}, *limits), made([0.9, 0.91]))
    assert verdict_words(conditional) == "confirmed with a condition: it is warm; it is dry"
    refuted = judge(claim({"above": 0.95}, *limits), made([0.9, 0.91, 0.9]))
    assert verdict_words(refuted) == "not what we measured"
    parts = [{"says": "it learns", "above": 0.0}, {"says": "it learns all", "above": 0.95}]
    partly = judge(claim(*parts, *limits), made([0.9, 0.91, 0.9]))
    assert verdict_words(partly) == "partly confirmed; what fails: it learns all"


def strictly(data):
    """Through JSON that has no NaN and no infinity."""
    return json.loads(json.dumps(data, allow_nan=False))


def test_json_says_the_same():
    data = strictly(as_json(VERDICT))
    assert (data["title"], data["verdict"], data["conditions"]) == (VERDICT.claim.title, VERDICT.word, [])
    for one, found in zip(VERDICT.judgements, data["expectations"], strict=True):
        assert (found["says"], found["role"]) == (one.expectation.says, one.expectation.role)
        assert found["outcome"] == one.outcome
        assert (found["mean"], found["half_width"]) == (one.mean.value, one.mean.half_width)
        assert (found["runs"], found["seeds"]) == (one.mean.count, one.seeds)
        assert found["measured"] == mean_and_interval(one.mean.value, one.mean.half_width)
    assert data["expectations"][0]["settings"] == {"model.depth": 30}


@pytest.mark.parametrize("numbers", [[], [0.9], [None], [0.9, None], [1.7e308, -1.7e308], [math.pi, math.e]])
def test_json_is_strictly_valid_whatever_was_measured(numbers):
    runs = made(numbers, **{"model.width": (5, 3)}) + made(numbers, **{"model.width": 4})
    data = as_json(judge(claim({"above": 0.0}), runs))
    assert strictly(data) == data
