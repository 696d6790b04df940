"""What a loop hands over with `recorder.log`: evaluations of a watched model."""

import pytest
import torch
from torch import nn

import gradlab
from gradlab.views.pictures import figure


def train(steps=6, *, into=None, at=(2, 5), values=lambda step: {"accuracy": 0.25 + step / 10}, **options):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gradlab.watch(model, optimizer, into=into, **options) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).square().mean().backward()
            optimizer.step()
            if step in at:
                recorder.log(**values(step))
    return recorder


@pytest.mark.parametrize("kept", ["in memory", "in a folder"])
def test_what_is_logged_is_the_table_of_evaluations(tmp_path, kept):
    into = None if kept == "in memory" else tmp_path / "run"
    recorder = train(into=into, values=lambda step: {"accuracy": torch.tensor(0.5), "loss": step, "split": "train"})
    rows = [
        {"step": 3, "split": "train", "loss": 2.0, "accuracy": 0.5},
        {"step": 6, "split": "train", "loss": 5.0, "accuracy": 0.5},
    ]
    assert recorder.evaluations.to_dicts() == rows
    if into is not None:
        assert gradlab.load_run(into).evaluations.to_dicts() == rows


def test_it_is_there_while_the_training_goes_on(tmp_path):
    seen = []
    for into in (None, tmp_path / "run"):
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with gradlab.watch(model, optimizer, into=into) as recorder:
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            recorder.log(accuracy=0.75)
            seen.append(recorder.evaluations["accuracy"].to_list())
    assert seen == [[0.75], [0.75]]


def test_the_picture_of_the_training_shows_it():
    recorder = train()
    axes = figure(recorder.tables, "training").axes[1]
    (line,) = (line for line in axes.get_lines() if line.get_label() == "test")
    assert line.get_ydata() == pytest.approx([45, 75])
    assert "test accuracy 75.0%" in figure(recorder.tables, "training").get_suptitle()


def test_what_is_no_number_does_not_end_the_training():
    with pytest.warns(RuntimeWarning, match="could not record what was handed to log"):
        recorder = train(values=lambda step: {"accuracy": torch.ones(2)})
    assert recorder.status == "completed"
    assert recorder.evaluations.height == 0
    with pytest.raises((RuntimeError, ValueError)):
        train(values=lambda step: {"accuracy": torch.ones(2)}, strict=True)
