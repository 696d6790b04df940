import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gradlab.config.files import load_config, parse_document
from gradlab.errors import ConfigError

WRONG = """\
name: healthy
seed: -1
modle: {}
model:
  depth: 0
  width: [1, x]
  activation: rleu
  initializer: {name: normal, sdt: 2}
  residual: no
  batch_norm: sideways
  depth: 3
data:
  name: digits
  batch_size: ten
train:
  optimizer: {name: sgd, nesterov: true}
  learning_rate: -1
  clip_gradient_norm: .inf
record: 3
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write a config file into an empty working directory and load it."""
    monkeypatch.chdir(tmp_path)

    def load(text, *overrides):
        (tmp_path / "x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config("x.yaml", overrides)

    return load


def problems(file, text, *overrides):
    with pytest.raises(ConfigError) as caught:
        file(text, *overrides)
    return [str(problem) for problem in caught.value.problems]


def test_all_problems_at_once_each_with_its_line(file):
    activations = "nearest of 21 choices: relu, relu6, prelu, elu, celu; all of them: gradlab list activations"
    assert problems(file, WRONG) == [
        "x.yaml:2: seed: must be at least 0, not -1",
        "x.yaml:3: modle: unknown key; did you mean 'model'?  "
        "(choices: name, tags, notes, seed, device, dtype, model, data, train, record)",
        "x.yaml:5: model.depth: must be at least 1, not 0",
        "x.yaml:6: model.width: must be a whole number, at least 1, or a list of them, not [1, x]",
        f"x.yaml:7: model.activation: 'rleu' is not an activation; did you mean 'relu'?  ({activations})",
        "x.yaml:8: model.initializer.sdt: unknown key; did you mean 'std'?  (choices: name, std)",
        "x.yaml:9: model.residual: must be true, false, {scale: 0.1} or {scale: zero}, not 'no'",
        "x.yaml:10: model.batch_norm: must be one of the choices, not 'sideways'  (choices: none, before, after)",
        "x.yaml:11: model.depth: given twice; first in line 5",
        "x.yaml:14: data.batch_size: must be a whole number, at least 1, or full, not 'ten'",
        "x.yaml:16: train.optimizer: nesterov needs a momentum above 0 and dampening 0",
        "x.yaml:17: train.learning_rate: must be greater than 0, not -1",
        "x.yaml:18: train.clip_gradient_norm: must be a finite number, not .inf",
        "x.yaml:19: record: must be a mapping with the keys every, histograms, dead_units, not 3",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "x.yaml: the file is empty"),
        ("# only a comment\n", "x.yaml: the file is empty"),
        ("- 1\n", "x.yaml:1: a config is a mapping of keys to values, not a list"),
        ("relu\n", "x.yaml:1: a config is a mapping of keys to values, not a single value"),
        ("seed: 1\n---\nseed: 2\n", "x.yaml:3: a second document begins here; a config is one document"),
        ("model:\n  depth: [3\n", "x.yaml:3: not YAML: "),
        ("model:\n\tdepth: 3\n", "x.yaml:2: not YAML: .*YAML indents with spaces"),
        ("? [a]\n: 1\n", "x.yaml:1: a key must be a word"),
        (b"name: x\nseed: \xff\n", "x.yaml:2: is not text in UTF-8"),
        ("train: {steps: 3, epochs: 4}", r"x.yaml:1: train.epochs: steps \(3\) and epochs \(4\) exclude each other"),
        ("model:\n  width: [3, 4]", "x.yaml:2: model.width: lists 2 layers, but depth is 20"),
        ("model: {width: 0}", "x.yaml:1: model.width: must be at least 1, not 0"),
        ("model: {depth: 2.0}", r"model.depth: must be a whole number, not 2\.0"),
        ("model: {depth: '2'}", "model.depth: must be a whole number, not '2'"),
        ("model: {depth: true}", "model.depth: must be a whole number, not true"),
        ("model: {kind: mpl}", r"model.kind: 'mpl' is not a kind of network; did you mean .mlp.\?  \(choices: mlp, c"),
        ("model: rnn", "x.yaml:1: model.kind: 'rnn' is not a kind of network"),
        ("model: 3", "model: must be a name or a mapping with a kind, not 3"),
        ("model: {batch_norm: sideways}",
         r"model.batch_norm: must be one of the choices, not 'sideways'  \(choices: none, before, after\)"),
        ("model: {batch_norm: none, normalization: none}",
         "x.yaml:1: model.normalization: batch_norm is short for normalization; keep one of them"),
        ("model: {normalization: batch_nrom}", "'batch_nrom' is not a normalization; did you mean 'batch_norm'"),
        ("model: {normalization: {place: after}}",
         r"normalization: has no name  \(choices: none, batch_norm, layer_norm, rms_norm\)"),
        ("model: {normalization: {name: none, place: after}}", r"normalization.place: unknown key  \(choices: name\)"),
        ("model: {normalization: {name: batch_norm, place: under}}",
         r"normalization.place: must be one of the choices, not 'under'  \(choices: before, after\)"),
        ("tags: lecture", "x.yaml:1: tags: must be a list of words, not 'lecture'"),
        ("tags: [a, b c]", "tags.1: must be one word of letters, digits, .* not 'b c'"),
        ("tags: [3]", "tags.0: must be text in quotes, not 3"),
        ("notes: [a]", r"notes: must be text in quotes, not \[a\]"),
        ("model: {activation: no}", "model.activation: 'no' is not an activation"),
        ("model: {activation: null}", "model.activation: must be a name or a mapping with a name, not null"),
        ("model: {activation: {negative_slope: 1}}", "model.activation: has no name"),
        ("model: {activation: {name: elu, alpha: 0}}", "model.activation.alpha: must be greater than 0, not 0"),
        ("data: {name: file}", "x.yaml:1: data.path: is missing"),
        ("data: {name: openml, dataset: 1.5}", "data.dataset: must be a name or a number, not 1.5"),
        ("data: {name: digits, test_fraction: 1}", "data.test_fraction: must be less than 1, not 1"),
        ("train: {optimizer: {name: adam, betas: [0.1]}}", r"betas: must be a list of two numbers, not \[0.1\]"),
        ("train: {optimizer: {name: adam, betas: [0.1, 1.0]}}", "betas.1: must be less than 1, not 1.0"),
        ("train: {optimizer: sparse_adam}", "'sparse_adam' is not an optimizer; did you mean"),
        ("train: null", "train: must be a mapping with the keys optimizer, learning_rate, schedule, loss, steps"),
        ("device: gpu", r"device: must be auto, cpu, cuda, cuda:0 \(or another number\) or mps, not 'gpu'"),
        ("dtype: float16", r"dtype: must be one of the choices, not 'float16'; did you mean 'float64'\?"),
        ("name: a b", "name: must be letters, digits, .* not 'a b'"),
        ("name: ../up", "name: must be letters"),
        ("name: 3", "x.yaml:1: name: must be text in quotes, not 3"),
        ("seed: 9223372036854775808", "seed: must be less than 9223372036854775808, not 9223372036854775808"),
        ("model:\n  activation:\n    name: Rleu", r"x.yaml:3: model.activation: 'Rleu' is .* did you mean 'relu'\?"),
        ("model: {width: {a: 1}}", "model.width: must be a whole number, at least 1, or a list of them, not {a: 1}"),
        ("data: {btch_size: 3}", r"data.btch_size: unknown key; did you mean 'batch_size'\?  \(choices: name, "),
        ("record: &r {every: 2}\ntrain:\n  <<: *r", "x.yaml:3: train.<<: unknown key"),
        ("1: 2", r"x.yaml:1: 1: unknown key"),
        ("seed: 1\n~: \x07", r"x.yaml:2: not YAML: the character U\+0007 is not allowed"),
        ("seed: !!python/name:os.system x", "x.yaml:1: seed: 'x' cannot be read as !!python/name:os.system"),
        ("seed: !!int abc", "x.yaml:1: seed: 'abc' cannot be read as !!int"),
        (f"seed: {'9' * 5000}", r"x.yaml:1: seed: '9+\.\.\. cannot be read as !!int"),
        (f"seed: {'[' * 2000 + ']' * 2000}", "x.yaml: is nested too deeply"),
        ("model: &m\n  depth: *m\n", "x.yaml:2: model.depth: contains itself"),
    ],
)  # fmt: skip
def test_one_problem(file, text, problem):
    (said,) = problems(file, text)
    assert re.search(problem, said), said


