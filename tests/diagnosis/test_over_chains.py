"""Vanishing and exploding gradients over the chains of networks that are no chain; each is trained for a few steps."""

from itertools import pairwise

import polars as pl
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab.diagnosis import NotApplicable, examine
from gradlab.tables import Tables

RULES = ("vanishing-gradient", "exploding-gradient")
SCALES = [1e-4, 1.0, 1e4]


def found(tables, *, rate=None):
    """Of the rules on gradients, what they say: [(rule, severity, first module, last module)]."""
    answers = examine(tables)
    return [
        (finding.rule, finding.severity, finding.modules[0], finding.modules[-1])
        for rule in RULES
        if not isinstance(answers[rule], NotApplicable)
        for finding in answers[rule]
    ]


def trained(model, loss_of, *, steps=8, rate=1e-3, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=rate)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of().backward()
            optimizer.step()
    return recorder.tables


def without_graph(tables):
    return Tables(layers=tables.layers, steps=tables.steps, summary=tables.summary)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def deep(depth, width=32, activation=nn.ReLU, gain=2.0**0.5, out=1):
    """A network whose δ keeps its size with the gain √2 of ReLU, and loses the more of it the smaller the gain is."""
    parts = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=gain / width**0.5)
        nn.init.zeros_(linear.bias)
        parts += [linear, activation()]
    return nn.Sequential(*parts, nn.Linear(width, out))


# ------------------------------------------------------------------------------------------------ several networks


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("batch", [4, 64])
def test_two_sound_networks_are_sound_whatever_their_losses_weigh(scale, batch):
    model = nn.ModuleDict({"a": deep(4), "b": deep(4)})

    def loss():
        x = torch.randn(batch, 32)
        return functional.mse_loss(model["a"](x), x[:, :1]) + scale * functional.mse_loss(model["b"](x), x[:, 1:2])

    tables = trained(model, loss)
    assert found(tables) == []
    if scale == 1e-4:  # the trap: as one chain they vanish
        assert {rule for rule, *_ in found(without_graph(tables))} <= set(RULES)
        assert found(without_graph(tables))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("batch", [4, 64])
def test_one_of_two_networks_vanishes_whatever_their_losses_weigh(scale, batch):
    model = nn.ModuleDict({"a": deep(8, gain=0.5), "b": deep(8)})

    def loss():
        x = torch.randn(batch, 32)
        return functional.mse_loss(model["b"](x), x[:, 1:2]) + scale * functional.mse_loss(model["a"](x), x[:, :1])

    assert found(trained(model, loss)) == [("vanishing-gradient", "error", "a.0", "a.14")]


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("apart", [False, True], ids=["one backward pass", "two backward passes"])
def test_two_heads_on_a_trunk_are_sound_whatever_their_losses_weigh(scale, apart):
    model = nn.ModuleDict({"trunk": deep(4, out=32), "a": deep(4), "b": deep(3)})

    def loss():
        x = torch.randn(16, 32)
        h = model["trunk"](x)
        one, other = functional.mse_loss(model["a"](h), x[:, :1]), functional.mse_loss(model["b"](h), x[:, 1:2])
        if apart:
            (scale * one).backward(retain_graph=True)
            return other
        return scale * one + other

    assert found(trained(model, loss)) == []


def test_an_actor_and_a_critic_are_two_networks():
    model = nn.ModuleDict({"actor": deep(4, out=8), "critic": deep(4, width=40)})
    actor, critic = (torch.optim.SGD(model[name].parameters(), lr=1e-3) for name in ("actor", "critic"))
    for scale in (1e-4, 1.0, 1e4):
        with gradlab.watch(model, [critic, actor], strict=True) as recorder:
            for _ in range(6):
                x = torch.randn(16, 32)
                q = model["critic"](torch.cat([x, model["actor"](x).detach()], 1))
                critic.zero_grad()
                (scale * q.square().mean()).backward()
                critic.step()
                actor.zero_grad()
                (-model["critic"](torch.cat([x, model["actor"](x)], 1)).mean()).backward()
                actor.step()
        assert found(recorder.tables) == []


def test_several_losses_along_one_network_are_sound():
    model = nn.ModuleList([deep(1, out=32) for _ in range(6)])
    heads = nn.ModuleList([nn.Linear(32, 1) for _ in range(6)])

    def loss():
        h = x = torch.randn(16, 32)
        total = 0.0
        for number, (part, head) in enumerate(zip(model, heads, strict=True)):
            h = part(h)
            total = total + 10.0 ** (-number) * functional.mse_loss(head(h), x[:, :1])
        return total

    assert found(trained(nn.ModuleList([model, heads]), loss)) == []


