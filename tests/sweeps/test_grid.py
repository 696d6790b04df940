"""Sweep files: the points they name, and what is said where they are wrong."""

import itertools

import pytest

from gradlab.config.files import load_config
from gradlab.errors import ConfigError
from gradlab.sweeps.grid import load_plan
from gradlab.sweeps.sweep_file import label

BASE = "base: {model: {depth: 3, width: 8}, data: {name: wine}, train: {steps: 5}}\n"


@pytest.fixture
def points(tmp_path, monkeypatch):
    """The points of a sweep file with this text."""
    monkeypatch.chdir(tmp_path)

    def load(text, *overrides):
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return load_plan(path.relative_to(tmp_path), overrides).points

    return load


def settings(points):
    return [label(point.settings) for point in points]


def test_every_combination_in_order(points):
    found = points(BASE + "grid:\n  model.depth: [1, 2]\n  seed: range(0, 3)\n")
    assert settings(found) == [f"model.depth={d} seed={s}" for d, s in itertools.product([1, 2], range(3))]
    for point in found:
        assert point.config.model.depth == point.settings["model.depth"]
        assert point.config.model.width == 8
        assert point.config.name == "sweep"


def test_pairs_extend_the_points_they_agree_with(points):
    found = points(
        BASE + "grid: {model.activation: [tanh, relu, selu]}\n"
        "pairs:\n"
        "  - {model.activation: relu, model.initializer: he_normal}\n"
        "  - {model.activation: relu, model.initializer: he_uniform}\n"
        "  - {model.activation: selu, model.initializer: lecun_normal}\n"
    )
    assert settings(found) == [
        "model.activation=tanh",
        "model.activation=relu model.initializer=he_normal",
        "model.activation=relu model.initializer=he_uniform",
        "model.activation=selu model.initializer=lecun_normal",
    ]
    assert [point.config.model.initializer.name for point in found[1:]] == ["he_normal", "he_uniform", "lecun_normal"]


def test_pairs_beside_the_grid_are_an_axis_of_their_own(points):
    text = BASE + "grid: {seed: [0, 1]}\npairs: [{model.depth: 1, model.width: 9}, {model.depth: 2, model.width: 7}]\n"
    found = [(point.config.seed, point.config.model.depth, point.config.model.width) for point in points(text)]
    assert found == [(0, 1, 9), (0, 2, 7), (1, 1, 9), (1, 2, 7)]


def test_the_issue_s_example(points):
    found = points(
        BASE + "grid:\n"
        "  model.depth: [5, 10, 20, 50]\n"
        "  model.activation: [sigmoid, tanh, relu, selu]\n"
        "  model.batch_norm: [none, before, after]\n"
        "  seed: [0, 1, 2]\n"
        "pairs:\n"
        "  - {model.activation: relu, model.initializer: he_normal}\n"
        "  - {model.activation: selu, model.initializer: lecun_normal}\n"
        "exclude:\n"
        "  - {model.activation: selu, model.batch_norm: before}\n"
    )
    assert len(found) == 4 * 4 * 3 * 3 - 4 * 3
    assert len({point.config.id for point in found}) == len(found)


def test_exclude_needs_all_its_keys_to_agree(points):
    found = points(BASE + "grid: {model.depth: [1, 2], seed: [0, 1]}\nexclude: [{model.depth: 2, seed: 1}]\n")
    assert settings(found) == ["model.depth=1 seed=0", "model.depth=1 seed=1", "model.depth=2 seed=0"]


def test_points_with_one_id_are_one_point(points):
    assert len(points(BASE + "grid: {model.activation: [sigmoid, logistic, {name: sigmoid}], seed: [0, 0]}\n")) == 1


def test_a_choice_is_made_before_its_options_whatever_the_order(points):
    text = BASE + "grid:\n  model.activation.negative_slope: [0.1, 0.3]\n  model.activation: [leaky_relu]\n"
    assert [point.config.model.activation.negative_slope for point in points(text)] == [0.1, 0.3]


def test_the_base_may_be_a_file_and_paths_are_relative_to_where_they_stand(points, tmp_path):
    (tmp_path / "configs" / "bases").mkdir(parents=True)
    (tmp_path / "configs" / "bases" / "deep.yaml").write_text("model: {depth: 7}\n")
    sweep = tmp_path / "configs" / "sweep.yaml"
    sweep.write_text("base: bases/deep.yaml\ngrid: {seed: [0, 1]}\n")
    (first, second) = load_plan(sweep).points
    assert (first.config.name, first.config.model.depth, second.config.seed) == ("deep", 7, 1)
    (tmp_path / "configs" / "a.csv").write_text("x,y\n1,0\n2,1\n")
    sweep.write_text("base: bases/deep.yaml\ngrid: {data: [digits, {name: file, path: a.csv, target: y}]}\n")
    assert load_plan(sweep).points[1].config.data.path == tmp_path / "configs" / "a.csv"


def test_a_config_and_typed_axes_need_no_sweep_file(tmp_path):
    path = tmp_path / "base.yaml"
    path.write_text("model: {depth: 4}\n")
    found = load_plan(
        path, ["model.depth=5,10", "model.activation=relu,{name: leaky_relu, negative_slope: 0.2}"]
    ).points
    assert [point.config.model.depth for point in found] == [5, 5, 10, 10]
    assert found[1].config.model.activation.negative_slope == 0.2
    assert [point.config.seed for point in load_plan(path, ["seed=range(2, 4)"]).points] == [2, 3]
    assert [point.config.model.width for point in load_plan(path, ["model.width=[9, 8, 7, 6], 5"]).points] == [
        [9, 8, 7, 6],
        5,
    ]
    (point,) = load_plan(path).points
    assert point.config == load_config(path)
    (overridden,) = load_plan(path, ["seed=3"]).points
    assert overridden.config == load_config(path, ["seed=3"])