def test_what_two_keys_must_agree_on_is_told_beside_what_is_wrong_in_other_keys(file):
    text = "model:\n  depth: 3\n  width: [4, 5]\n  residual: 1\ntrain:\n  steps: 1\n  epochs: 2\n  learning_rate: 0\n"
    assert problems(file, text) == [
        "x.yaml:3: model.width: lists 2 layers, but depth is 3",
        "x.yaml:4: model.residual: must be true, false, {scale: 0.1} or {scale: zero}, not 1",
        "x.yaml:7: train.epochs: steps (1) and epochs (2) exclude each other; keep one",
        "x.yaml:8: train.learning_rate: must be greater than 0, not 0",
    ]


def test_pydantic_is_never_quoted(file):
    for said in problems(file, WRONG):
        assert not any(word in said for word in ("Input", "union", "constrained", "pydantic", "Value error"))


def test_a_missing_file_names_its_neighbours(file, tmp_path):
    file("seed: 1")
    with pytest.raises(
        ConfigError, match=r"y.yaml: there is no such file; did you mean 'x.yaml'\?  \(there is: x.yaml\)"
    ):
        load_config("y.yaml")
    with pytest.raises(ConfigError, match="is a directory; name a YAML file in it"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config("nowhere/x.yaml")


def test_yaml_is_the_core_schema_of_1_2(file):
    config = file("train: {learning_rate: 1e-3}\nmodel: {bias_std: .5, width: 0o17}\nname: 2024-01-01\n")
    assert (config.train.learning_rate, config.model.bias_std, config.model.width) == (0.001, 0.5, 15)
    assert config.name == "2024-01-01"
    assert problems(file, "seed: 1:30") == ["x.yaml:1: seed: must be a whole number, not '1:30'"]


def test_the_name_is_the_files_stem_made_fit(tmp_path):
    path = tmp_path / "_my config (2).yaml"
    path.write_text("seed: 1")
    assert load_config(path).name == "my-config-2-"


# ---------------------------------------------------------------------------------------------------------- overrides


def test_overrides_use_the_same_paths_types_and_messages(file):
    config = file("model: {depth: 3}", "model.depth=5", "train.learning_rate=1e-3", "model.width=[1, 2, 3, 4, 5]")
    assert (config.model.depth, config.train.learning_rate, config.model.hidden_widths) == (5, 0.001, (1, 2, 3, 4, 5))
    assert problems(
        file, "model: {depth: 3}", "model.depth=ten", "x", "=3", "model..depth=3", "a=[", "modle.depth=1"
    ) == [
        "x: an override is KEY=VALUE with a dotted key, such as model.depth=50",
        "=3: an override is KEY=VALUE with a dotted key, such as model.depth=50",
        "model..depth=3: an override is KEY=VALUE with a dotted key, such as model.depth=50",
        "a=[: a: the value is not YAML",
        "model.depth=ten: model.depth: must be a whole number, not 'ten'",
        "modle.depth=1: modle: unknown key; did you mean 'model'?  "
        "(choices: name, tags, notes, seed, device, dtype, model, data, train, record)",
    ]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model.width.0=5", "model.width is a value and has no keys"),
        ("model.width=&x [*x]", "model.width.0: contains itself"),
        ("data={name: wine, name: digits}", "data.name: given twice"),
        ("seed=!!binary aGk=", "seed: 'aGk=' cannot be read as !!binary"),
    ],
)
def test_one_problem_with_an_override(file, override, problem):
    (said,) = problems(file, "model: {depth: 2, width: [3, 4]}", override)
    assert said.startswith(f"{override}: ")
    assert said.endswith(problem)


