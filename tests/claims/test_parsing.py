"""What is wrong with a claim is said all at once, in words, with the line where it stands."""

from textwrap import dedent, indent

import pytest

from gradlab.errors import ConfigError
from gradlab.sweeps.grid import load_plan

SWEEP = """\
base:
  model: {depth: 2, width: 8}
  data: wine
  train: {steps: 5}
grid:
  model.activation: [relu, tanh]
  model.depth: [2, 3]
  seed: [0, 1]
"""
CLAIM = """\
title: T
sentence: S.
expect:
  - {says: it learns, measure: test_accuracy, above: 0.5}
picture:
  - {draw: points, measure: test_accuracy, across: model.depth, lines: model.activation, title: accuracy}
"""
FIRST = len(SWEEP.splitlines()) + 2
"""The line of a claim's first line."""


def plan(tmp_path, claim=CLAIM, overrides=()):
    (tmp_path / "s.yaml").write_text(f"{SWEEP}claim:\n{indent(dedent(claim), '  ')}")
    return load_plan(tmp_path / "s.yaml", overrides)


def problems(tmp_path, claim):
    """(line of the claim, message) of each problem."""
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, claim)
    found = []
    for problem in caught.value.problems:
        file, _, line = problem.place.rpartition(":")
        assert file == str(tmp_path / "s.yaml")
        assert problem.message.startswith("claim")
        found.append((int(line) - FIRST + 1, problem.message.removeprefix("claim.")))
    return found


POINTS = "{draw: points, measure: diverged, across: model.depth, lines: model.activation, title: P}"


def expecting(*lines, picture=POINTS):
    """A claim with these expectations in lines 4, 5, …, and then a picture."""
    rows = "".join(f"  - {line}\n" for line in lines)
    return f"title: T\nsentence: S.\nexpect:\n{rows}picture:\n  - {picture}\n"


def test_a_claim_is_read(tmp_path):
    read = plan(tmp_path).claim
    assert read.expect[0].says == "it learns"
    assert plan(tmp_path, expecting("{says: x, measure: diverged, below: 1}")).not_judged == ""


MISTAKES = """\
titel: T
sentence: ''
expect:
  - {says: a, measure: {column: delta_rsm, layers: slope}, above: 0}
  - says: b
    measure: {finding: exploding}
    above: 0
  - {says: c, measure: {column: delta_rms, layers: slop, at: strat}, above: 0}
  - {says: d, measure: {column: delta_rms, layers: mean, kin: weight}, above: 0}
  - {says: e, measure: test_acuracy, abov: 0}
  - {says: f, measure: diverged}
  - {measure: diverged, above: big, role: conditon}
picture:
  - {draw: profil, column: delta_rms, title: P}
  - {draw: profile, column: delta_rms, title: P, line: seed}
  - {column: delta_rms, title: P}
"""


def test_all_that_is_wrong_with_the_form_is_said_at_once(tmp_path):
    said = problems(tmp_path, MISTAKES)
    assert [(line, message.partition("  (")[0]) for line, message in said] == [
        (0, "title: is missing"),
        (1, "titel: unknown key; did you mean 'title'?"),
        (2, "sentence: is empty"),
        (4, "expect.0.measure.column: 'delta_rsm' is not a column of layers; did you mean 'delta_rms'?"),
        (6, "expect.1.measure.finding: 'exploding' is not a rule; did you mean 'exploding-gradient'?"),
        (8, "expect.2.measure.layers: must be one of the choices, not 'slop'; did you mean 'slope'?"),
        (8, "expect.2.measure.at: must be one of the choices, not 'strat'; did you mean 'start'?"),
        (9, "expect.3.measure.kin: unknown key; did you mean 'kind'?"),
        (10, "expect.4.measure: 'test_acuracy' is not a number of a run; did you mean 'test_accuracy'?"),
        (10, "expect.4.abov: unknown key; did you mean 'above'?"),
        (11, "expect.5: has no bound; say above, below or both"),
        (12, "expect.6.says: is missing"),
        (12, "expect.6.role: must be one of the choices, not 'conditon'; did you mean 'condition'?"),
        (12, "expect.6.above: must be a number, not 'big'"),
        (14, "picture.0: must be one of the choices, not 'profil'; did you mean 'profile'?"),
        (15, "picture.1.line: unknown key; did you mean 'lines'?"),
        (16, "picture.2: has no draw"),
    ]
    choices = dict(message.split("  (choices: ") for _, message in said if "  (choices" in message)
    assert [words.rstrip(")") for key, words in choices.items() if "expect.2" in key or "titel" in key] == [
        "title, sentence, expect, note, picture, reduced",
        "slope, first, last, mean, min, max, or the number of a layer",
        "start, end, mean, min, max, or a step",
    ]


