import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab.diagnosis import examine
from gradlab.tables import Tables, rows_frame

RULES = ("vanishing-gradient", "exploding-gradient")
FALLS = [2.0 / (1 + step / 20) for step in range(120)]
FLAT = [2.0 + 0.01 * (-1) ** step for step in range(120)]


def tables(decades, losses=FALLS, calls=60):
    rows = [
        {"step": step, "layer": 0, "module": "cell", "kind": "weight", "calls": calls, "delta_through_time": decades}
        for step in range(len(losses))
    ]
    return Tables(
        layers=rows_frame("layers", rows),
        steps=rows_frame("steps", [{"step": step, "loss": loss} for step, loss in enumerate(losses)]),
    )


def found(run):
    answers = examine(run)
    return [
        (finding.rule, finding.severity, finding.message)
        for rule in RULES
        if isinstance(answers[rule], list)
        for finding in answers[rule]
        if "through time" in finding.message
    ]


@pytest.mark.parametrize("losses", [FALLS, FLAT])
def test_exploding_through_time_is_an_error(losses):
    ((rule, severity, message),) = found(tables(3.5, losses))
    assert (rule, severity) == ("exploding-gradient", "error")
    assert message == (
        "through time, δ grows by 3.5 decades on its way from the last time step to the first, over the 60 calls of "
        "`cell`, from the first recorded step to the last"
    )


def test_vanishing_through_time_is_an_error_only_where_nothing_is_learned():
    ((rule, severity, message),) = found(tables(-8.0, FLAT))
    assert (rule, severity) == ("vanishing-gradient", "error")
    assert "through time, δ shrinks by 8.0 decades" in message
    assert [severity for _, severity, _ in found(tables(-8.0, FALLS))] == ["info"]
    assert [severity for _, severity, _ in found(tables(-8.0, FLAT[:20]))] == ["info"], "too early to tell"


@pytest.mark.parametrize("decades", [-1.9, 0.0, 1.9, float("nan"), None])
def test_less_is_no_finding(decades):
    assert found(tables(decades, FLAT)) == []


def test_the_sequence_of_one_call():
    assert "over the sequence of `cell`" in found(tables(3.0, calls=1))[0][2]


def train(model, loss_of, steps=150, rate=1e-2):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_of()
            loss.backward()
            optimizer.step()
    return recorder.tables


class Reads(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.each = nn.Linear(2, 8)
        self.rnn = kind(8, 16, batch_first=True)
        self.out = nn.Linear(16, 2)

    def forward(self, x):
        return self.out(self.rnn(self.each(x))[0][:, -1])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_sound_recurrent_network_has_no_finding_to_act_on(kind):
    torch.manual_seed(0)
    model = Reads(kind)

    def loss():
        x = torch.randn(32, 20, 2)
        return functional.cross_entropy(model(x), (x[:, -3:, 0].sum(1) > 0).long())

    run = train(model, loss)
    assert [said for said in found(run) if said[1] != "info"] == []


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("batch", [4, 32])
def test_neither_scale_nor_batch_size_changes_the_verdict_on_a_linear_recurrence(scale, batch):
    torch.manual_seed(0)
    model = nn.ModuleDict({"cell": nn.Linear(16, 16), "out": nn.Linear(16, 2)})
    nn.init.orthogonal_(model["cell"].weight, 1.2)

    def loss():
        h = torch.randn(batch, 16)
        for _ in range(40):
            h = model["cell"](h)
        return scale * functional.cross_entropy(model["out"](h), torch.zeros(batch, dtype=torch.long))

    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(6):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
    assert [(rule, severity) for rule, severity, _ in found(recorder.tables)] == [("exploding-gradient", "error")]
