"""What a predictor reaches that ignores its input, against torch's own losses."""

import pytest
import torch

from gradlab.config import Config
from gradlab.measures.constant import classes_of, constant_loss


def config(loss="cross_entropy", data="digits"):
    return Config.model_validate({"data": data, "train": {"loss": loss}})


@pytest.mark.parametrize(("data", "classes"), [("digits", 10), ("wine", 3), ({"name": "spirals", "classes": 5}, 5)])
def test_the_loss_of_a_guess_is_the_one_that_torch_computes(data, classes):
    y = torch.arange(classes)
    assert classes_of(config(data=data)) == classes
    entropy = torch.nn.functional.cross_entropy(torch.zeros(classes, classes, dtype=torch.float64), y)
    assert constant_loss(config(data=data)) == pytest.approx(entropy.item(), rel=1e-12)
    guess = torch.full((classes, classes), 1 / classes, dtype=torch.float64)
    squared = torch.nn.functional.mse_loss(guess, torch.eye(classes, dtype=torch.float64))
    assert constant_loss(config("mse", data)) == pytest.approx(squared.item(), rel=1e-12)


def test_where_the_classes_are_only_known_from_the_data_nothing_is_said():
    assert constant_loss(config(data={"name": "file", "path": "table.csv"})) is None
    assert (classes_of(None), constant_loss(None)) == (None, None)