def test_mistakes_outside_the_claim_are_said_with_it(tmp_path):
    (tmp_path / "s.yaml").write_text(f"{SWEEP}  model.dpeth: 3\nclaim: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_plan(tmp_path / "s.yaml")
    assert [problem.place.rpartition(":")[2] for problem in caught.value.problems] == ["9", "10"]


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("3", "claim: must be a mapping, not 3"),
        ("[1]", "claim: must be a mapping, not [1]"),
        ("title: 3", "title: must be text, not 3"),
        ("expect: {}", "expect: must be a list, not {}"),
        ("expect: []", "expect: is empty"),
        ("expect: [3]", "expect.0: must be a mapping, not 3"),
        ("expect: [{measure: 3}]", "expect.0.measure: must be the name of a number or a mapping, not 3"),
        ("expect: [{measure: [a]}]", "expect.0.measure: must be the name of a number or a mapping, not [a]"),
        ("expect: [{measure: {}}]", "expect.0.measure.column: is missing"),
        ("expect: [{above: .inf}]", "expect.0.above: must be a finite number, not .inf"),
        ("expect: [{of: 3}]", "expect.0.of: must be a mapping, not 3"),
        ("expect: [{measure: {finding: diverged, onset: 1}}]", "expect.0.measure.onset: must be true or false, not 1"),
        ("picture: [3]", "picture.0: must be a mapping, not 3"),
        ("picture: [1, 2, 3, 4, 5]", "picture: has at most 4, not 5"),
        ("picture: [{draw: profile, at: -1}]",
         "picture.0.at: must be one of the choices, not -1  (choices: start, end, or a step)"),
        ("reduced: 3", "reduced: must be a mapping, not 3"),
    ],
)  # fmt: skip
def test_the_wrong_kind_of_thing(tmp_path, claim, message):
    assert message in [message for _, message in problems(tmp_path, claim)]


def test_all_that_the_runs_do_not_have_is_said_at_once(tmp_path):
    claim = expecting(
        "{says: x, measure: diverged, above: 0, of: {model.activation: rleu}}",
        "{says: x, measure: diverged, above: 0, of: {model.activaton: relu}}",
        "{says: x, measure: diverged, above: 0, of: {model.activation: relu, model.depth: [5, 6]}}",
        "{says: x, measure: diverged, above: 0, minus: {model.activation: elu}}",
        "{says: x, measure: diverged, above: 0, over: {model.activation: [relu, tanh]}}",
        "{says: x, measure: diverged, above: 0, over: {model.activatoin: relu}, of: {sed: null}}",
        "{says: x, measure: diverged, above: 0, of: {model.depth: 2}, minus: {model.depth: 3}}",
        picture="{draw: points, measure: diverged, across: model.depht, lines: model.activation, title: P}",
    )
    assert problems(tmp_path, claim) == [
        (4, "expect.0.of: no run of the sweep is like this; "
            "model.activation is never 'rleu'  (values: 'relu', 'tanh')"),
        (5, "expect.1.of: 'model.activaton' is not a setting; did you mean 'model.activation'?"),
        (6, "expect.2.of: no run of the sweep is like this; model.depth is never [5, 6]  (values: 2, 3)"),
        (7, "expect.3.minus: 8 of 8 runs have no single partner with {model.activation: elu}; "
            "model.activation is never 'elu'  (values: 'relu', 'tanh')"),
        (8, "expect.4.over: 8 of 8 runs have no single partner with {model.activation: [relu, tanh]}"),
        (9, "expect.5.of: 'sed' is not a setting; did you mean 'seed'?"),
        (9, "expect.5.over: 'model.activatoin' is not a setting; did you mean 'model.activation'?"),
        (12, "picture.0.across: 'model.depht' is not a setting; did you mean 'model.depth'?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ("{draw: points, measure: diverged, across: model.depth, title: P}",
         "picture.0: model.activation differs within a point; add to of, or to lines"),
        ("{draw: profile, column: delta_rms, title: P}",
         "picture.0: model.depth, model.activation differ within what it draws; add to of, or to lines"),
        ("{draw: profile, column: delta_rms, lines: model.depth, title: P}",
         "picture.0: model.activation differs within a line; add to of, or to lines"),
        ("{draw: course, column: delta_rms, lines: layer, of: {model.depth: 2}, title: P}",
         "picture.0: model.activation differs within what it draws; add to of"),
        ("{draw: histograms, quantity: delta, of: {model.depth: 2}, title: P}",
         "picture.0: model.activation differs within what it draws; add to of"),
        ("{draw: points, measure: diverged, across: model.depth, lines: layer, title: P}",
         "picture.0.lines: 'layer' is not a setting"),
    ],
)  # fmt: skip
def test_a_line_or_a_point_is_one_configuration(tmp_path, picture, message):
    claim = expecting("{says: x, measure: diverged, above: 0}", picture=picture)
    assert problems(tmp_path, claim) == [(6, message)]


def test_seeds_do_not_make_a_line_ambiguous(tmp_path):
    picture = "{draw: course, column: delta_rms, lines: layer, of: {model.depth: 2, model.activation: relu}, title: P}"
    assert plan(tmp_path, expecting("{says: x, measure: diverged, above: 0}", picture=picture)).claim


def test_typed_axes_that_leave_out_what_the_claim_speaks_of(tmp_path):
    claim = expecting("{says: x, measure: diverged, above: 0, of: {model.depth: 3}}")
    assert plan(tmp_path, claim, ["seed=5"]).claim
    narrowed = plan(tmp_path, claim, ["model.depth=2"])
    assert (len(narrowed.points), narrowed.claim) == (4, None)
    assert narrowed.not_judged == (
        "claim.expect.0.of: no run of the sweep is like this; model.depth is never 3  (values: 2)"
    )
