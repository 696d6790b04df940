"""What enters the first layers, and which units are off, against NumPy."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gradlab
from gradlab.recording.close_look import RECORDS


def watched(model, batch, steps=14, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    with gradlab.watch(model, optimizer, strict=True, **options) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            model(batch(step)).square().mean().backward()
            optimizer.step()
    return recorder.rows()


def one(rows, module, step=0):
    return rows.filter(module=module, step=step).row(0, named=True)


def test_the_records_that_are_looked_at():
    assert [record for record in range(200) if record in RECORDS] == [0, 10, 11, 12, 13, 100, 101, 102, 103]


def test_the_input_of_the_first_layer_without_its_constant_feature():
    x = torch.randn(500, 4) * torch.tensor([1.0, 20.0, 3.0, 0.0]) + torch.tensor([0.0, 5.0, 0.0, 1000.0])
    rows = watched(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)), lambda step: x)
    seen = x[:, :3].double().numpy()
    rms = np.sqrt((seen**2).mean(0))
    assert one(rows, "0")["input_mean"] == pytest.approx(seen.mean())
    assert one(rows, "0")["input_std"] == pytest.approx(seen.std())
    assert one(rows, "0")["input_disparity"] == pytest.approx(rms.max() / np.median(rms))
    assert one(rows, "2")["input_mean"] is None


def test_the_channels_of_a_convolution_and_two_first_layers():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.image, self.number = nn.Conv2d(2, 3, 3), nn.Linear(1, 3)

        def forward(self, x):
            return self.image(x).mean((2, 3)) + self.number(x[:, 0, 0, :1].detach() * 100)

    x = torch.randn(16, 2, 5, 5) * torch.tensor([1.0, 9.0])[:, None, None]
    rows = watched(Two(), lambda step: x)
    rms = x.double().square().mean((0, 2, 3)).sqrt()
    # torch's median is the lower one of two
    assert one(rows, "image")["input_disparity"] == pytest.approx(float(rms.max() / rms.min()))
    assert one(rows, "number")["input_std"] == pytest.approx(float((100 * x[:, 0, 0, 0]).double().std(correction=0)))


def test_numbers_of_words_are_no_input():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.out = nn.Embedding(10, 4), nn.Linear(4, 1)

        def forward(self, x):
            return self.out(self.words(x))

    rows = watched(Words(), lambda step: torch.randint(0, 10, (8, 3)))
    assert rows["input_mean"].drop_nulls().is_empty()


def test_units_that_are_off_in_four_records_in_a_row():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        model[0].bias.copy_(torch.tensor([0.0, 0.0, -100.0, 0.0]))
    # the second unit is off for positive numbers, which only the last batch has not
    rows = watched(model, lambda step: torch.rand(64, 2) * (-1 if step == 13 else 1))
    assert one(rows, "1", 13)["dead_fraction"] == 0.25
    assert rows.drop_nulls("dead_fraction")["step"].to_list() == [13]


def test_too_few_samples_tell_nothing():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    assert watched(model, lambda step: torch.rand(3, 2))["dead_fraction"].drop_nulls().is_empty()


@pytest.mark.parametrize("functional", [False, True])
def test_copies(functional):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act, self.last = nn.Conv2d(1, 5, 3), nn.Tanh(), nn.Linear(5, 2)
            nn.init.constant_(self.first.weight, 0.1)
            nn.init.constant_(self.first.bias, 0.0)

        def forward(self, x):
            h = F.tanh(self.first(x)) if functional else self.act(self.first(x))
            return self.last(h.mean((2, 3)))

    rows = watched(Net(), lambda step: torch.randn(8, 1, 6, 6))
    name = ":tanh" if functional else "act"
    assert one(rows, name)["across_units_std"] == pytest.approx(0.0, abs=1e-8)
    assert one(rows, name)["activation_rms"] > 0.01


def test_a_single_unit_is_no_copy_of_another():
    rows = watched(nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 1)), lambda step: torch.rand(8, 2))
    assert rows["across_units_std"].drop_nulls().is_empty()


def test_a_configured_run_has_full_passes_instead(tmp_path):
    config = {"model": {"depth": 2, "width": 8}, "train": {"steps": 12}, "record": {"dead_units": 2}}
    run = gradlab.run(config, runs=tmp_path, plots=False)
    assert run.layers.drop_nulls("dead_fraction")["step"].unique().sort().to_list() == [0, 11]
    assert 0 in run.layers.drop_nulls("input_std")["step"].to_list()


@pytest.mark.parametrize("images", [False, True])
def test_running_statistics_of_batch_normalization_against_those_of_the_batch(images):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, momentum=0.01) if images else nn.BatchNorm1d(3, momentum=0.01)
    shape = (5, 3, 4, 4) if images else (40, 3)
    batches = [3 + 2 * torch.randn(shape, generator=torch.Generator().manual_seed(step)) for step in range(14)]
    rows = watched(nn.Sequential(norm, nn.Flatten(), nn.Linear(48 if images else 3, 2)), batches.__getitem__)
    mean, variance = np.zeros(3), np.ones(3)
    for step, batch in enumerate(batches):
        x = np.moveaxis(batch.double().numpy(), 1, -1).reshape(-1, 3)
        mean, variance = 0.99 * mean + 0.01 * x.mean(0), 0.99 * variance + 0.01 * x.var(0, ddof=1)
        row = one(rows, "0", step)
        if step not in RECORDS:
            assert row["running_mean_off"] is None
            continue
        off = (x.mean(0) - mean) / np.sqrt(variance)
        decades = np.log10(x.std(0, ddof=1) / np.sqrt(variance))
        assert row["running_mean_off"] == pytest.approx(np.sqrt((off**2).mean()), rel=1e-4)
        assert row["running_std_off"] == pytest.approx(np.sqrt((decades**2).mean()), rel=1e-4)


@pytest.mark.parametrize("change", ["eval", "few samples", "no running statistics"])
def test_where_running_statistics_are_not_compared(change):
    norm = nn.BatchNorm1d(3, track_running_stats=change != "no running statistics")
    model = nn.Sequential(norm, nn.Linear(3, 2)).train(change != "eval")
    rows = watched(model, lambda step: torch.randn(8 if change == "few samples" else 40, 3), steps=2)
    assert rows["running_mean_off"].is_null().all()


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_units_of_recurrent_layers_that_are_copies(kind):
    """With constant weights all around they stay copies; a random layer behind them would tell them apart."""

    class Model(nn.Module):
        def __init__(self, constant):
            super().__init__()
            torch.manual_seed(0)
            self.cells, self.head = kind(3, 8, batch_first=True), nn.Linear(8, 2)
            for parameter in self.parameters() if constant else ():
                nn.init.constant_(parameter, 0.1)

        def forward(self, x):
            return self.head(self.cells(x)[0])

    x = torch.randn(40, 5, 3, generator=torch.Generator().manual_seed(0))
    for constant in (True, False):
        model = Model(constant)
        out = model.cells(x)[0].detach().numpy()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with gradlab.watch(model, optimizer, strict=True) as recorder:
            for _ in range(14):
                optimizer.zero_grad()
                model(x).square().mean().backward()
                optimizer.step()
        across = one(recorder.rows(), "cells")["across_units_std"]
        assert across == pytest.approx(np.sqrt(out.var(-1).mean()), rel=1e-4, abs=1e-7)
        found = [finding for finding in recorder.findings if finding.rule == "symmetric-units"]
        assert [(finding.severity, finding.modules) for finding in found] == [("error", ("cells",))] * constant