def test_a_typed_axis_replaces_the_file_s(points):
    found = points(BASE + "grid: {model.depth: [1, 2], seed: [0, 1]}\n", "model.depth=9")
    assert settings(found) == ["model.depth=9 seed=0", "model.depth=9 seed=1"]


WRONG = {
    "unknown axis": (
        "grid:\n  model.dpeth: [5, 10]\n",
        ["sweep.yaml:3: model.dpeth: unknown key; did you mean 'depth'?", "(at model.dpeth=5)"],
    ),
    "empty list": ("grid: {seed: []}\n", ["sweep.yaml:2: seed: has no values"]),
    "empty range": ("grid: {seed: 'range(3, 3)'}\n", ["sweep.yaml:2: seed: has no values"]),
    "no list": ("grid: {seed: 3}\n", ["sweep.yaml:2: seed: must be a list of values, range(0, 10)", "not 3"]),
    "nested": ("grid: {model: {depth: [1]}}\n", ["model: must be a list", "write dotted keys: model.depth"]),
    "wrong range": ("grid: {seed: 'range(0, x)'}\n", ["sweep.yaml:2: seed: range(0, x) must be range(stop)"]),
    "grid is a list": ("grid: [1]\n", ["sweep.yaml:2: grid: must map keys to lists of values, not [1]"]),
    "unknown part": ("gird: {seed: [1]}\n", ["sweep.yaml:2: gird: unknown key; did you mean 'grid'?"]),
    "bad values, all of them": (
        "grid:\n  model.depth:\n  - 2\n  - ten\n  - 0\n  model.activation: [rleu, relu]\n  seed: [0, 1]\n",
        [
            "sweep.yaml:5: model.depth: must be a whole number, not 'ten'  (at model.depth=ten)",
            "sweep.yaml:6: model.depth: must be at least 1, not 0  (at model.depth=0)",
            "sweep.yaml:7: model.activation: 'rleu' is not an activation; did you mean 'relu'?",
        ],
    ),
    "two values that do not go together": (
        "grid:\n  seed: [0, 1]\n  model.depth: [3, 4]\n  model.width: [5, [1, 2, 3]]\n",
        ["sweep.yaml:5: model.width: lists 3 layers, but depth is 4  (at model.depth=4 model.width=[1, 2, 3])"],
    ),
    "a pair that clashes": (
        "grid: {model.activation: [relu, tanh]}\npairs:\n- {model.activation: selu, model.initializer: lecun_normal}\n",
        ["sweep.yaml:4: pairs: model.activation=selu clashes with the grid  (values there: relu, tanh)"],
    ),
    "a pair that says nothing": (
        "grid: {seed: [0, 1]}\npairs: [{seed: 0}]\n",
        ["sweep.yaml:3: pairs: seed=0 sets nothing that the grid does not set"],
    ),
    "no pairs": ("pairs: []\n", ["sweep.yaml:2: pairs: must be a list of mappings", "not an empty list"]),
    "exclude something else": (
        "grid: {seed: [0, 1]}\nexclude: [{sede: 1}, {seed: 2}]\n",
        [
            "sweep.yaml:3: exclude: sede is not an axis of the sweep; did you mean 'seed'?",
            "sweep.yaml:3: exclude: seed is never 2  (values: 0, 1)",
        ],
    ),
    "exclude everything": ("grid: {seed: [0]}\nexclude: [{seed: 0}]\n", ["exclude leaves no point of the sweep"]),
    "too many": (
        "grid: {seed: 'range(0, 10000)', model.depth: 'range(1, 1001)'}\n",
        ["a sweep has at most 100000 points; this one has 10000000, 10000 of seed × 1000 of model.depth"],
    ),
    "far too many": ("grid: {seed: 'range(0, 1000000000000)'}\n", ["this one has 1000000000000, "]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_sweeps(points, case):
    text, messages = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        points(BASE + text)
    for message in messages:
        assert message in str(caught.value)
    places = [message for message in messages if message.startswith("sweep.yaml:")]
    assert len(caught.value.problems) == max(len(places), 1), "each problem once"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: nowhere.yaml\n", "sweep.yaml:1: base: nowhere.yaml: there is no such file"),
        ("grid: {seed: [1]}\n", "base: is missing; name a config file"),
        ("base: [1]\n", "sweep.yaml:1: base: must be a path or a config, not [1]"),
        ("base: {model: {depht: 3}}\n", "sweep.yaml:1: model.depht: unknown key; did you mean 'depth'?"),
        ("base: {seed: 1, seed: 2}\n", "seed: given twice"),
    ],
)
def test_wrong_bases(points, text, message):
    with pytest.raises(ConfigError) as caught:
        points(text)
    assert message in str(caught.value)
    assert "(at" not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("seed=", "seed=: seed: has no values"),
        ("seed", "seed: an override is KEY=VALUE"),
        ("seed=[", "seed=[: seed: the value is not YAML"),
        (
            "model.depth=5,ten",
            "model.depth=5,ten: model.depth: must be a whole number, not 'ten'  (at model.depth=ten)",
        ),
    ],
)
def test_wrong_typed_axes(points, typed, message):
    with pytest.raises(ConfigError) as caught:
        points(BASE, typed)
    assert message in str(caught.value)


def test_many_problems_are_counted(points):
    with pytest.raises(ConfigError, match="And 80 more of the kind") as caught:
        points(BASE + "grid: {model.depth: 'range(-99, 1)'}\n")
    assert len(caught.value.problems) == 20
