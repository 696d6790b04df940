import io
import json
import math
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from gradlab.config import Config
from gradlab.tables import SCHEMAS, rows_frame
from gradlab.text import compact
from gradlab.theory import predict
from gradlab.views.prediction import COLUMNS, ENDS, prediction_json, print_prediction

GOLDEN = Path(__file__).parents[1] / "golden" / "views"
MODELS = {
    "sigmoid": {"depth": 20, "activation": "sigmoid", "initializer": "glorot_uniform"},
    "deep-batch-norm": {"depth": 60, "width": 256, "initializer": "he_normal", "batch_norm": "before"},
    "not-covered": {"depth": 5, "initializer": "zeros"},
}
EXTREME = [
    {"depth": 300, "activation": "identity", "initializer": {"name": "normal", "std": 1e6}},
    {"depth": 300, "activation": "relu", "initializer": {"name": "normal", "std": 1e-6}},
    {"depth": 30, "activation": "hard_tanh", "initializer": {"name": "normal", "std": 1e12}},
    {"depth": 50, "activation": "gelu", "batch_norm": "after", "width": 8, "residual": True},
]


def predicted(model):
    config = Config.model_validate({"name": "example", "model": model})
    return predict(config, features=64, classes=10, input_second_moment=0.953125), config


def printed(model, width=80):
    console = Console(file=io.StringIO(), width=width)
    print_prediction(*predicted(model), console)
    return console.file.getvalue()


def layer_rows(text):
    return [line.split() for line in text.splitlines() if re.match(r" +\d+ ", line)]


@pytest.mark.parametrize("width", [40, 80, 120, 160])
@pytest.mark.parametrize("name", MODELS)
def test_prediction_is_the_golden_text(name, width):
    """To accept a change that you have read: BLESS=1 pytest tests/views"""
    text, file = printed(MODELS[name], width), GOLDEN / f"prediction-{name}-{width}.txt"
    if os.environ.get("BLESS"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_every_row_shows_the_numbers_of_its_layer_and_chi_adds_up_to_delta():
    prediction, _ = predicted(MODELS["sigmoid"])
    shown = layer_rows(printed(MODELS["sigmoid"]))
    for cells, row in zip(shown, prediction.rows(), strict=True):
        assert cells == [str(row["layer"]), *(compact(row[name]) for name in COLUMNS)]
    chi = math.prod(float(cells[5]) for cells in shown[:-1])
    assert chi**0.5 == pytest.approx(float(shown[0][6]), rel=0.1)


def test_a_deep_network_is_folded_and_says_so():
    text = printed(MODELS["deep-batch-norm"])
    assert [int(cells[0]) for cells in layer_rows(text)] == [*range(ENDS), *range(60 - ENDS, 60)]
    assert f"{60 - 2 * ENDS} more" in text


@pytest.mark.parametrize("model", [*MODELS.values(), *EXTREME], ids=str)
def test_fits_40_columns_and_is_strict_json(model):
    for width in (40, 60, 80):
        assert max(map(len, printed(model, width).splitlines())) <= width
    prediction, config = predicted(model)
    document = json.loads(json.dumps(prediction_json(prediction, config), allow_nan=False))
    assert document["outlook"] == prediction.outlook
    assert len(document["layers"]) == len(prediction.layers)


def test_every_symbol_has_its_word():
    text = " ".join(printed(MODELS["sigmoid"]).split())
    for words in ("q: mean square of", "φ: activations", "χ: factor of δ²", "δ: RMS of the gradient signal"):
        assert words in text
    assert "depth scale ξ" in text


def test_json_has_the_depths_and_the_config():
    document = prediction_json(*predicted(MODELS["sigmoid"]))
    assert document["vanishing_depth"] == 6
    assert document["exploding_depth"] is None
    assert Config.model_validate({"name": document["name"], **document["config"]}).model.activation.name == "sigmoid"


def test_rows_are_those_of_the_table():
    rows = predicted(MODELS["sigmoid"])[0].rows()
    assert list(rows[0]) == list(SCHEMAS["theory"])
    assert rows_frame("theory", rows).height == 20