# ------------------------------------------------------------------------------------------------ branches and sums


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-3])
def test_branches_that_a_small_number_or_a_gate_scales_are_no_slope(scale):
    """δ in a residual branch is scaled as the branch is; the sum hands it on as it is."""
    model = nn.ModuleDict({"in": nn.Linear(32, 32), "parts": nn.ModuleList([deep(2, out=32) for _ in range(6)])})
    model["out"] = nn.Linear(32, 1)
    gates = nn.ParameterList([nn.Parameter(torch.tensor(scale)) for _ in range(6)])

    def loss():
        x = torch.randn(16, 32)
        h = model["in"](x)
        for part, gate in zip(model["parts"], gates, strict=True):
            h = h + gate * part(h)
        return functional.mse_loss(model["out"](h), x[:, :1])

    assert found(trained(model, loss)) == []


def test_a_gate_on_a_branch_is_no_slope():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(32, 32) for _ in range(4)])
            self.gates = nn.ModuleList([nn.Linear(32, 32) for _ in range(4)])
            for gate in self.gates:
                nn.init.constant_(gate.bias, -6.0)
            self.out = nn.Linear(32, 1)

        def forward(self, x):
            for layer, gate in zip(self.layers, self.gates, strict=True):
                x = x + torch.sigmoid(gate(x)) * torch.tanh(layer(x))
            return self.out(x)

    model = Gated()

    def loss():
        x = torch.randn(16, 32)
        return functional.mse_loss(model(x), x[:, :1])

    assert found(trained(model, loss)) == []


@pytest.mark.parametrize("pixels", [4, 16])
def test_gates_that_average_all_pixels_are_no_slope(pixels):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.gate = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8), nn.Sigmoid())

        def forward(self, x):
            h = functional.relu(self.norm(self.conv(x)))
            return x + h * self.gate(h.mean((2, 3)))[:, :, None, None]

    parts = [nn.Conv2d(1, 8, 3, padding=1), *[Gated() for _ in range(5)], nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*parts, nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    assert found(trained(model, lambda: model(torch.randn(8, 1, pixels, pixels)).square().mean())) == []


def test_a_residual_network_that_explodes_is_found():
    model = nn.ModuleDict({"parts": nn.ModuleList([deep(1, gain=3.0, out=32) for _ in range(12)])})
    for part in model["parts"]:
        nn.init.normal_(part[2].weight, std=3.0 / 32**0.5)
    model["out"] = nn.Linear(32, 1)

    def loss():
        h = x = torch.randn(16, 32)
        for part in model["parts"]:
            h = h + part(h)
        return functional.mse_loss(model["out"](h), x[:, :1])

    ((rule, severity, *_),) = found(trained(model, loss, rate=1e-20))
    assert (rule, severity) == ("exploding-gradient", "error")


# ------------------------------------------------------------------------------------------------ numbers of entries


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1), "mean", "sum"], ids=str)
@pytest.mark.parametrize("size", [8, 32])
def test_a_pool_over_all_pixels_is_no_slope(pool, size):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [3, 16, 16, 16]
            self.convs = nn.ModuleList([nn.Conv2d(n, m, 3, padding=1) for n, m in pairwise(widths)])
            self.pool = pool if isinstance(pool, nn.Module) else nn.Identity()
            self.head = deep(3, width=16)
            for conv in self.convs:
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")

        def forward(self, x):
            for conv in self.convs:
                x = functional.relu(conv(x))
            x = self.pool(x)
            x = x.mean((2, 3)) if pool != "sum" else x.sum((2, 3)) / size**2
            return self.head(x)

    model = Net()

    def loss():
        x = torch.randn(8, 3, size, size)
        return functional.mse_loss(model(x), x[:, 0, :1, 0])

    tables = trained(model, loss)
    assert found(tables) == []


def test_layers_that_get_narrower_and_a_choice_of_positions_are_no_slope():
    widths = [512, 256, 128, 64, 32, 16, 8, 1]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(n, m) for n, m in pairwise(widths)])
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)

        def forward(self, x):
            for number, layer in enumerate(self.layers):
                x = layer(x)
                if number == 2:
                    x = x[:, 0]
                if number < len(self.layers) - 1:
                    x = functional.relu(x)
            return x

    model = Net()
    assert found(trained(model, lambda: model(torch.randn(8, 50, 512)).square().mean(), rate=1e-5)) == []


# ------------------------------------------------------------------------------------------------ normalizations


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_scale_of_weights_before_a_normalization_says_nothing(scale):
    parts = []
    for number in range(6):
        linear = nn.Linear(32, 32, bias=False)
        nn.init.normal_(linear.weight, std=scale ** (number / 5) / 32**0.5)
        parts += [linear, nn.BatchNorm1d(32, eps=1e-20), nn.Dropout(0.0), nn.ReLU()]
    model = nn.Sequential(*parts, nn.Linear(32, 1))

    def loss():
        x = torch.randn(64, 32)
        return functional.mse_loss(model(x), x[:, :1])

    assert found(trained(model, loss, rate=1e-30)) == []


