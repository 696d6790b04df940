import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradlab import choices
from gradlab.config import SCHEMA, Config
from gradlab.config.files import dump_config, load_config
from gradlab.errors import DatasetError
from tests.own import NAMED_ACTIVATIONS, NAMED_INITIALIZERS

FLOATS = st.floats(1e-30, 1e30)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(["no", "1e3", "null", "0x1F"])


@st.composite
def configs(draw):
    depth = draw(st.integers(1, 4))
    width = draw(st.one_of(st.integers(1, 500), st.lists(st.integers(1, 9), min_size=depth, max_size=depth)))
    length = draw(st.sampled_from(["steps", "epochs"]))
    activation = draw(
        st.one_of(
            st.sampled_from([*NAMED_ACTIVATIONS, *choices.ALIASES]),
            st.builds(lambda slope: {"name": "leaky_relu", "negative_slope": slope}, st.floats(-1, 1)),
        )
    )
    initializer = draw(
        st.one_of(
            st.sampled_from(list(NAMED_INITIALIZERS)), st.builds(lambda std: {"name": "normal", "std": std}, FLOATS)
        )
    )
    return Config.model_validate(
        {
            "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)),
            "tags": draw(st.lists(st.sampled_from(["lecture", "no", "1e3", "übung"]), max_size=2)),
            "notes": draw(TEXTS),
            "seed": draw(st.integers(0, 2**63 - 1)),
            "dtype": draw(st.sampled_from(["float32", "float64"])),
            "model": {
                "depth": depth,
                "width": width,
                "activation": activation,
                "initializer": initializer,
                "bias_std": draw(st.floats(0, 1e10)),
                **draw(
                    st.sampled_from(
                        [
                            *({"batch_norm": word} for word in ("none", "before", "after", True, False)),
                            {"normalization": {"name": "batch_norm", "place": "after"}},
                        ]
                    )
                ),
                "residual": draw(st.booleans()),
            },
            "data": draw(
                st.one_of(
                    st.sampled_from(["digits", {"name": "gaussian", "features": 3}, {"name": "openml", "dataset": 3}]),
                    st.builds(lambda name: {"name": "openml", "dataset": name}, TEXTS),
                )
            ),
            "train": {
                "optimizer": draw(st.sampled_from([*choices.OPTIMIZERS, {"name": "adam", "betas": [0.5, 0.6]}])),
                "learning_rate": draw(FLOATS),
                length: draw(st.integers(1, 10**9)),
                "clip_gradient_norm": draw(st.none() | FLOATS),
            },
        }
    )


@given(configs())
def test_yaml_round_trip_keeps_config_and_id(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    again = load_config(path)
    assert again == config
    assert again.id == config.id


@pytest.mark.parametrize("name", ["no", "1e3", "null", "true", "12", "1_000", "0x1F", "1.", "2024-01-01"])
def test_names_that_look_like_something_else_survive(tmp_path, name):
    path = tmp_path / "x.yaml"
    path.write_text(dump_config(Config(name=name)))
    assert load_config(path).name == name


def identified_by(fields):
    return hashlib.sha256(json.dumps({"config": fields, "schema": SCHEMA}, sort_keys=True).encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, {}),
        ({"name": "a", "tags": ["x"], "notes": "tried"}, {}),
        ({"model": {"kind": "mlp", "depth": 20, "normalization": "none"}, "data": "digits", "seed": 0}, {}),
        ({"seed": 1}, {"seed": 1}),
        ({"model": {"depth": 3}}, {"model": {"kind": "mlp", "depth": 3}}),
        (
            {"model": {"activation": {"name": "elu", "alpha": 1.0}, "batch_norm": True}},
            {"model": {"kind": "mlp", "activation": {"name": "elu"}, "normalization": {"name": "batch_norm"}}},
        ),
        (
            {"data": {"name": "wine", "batch_size": 16}, "train": {"optimizer": {"name": "adam", "betas": [0.5, 0.6]}}},
            {
                "data": {"name": "wine", "batch_size": 16},
                "train": {"optimizer": {"name": "adam", "betas": [0.5, 0.6]}, "steps": 500},
            },
        ),
    ],
)
def test_the_id_is_the_hash_of_the_schema_and_of_what_differs_from_the_defaults(given, fields):
    config = Config.model_validate(given)
    assert config.id == identified_by(fields)
    assert config.folder == f"{config.name}-{config.id}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"activation": "logistic"}, {"activation": "sigmoid"}),
        ({"activation": "leaky_relu"}, {"activation": {"name": "leaky_relu", "negative_slope": 0.01}}),
        ({"batch_norm": True}, {"batch_norm": "before"}),
        ({"batch_norm": False}, {"batch_norm": "none"}),
        ({"batch_norm": "after"}, {"normalization": {"name": "batch_norm", "place": "after"}}),
        ({"normalization": "batch_norm"}, {"batch_norm": "before"}),
        ({"kind": "mlp"}, {}),
        ({"depth": 3, "width": [7, 7, 7]}, {"depth": 3, "width": 7}),
        ({"bias_std": 1}, {"bias_std": 1.0}),
        ({}, {"depth": 20}),
    ],
)
def test_two_spellings_of_one_network_are_one_run(one, other):
    assert Config.model_validate({"model": one}).id == Config.model_validate({"model": other}).id


def test_every_setting_but_the_name_and_the_remarks_changes_the_id():
    changes = [
        {"seed": 1}, {"device": "cpu"}, {"dtype": "float64"}, {"model": {"depth": 3}}, {"data": "wine"},
        {"train": {"learning_rate": 0.1}}, {"train": {"epochs": 1}}, {"record": {"every": 2}},
    ]  # fmt: skip
    assert len({Config.model_validate(change).id for change in [{}, *changes]}) == len(changes) + 1


def test_a_data_file_counts_by_its_content(tmp_path):
    def config(path, content):
        path.write_text(content)
        return Config.model_validate({"data": {"name": "file", "path": path}}).id

    (tmp_path / "elsewhere").mkdir()
    first = config(tmp_path / "a.csv", "x,target\n1,2\n")
    assert config(tmp_path / "elsewhere" / "b.csv", "x,target\n1,2\n") == first
    assert config(tmp_path / "a.csv", "x,target\n1,3\n") != first
    with pytest.raises(DatasetError, match=r"data.path: cannot read .*nowhere.csv"):
        _ = Config.model_validate({"data": {"name": "file", "path": tmp_path / "nowhere.csv"}}).id


def test_configs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3


def test_the_schema_describes_every_field_and_takes_names_for_choices():
    schema = Config.model_json_schema()
    models = {"Config": schema, **schema["$defs"]}
    for model, definition in models.items():
        for name, field in definition["properties"].items():
            assert name == "name" or field.get("description"), f"{model}.{name} has no docstring"
    names = models["MLP"]["properties"]["activation"]["anyOf"][0]["enum"]
    assert set(names) == {*choices.ACTIVATIONS, *choices.ALIASES}