KEYS = st.sampled_from(
    ["", "0", "activation", "alpha", "batch_norm", "betas", "data", "dataset", "depth", "device", "every", "epochs",
     "initializer", "learning_rate", "model", "name", "nonsense", "optimizer", "path", "record", "seed", "std", "steps",
     "train", "width"]
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | KEYS | st.sampled_from(["elu", "adam", "file", "openml"])
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@given(
    st.dictionaries(st.sampled_from(["model", "data", "train", "record", "seed", "name"]), VALUES),
    st.dictionaries(st.lists(KEYS, min_size=1, max_size=3).map(".".join), VALUES, max_size=2),
    st.lists(st.text("model.depth=[]{}:,&*x0 \n!'\"", max_size=20), max_size=2),
)
def test_whatever_is_wrong_is_told_line_by_line_in_our_words(source, overrides, typed):
    for given_overrides in (overrides, typed):
        try:
            load_config(source, given_overrides)
        except ConfigError as error:
            for said in map(str, error.problems):
                assert len(said.splitlines()) == 1, said
                assert not any(word in said for word in ("Input", "constrained", "something else")), said


@given(st.text("model:depth{}[],&*a!|>-? \n\t#'\"0e.~<%@`"))
def test_any_text_is_a_config_or_a_config_error(text):
    with contextlib.suppress(ConfigError):
        parse_document(text, Path("x.yaml")).config()


def test_options_that_a_choice_keeps_keep_their_line(file):
    assert problems(file, "data:\n  name: digits\n  batch_size: 0", "data=wine") == [
        "x.yaml:3: data.batch_size: must be at least 1, not 0"
    ]


def test_overrides_from_python(file):
    file("model: {depth: 3}")
    assert load_config("x.yaml", {"model.depth": 5, "model.activation": "tanh"}).model.depth == 5
    with pytest.raises(ConfigError, match=r"model.depth='ten': model.depth: must be a whole number, not 'ten'"):
        load_config("x.yaml", {"model.depth": "ten"})
    assert load_config({"model": {"depth": 2}}, ["seed=4"]).seed == 4
    config = load_config("x.yaml")
    assert load_config(config, ["seed=4"]).model == config.model
    assert load_config(config, "seed=4").seed == 4
    assert load_config(config, {"model.depth": np.int64(7), "model.bias_std": np.float32(0.5)}).model.bias_std == 0.5
    with pytest.raises(ConfigError, match="seed: must be a whole number, not <object"):
        load_config({"seed": object()})


def test_an_option_of_a_choice_given_by_name(file):
    config = file("model: {activation: leaky_relu}", "model.activation.negative_slope=0.2")
    assert config.model.activation.negative_slope == 0.2


def test_an_option_of_a_choice_that_the_file_leaves_at_its_default(file):
    assert file("seed: 1", "data.batch_size=16").data.batch_size == 16
    assert file("seed: 1", "train.optimizer.momentum=0.9").train.optimizer.momentum == 0.9
    assert file("data: {batch_size: 16}").data.name == "digits"


def test_a_choice_that_changes_keeps_the_options_both_know(file):
    text = "data: {name: gaussian, features: 7, batch_size: 9}\ntrain: {optimizer: {name: sgd, momentum: 0.5}}"
    for override in ("data.name=digits", "data=digits"):
        assert file(text, override).data.model_dump() == {
            "name": "digits", "standardize": True, "batch_size": 9, "test_fraction": 0.2
        }  # fmt: skip
    assert file(text, "train.optimizer=rmsprop").train.optimizer.momentum == 0.5
    assert file(text, "train.optimizer=adam").train.optimizer.name == "adam"


NORMALIZED = {"none": "none", "before": ("batch_norm", "before"), "after": ("batch_norm", "after")}


@pytest.mark.parametrize(
    ("text", "overrides", "place"),
    [
        ("batch_norm: before", [], "before"),
        ("batch_norm: true", [], "before"),
        ("batch_norm: false", [], "none"),
        ("normalization: batch_norm", [], "before"),
        ("normalization: {name: batch_norm, place: after}", [], "after"),
        ("batch_norm: before", ["model.batch_norm=after"], "after"),
        ("batch_norm: before", ["model.batch_norm=false"], "none"),
        ("batch_norm: before", ["model.normalization=none"], "none"),
        ("batch_norm: before", ["model.normalization.place=after"], "after"),
        ("batch_norm: sideways", ["model.batch_norm=after"], "after"),
        ("normalization: none", ["model.batch_norm=after"], "after"),
        ("normalization: {name: batch_norm, place: after}", ["model.batch_norm=before"], "before"),
        ("normalization: {name: batch_norm, place: after}", ["model.normalization=batch_norm"], "after"),
        ("normalization: {name: batch_norm, place: after}", ["model.normalization=none"], "none"),
        ("depth: 3", ["model.normalization.name=batch_norm", "model.normalization.place=after"], "after"),
    ],
)
def test_batch_norm_is_short_for_a_normalization(file, text, overrides, place):
    norm = file(f"model: {{{text}}}", *overrides).model.normalization
    assert (norm.name if norm.where == "none" else (norm.name, norm.where)) == NORMALIZED[place]


@pytest.mark.parametrize("order", [1, -1])
def test_batch_norm_and_normalization_typed_together_clash(file, order):
    (said,) = problems(file, "seed: 1", *["model.batch_norm=before", "model.normalization=none"][::order])
    assert said.endswith("model.normalization: batch_norm is short for normalization; keep one of them")


def test_a_wrong_value_of_the_shorthand_keeps_its_place(file):
    assert problems(file, "model: {normalization: none}", "model.batch_norm=sideways") == [
        "model.batch_norm=sideways: model.batch_norm: must be one of the choices, not 'sideways'  "
        "(choices: none, before, after)"
    ]


def test_a_kind_may_be_said_or_not(file):
    assert file("model: {kind: mlp, depth: 3}") == file("model: {depth: 3}")
    assert file("model: mlp") == file("seed: 0")
    assert file("model: {depth: 3}", "model.kind=mlp").model.depth == 3


def test_steps_given_as_override_replace_the_files_epochs(file):
    config = file("train: {epochs: 4}", "train.steps=10")
    assert (config.train.steps, config.train.epochs) == (10, None)
    assert file("train: {steps: 4}", "train.epochs=10").train.steps is None
    assert "exclude each other" in problems(file, "seed: 1", "train.steps=3", "train.epochs=4")[0]


def test_paths_are_relative_to_the_file_that_names_them(file, tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "y.yaml").write_text("data: {name: file, path: data.csv}")
    assert load_config("below/y.yaml").data.path == tmp_path / "below" / "data.csv"
    assert load_config("below/y.yaml", ["data.path=data.csv"]).data.path == tmp_path / "data.csv"
    assert load_config({"data": {"name": "file", "path": "data.csv"}}).data.path == tmp_path / "data.csv"
    for overrides in (["data={name: file, path: data.csv}"], {"data": {"name": "file", "path": Path("data.csv")}}):
        assert load_config("below/y.yaml", overrides).data.path == tmp_path / "data.csv"


def test_sources_are_not_changed():
    source = {"model": {"activation": "relu"}}
    load_config(source, ["model.activation.name=tanh", "model.depth=2"])
    assert source == {"model": {"activation": "relu"}}
    assert yaml.safe_load("a: no") == {"a": False}, "PyYAML's own loader is left as it is"