# ------------------------------------------------------------------------------------------------ few layers


class Scaled(nn.ReLU):
    """A ReLU whose δ is multiplied with a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        y = super().forward(x)
        return self.factor * y + (1 - self.factor) * y.detach()


def few(factor, optimizer=torch.optim.SGD):
    """Two layers between which δ shrinks by a factor."""
    model = deep(2)
    model[1] = Scaled(factor)

    def loss():
        x = torch.randn(16, 32)
        return functional.mse_loss(model(x), x[:, :1])

    return found(trained(model, loss, optimizer=optimizer(model.parameters(), lr=1e-5)))


def test_two_layers_are_judged_by_how_their_weights_move():
    assert few(1.0) == []
    ((rule, _, first, last),) = few(1e-4)
    assert (rule, first, last) == ("vanishing-gradient", "0", "2")


def test_two_layers_whose_weights_move_alike_are_sound():
    """Adam divides by the size of the gradient, so that its scale does not matter."""
    assert few(1e-4, torch.optim.Adam) == []


def test_few_layers_without_updates_are_not_judged():
    model = deep(2)
    model[1] = Scaled(1e-4)
    tables = trained(model, lambda: model(torch.randn(8, 32)).square().mean())
    cleared = tables.layers.with_columns(pl.lit(None, pl.Float64).alias("update_ratio"))
    assert found(Tables(layers=cleared, modules=tables.modules)) == []


# ------------------------------------------------------------------------------------------------ an unknown graph


def test_without_a_graph_the_order_of_calls_is_taken_and_said():
    model = deep(8, gain=0.5)
    tables = trained(model, lambda: model(torch.randn(8, 32)).square().mean())
    ((rule, severity, *_),) = found(tables)
    assert (rule, severity) == ("vanishing-gradient", "error")
    (finding,) = examine(without_graph(tables))["vanishing-gradient"]
    assert finding.severity == "warning"
    assert "in the order in which they were called" in finding.message


def test_a_damaged_graph_is_no_graph():
    model = deep(8, gain=0.5)
    tables = trained(model, lambda: model(torch.randn(8, 32)).square().mean())
    twice = pl.concat([tables.modules, tables.modules])
    (finding,) = examine(Tables(layers=tables.layers, modules=twice))["vanishing-gradient"]
    assert "in the order in which they were called" in finding.message
    circle = tables.modules.with_columns(before=pl.lit(["14"]), averaged=pl.lit([1.0]))
    assert examine(Tables(layers=tables.layers, modules=circle))


# ------------------------------------------------------------------------------------------------ forward signals


def signals(tables):
    answers = examine(tables)
    rules = ("signal-collapse", "signal-explosion")
    return [f.rule for rule in rules if not isinstance(answers[rule], NotApplicable) for f in answers[rule]]


def test_a_final_sigmoid_and_a_gate_are_no_collapse():
    """A picture that is nearly black, and a gate that is nearly shut, are behind and beside the signal."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = deep(5, out=32)
            self.gate = nn.Linear(32, 32)
            self.out = nn.Linear(32, 8)
            nn.init.constant_(self.gate.bias, -9.0)
            nn.init.constant_(self.out.bias, -9.0)

        def forward(self, x):
            h = self.body(x)
            return torch.sigmoid(self.out(h + torch.sigmoid(self.gate(x)) * h))

    model = Net()
    tables = trained(model, lambda: model(torch.randn(16, 32)).square().mean())
    assert signals(tables) == []


def test_a_sine_network_is_no_collapse():
    class Sine(nn.Module):
        def forward(self, x):
            return torch.sin(30 * x)

    parts = []
    for number, (n, m) in enumerate(pairwise([2, 64, 64, 64, 64, 64])):
        linear = nn.Linear(n, m)
        bound = 1 / n if number == 0 else (6 / n) ** 0.5 / 30
        nn.init.uniform_(linear.weight, -bound, bound)
        parts += [linear, Sine()]
    model = nn.Sequential(*parts, nn.Linear(64, 1))
    tables = trained(model, lambda: functional.mse_loss(model(2 * torch.rand(64, 2) - 1), torch.rand(64, 1)), rate=1e-6)
    assert signals(tables) == []
    assert found(tables) == []


@pytest.mark.parametrize(("gain", "rule"), [(0.5, "signal-collapse"), (4.0, "signal-explosion"), (2.0**0.5, None)])
def test_a_signal_that_fades_or_grows_beside_a_sound_network(gain, rule):
    model = nn.ModuleDict({"a": deep(8, gain=gain), "b": deep(3)})

    def loss():
        x = torch.randn(16, 32)
        return model["a"](x).square().mean() + model["b"](x).square().mean()

    assert signals(trained(model, loss, rate=1e-30)) == ([rule] if rule else [])
