"""δ through time, against the derivative of the loss with respect to each hidden state, by autograd."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import gradlab
from gradlab.recording.through_time import FEW_STEPS, decades, over_calls

T = 20


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def slope_of(deltas):
    """The range of the line through log10 of the RMS of each δ, toward the first, by another fit."""
    y = [float(delta.double().square().mean().sqrt().log10()) for delta in deltas]
    return -np.polyfit(np.arange(len(y)), y, 1)[0] * (len(y) - 1)


def measured(model, loss_of, steps=2):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of().backward()
            optimizer.step()
    rows = recorder.layers.drop_nulls("delta_through_time")
    return {module: part["delta_through_time"].to_list() for (module,), part in rows.group_by("module")}


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_over_the_calls_of_a_cell(gain):
    model = nn.ModuleDict({"each": nn.Linear(3, 4), "cell": nn.Linear(4, 4), "out": nn.Linear(4, 1)})
    nn.init.orthogonal_(model["cell"].weight, gain)
    x = torch.randn(T, 5, 3)

    def states():
        h = torch.zeros(5, 4)
        for x_t in x:
            h = model["cell"](h) + model["each"](x_t)
            yield h

    hidden = list(states())
    expected = slope_of(torch.autograd.grad(model["out"](hidden[-1]).square().mean(), hidden))
    found = measured(model, lambda: model["out"](list(states())[-1]).square().mean())
    assert set(found) == {"cell"}
    assert found["cell"] == pytest.approx([expected] * 2, rel=1e-4)
    assert expected == pytest.approx(np.log10(gain) * (T - 1), abs=1e-3)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU])
def test_over_the_hidden_states_of_a_sequence(kind, batch_first):
    model, x = kind(3, 4, batch_first=batch_first), torch.randn(T, 5, 3)
    h, hidden = None, []
    for x_t in x:  # one step after the other, so that each state is a tensor of its own
        _, h = model(x_t.unsqueeze(1 if batch_first else 0), h)
        hidden.append(h)
    expected = slope_of(torch.autograd.grad(hidden[-1].square().mean(), hidden))
    of = x.transpose(0, 1) if batch_first else x
    found = measured(nn.ModuleDict({"rnn": model}), lambda: model(of)[1].square().mean())
    assert found["rnn"] == pytest.approx([expected] * 2, rel=1e-4)


@pytest.mark.parametrize("batch_first", [False, True])
def test_over_the_inputs_of_a_fused_sequence(batch_first):
    model = nn.ModuleDict({"each": nn.Linear(3, 4), "rnn": nn.LSTM(4, 4, batch_first=batch_first)})
    x = torch.randn(5, T, 3) if batch_first else torch.randn(T, 5, 3)
    entered = model["each"](x)
    (delta,) = torch.autograd.grad(model["rnn"](entered)[1][0].square().mean(), entered)
    expected = slope_of(delta.unbind(1 if batch_first else 0))
    found = measured(model, lambda: model["rnn"](model["each"](x))[1][0].square().mean())
    assert found["rnn"] == pytest.approx([expected] * 2, rel=1e-3)


def test_over_the_inputs_of_sequences_of_different_lengths():
    model = nn.ModuleDict({"rnn": nn.LSTM(4, 4)})
    sequences = [torch.randn(length, 4, requires_grad=True) for length in (T, T - 4, T - 7)]
    found = measured(model, lambda: model["rnn"](pack_sequence([each * 2 for each in sequences]))[1][0].square().mean())
    (value,) = {round(value, 6) for value in found["rnn"]}
    assert value < -1


def test_data_that_enter_a_fused_sequence_show_nothing():
    model, x = nn.ModuleDict({"rnn": nn.LSTM(3, 4)}), torch.randn(T, 5, 3)
    assert measured(model, lambda: model["rnn"](x)[1][0].square().mean()) == {}


def test_a_loss_of_all_outputs_hides_what_was_forgotten():
    model, x = nn.ModuleDict({"rnn": nn.RNN(3, 4)}), torch.randn(T, 5, 3)
    ((value, _),) = measured(model, lambda: model["rnn"](x)[0].square().mean()).values()
    assert abs(value) < 1


def test_each_forward_pass_is_a_sequence_of_its_own():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.RNNCell(3, 4)

        def forward(self, x):
            h = None
            for x_t in x:
                h = self.cell(x_t, h)
            return h

    model, x = Net(), torch.randn(T, 5, 3)
    once = measured(model, lambda: model(x).square().mean())
    twice = measured(model, lambda: model(x).square().mean() + model(x).square().mean())
    assert twice["cell"] == pytest.approx(once["cell"], rel=1e-4)


def test_a_module_that_does_not_feed_itself_has_no_time():
    model = nn.ModuleDict({"policy": nn.Linear(3, 1)})
    x = torch.randn(T, 5, 3)
    discounted = [0.5**t for t in range(T)]
    assert (
        measured(model, lambda: sum(w * model["policy"](x_t).mean() for w, x_t in zip(discounted, x, strict=True)))
        == {}
    )


@given(st.lists(st.floats(1e-30, 1e30), min_size=FEW_STEPS, max_size=30), st.floats(1e-5, 1e5))
def test_no_scale_changes_what_is_found(values, scale):
    rms_T = np.array(values)
    plain, scaled = decades(rms_T), decades(rms_T * scale)
    assert plain == pytest.approx(scaled, rel=1e-6, abs=1e-6) or 0.0 in (plain, scaled)  # R² on the limit


def test_few_steps_zeros_and_states_without_delta():
    line = 10.0 ** np.arange(10)
    assert decades(line) == pytest.approx(-9)
    assert decades(line[:7]) is None
    assert decades(np.where(line > 10, line, 0)) == pytest.approx(-9), "those that ran out of the format count"
    assert decades(np.zeros(20)) is None
    assert decades(np.array([1.0, 1e3] * 10)) == 0
    squares, sizes = line**2, np.where(np.arange(10) < 2, 0, 1.0)
    assert over_calls(squares, sizes, [0] * 10) == pytest.approx(-7), "no δ came through a detached state"
    assert over_calls(squares[:4], sizes[:4], [0] * 4) is None
