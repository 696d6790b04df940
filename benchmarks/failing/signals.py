"""Signals that vanish, explode, die or saturate on their way through the network."""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, failure, layers, minimize, pictures

CLASSIFIED = 1.0
"""A cross-entropy over ten classes below this has learned; guessing has 2.3."""


@failure("MLP", ["vanishing-gradient"], CLASSIFIED)
def deep_sigmoids(fixed: bool, watch: Watch) -> float:
    """Ten layers of sigmoids."""
    net = layers(64, *10 * [48], 10, activation=nn.ReLU if fixed else nn.Sigmoid)
    for layer in net:
        if isinstance(layer, nn.Linear):
            (nn.init.kaiming_normal_ if fixed else nn.init.xavier_uniform_)(layer.weight)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-3), loss_of, 200)


@failure("MLP", ["exploding-gradient", "signal-explosion"], CLASSIFIED)
def large_weights(fixed: bool, watch: Watch) -> float:
    """Weights drawn from a far too wide Gaussian in fifteen layers of ReLUs."""
    net = layers(64, *15 * [48], 10)
    for layer in net:
        if isinstance(layer, nn.Linear):
            if fixed:
                nn.init.kaiming_normal_(layer.weight)
            else:
                nn.init.normal_(layer.weight, std=0.4)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.SGD(net.parameters(), lr=0.02), loss_of, 200)


@failure("CNN", ["vanishing-gradient"], 1.5)
def convolutions_of_tanh(fixed: bool, watch: Watch) -> float:
    """Twelve convolutions with tiny weights, tanh, and no normalization."""
    net = nn.Sequential()
    for number in range(12):
        convolution = nn.Conv2d(8 if number else 1, 8, 3, padding=1)
        if not fixed:
            nn.init.normal_(convolution.weight, std=0.05)
        net.extend([convolution, *([nn.BatchNorm2d(8)] if fixed else []), nn.Tanh()])
    net.extend([nn.Flatten(), nn.Linear(512, 10)])

    def loss_of():
        x, y = pictures(32)
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.SGD(net.parameters(), lr=0.05), loss_of, 120)


@failure("RNN", ["vanishing-gradient", "stalled-loss"], 0.3)
def long_memory(fixed: bool, watch: Watch) -> float:
    """A plain recurrence with small weights has to remember the first of fifty symbols."""

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(6, 32, batch_first=True)
            self.out = nn.Linear(32, 4)
            if fixed:
                nn.init.eye_(self.rnn.weight_hh_l0)
                nn.init.normal_(self.rnn.weight_ih_l0, std=0.1)
            else:
                nn.init.normal_(self.rnn.weight_hh_l0, std=0.05)

        def forward(self, x):
            return self.out(self.rnn(x)[0][:, -1])

    net, length = Reader(), 15 if fixed else 50

    def loss_of():
        y = torch.randint(0, 4, (64,))
        x = 0.1 * torch.randn(64, length, 6)
        x[:, 0, :4] += F.one_hot(y, 4)
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 250)


@failure("RNN", ["exploding-gradient", "signal-explosion", "diverged", "learning-rate-too-high"], 1.0)
def growing_recurrence(fixed: bool, watch: Watch) -> float:
    """A cell of linear layers multiplies its state by more than one, forty times."""

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.keep, self.out = nn.Linear(4, 32), nn.Linear(32, 32, bias=False), nn.Linear(32, 4)
            nn.init.orthogonal_(self.keep.weight, gain=0.8 if fixed else 1.4)

        def forward(self, x):
            h = x.new_zeros(len(x), 32)
            for t in range(x.shape[1]):
                h = self.keep(h) + self.read(x[:, t])
            return self.out(h)

    net = Cell()

    def loss_of():
        y = torch.randint(0, 4, (64,))
        x = 0.05 * torch.randn(64, 40, 4)
        x[:, -4] += F.one_hot(y, 4)
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.SGD(net.parameters(), lr=0.005 if fixed else 0.02), loss_of, 250)


@failure("MLP", ["dead-units", "no-gradient"], CLASSIFIED)
def dead_from_the_start(fixed: bool, watch: Watch) -> float:
    """Biases of −10 switch all ReLUs of a layer off."""
    net = layers(64, 64, 64, 10)
    if not fixed:
        nn.init.constant_(net[2].bias, -10.0)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.SGD(net.parameters(), lr=0.1), loss_of)


@failure("CNN", ["dead-units", "no-gradient", "learning-rate-too-high"], CLASSIFIED)
def killed_by_a_large_step(fixed: bool, watch: Watch) -> float:
    """The first steps of Adam are so large that all ReLUs go off."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3 if fixed else 1.0), loss_of)


@failure("MLP", ["symmetric-units"], CLASSIFIED)
def constant_weights(fixed: bool, watch: Watch) -> float:
    """All weights of the hidden layers start at the same number."""
    net = layers(64, 32, 32, 10, activation=nn.Tanh)
    if not fixed:
        for layer in net:
            if isinstance(layer, nn.Linear):
                nn.init.constant_(layer.weight, 0.01)
                nn.init.zeros_(layer.bias)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.SGD(net.parameters(), lr=0.2), loss_of, 250)


@failure("autoencoder", ["saturated-activations", "vanishing-gradient"], 0.05)
def saturated_autoencoder(fixed: bool, watch: Watch) -> float:
    """An autoencoder of tanhs whose weights start thirty times too large."""
    net = layers(64, 32, 8, 32, 64, activation=nn.Tanh)
    if not fixed:
        with torch.no_grad():
            for layer in net:
                if isinstance(layer, nn.Linear):
                    layer.weight.mul_(30)

    def loss_of():
        x, _ = digits()
        return F.mse_loss(net(x), x)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 300)


@failure("autoencoder", ["vanishing-gradient"], 0.07)
def deep_autoencoder(fixed: bool, watch: Watch) -> float:
    """An autoencoder of eight layers of sigmoids with a narrow middle."""
    net = layers(64, 48, 32, 16, 8, 16, 32, 48, 64, activation=nn.ELU if fixed else nn.Sigmoid)

    def loss_of():
        x, _ = digits()
        return F.mse_loss(net(x), x)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 200)


@failure("physics-informed", ["vanishing-gradient"], 0.05)
def deep_equation(fixed: bool, watch: Watch) -> float:
    """A network of eight layers of sigmoids shall satisfy u' = −u with u(0) = 1."""
    net = layers(1, *8 * [24], 1, activation=nn.Tanh if fixed else nn.Sigmoid)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)

    def loss_of():
        x = (3 * torch.rand(64, 1)).requires_grad_()
        u = net(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return (slope + u).square().mean() + (net(torch.zeros(1, 1)) - 1).square().mean()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-3), loss_of, 250)


@failure("transformer", ["no-gradient", "signal-collapse"], CLASSIFIED, modules=("embed",))
def normalized_to_nothing(fixed: bool, watch: Watch) -> float:
    """A layer normalization over a dimension of size 1 returns its bias, whatever it gets."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Linear(8, 32)
            self.norm = nn.LayerNorm(32 if fixed else 1)
            self.out = nn.Linear(256, 10)

        def forward(self, x):
            h = self.embed(x.reshape(-1, 8, 8))
            h = self.norm(h) if fixed else self.norm(h[..., None])[..., 0]
            return self.out(F.gelu(h).flatten(1))

    net = Net()

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of)
