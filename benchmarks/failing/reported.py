"""Failures that people have reported in public, made again, small: the facts carry over and not the code.

The address of each report stands in its docstring.
"""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, layers, minimize, moved, reported

STILL = 0.5
CLASSIFIED = 1.0


@reported("RNN", ["unregistered-parameters"], STILL, modules=("levels",), tolerated=("vanishing-gradient",))
def cells_in_a_list(fixed: bool, watch: Watch) -> float:
    """The cells of a two-level LSTM are in a plain list.

    ikostrikov/pytorch-meta-optimizer#11, pytorch/pytorch#715.
    """

    class Levels(nn.Module):
        def __init__(self):
            super().__init__()
            levels = [nn.LSTMCell(8, 20), nn.LSTMCell(20, 20)]
            self.levels = nn.ModuleList(levels) if fixed else levels
            self.out = nn.Linear(20, 10)

        def forward(self, x):
            states = [(x.new_zeros(len(x), 20),) * 2 for _ in self.levels]
            for line in x.reshape(-1, 8, 8).unbind(1):
                h = line
                for number, cell in enumerate(self.levels):
                    states[number] = cell(h, states[number])
                    h = states[number][0]
            return self.out(h)

    net = Levels()
    before = net.levels[0].weight_hh.detach().clone()

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 100)
    return moved(before, net.levels[0].weight_hh.detach())


@reported("RL", ["output-mismatch", "stalled-loss"], 5.0)
def values_that_are_shares(fixed: bool, watch: Watch) -> float:
    """A softmax on the values of a Q network: no value exceeds 1, and the returns do.

    thu-ml/tianshou#725.
    """

    class Values(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = layers(4, 48, 48, 3)

        def forward(self, x):
            values = self.body(x)
            return values if fixed else values.softmax(-1)

    net = Values()

    def loss_of():
        state, action = torch.rand(64, 4), torch.randint(0, 3, (64, 1))
        returns = 8 + 4 * state[:, :1] * action
        return F.smooth_l1_loss(net(state).gather(1, action), returns)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 300)


@reported("CNN", ["no-gradient", "dead-units", "output-mismatch"], 1.0)
def counts_behind_a_relu(fixed: bool, watch: Watch) -> float:
    """A map of densities ends with a ReLU that is off everywhere from the start.

    jvargasmu/population_estimation#68.
    """
    net = nn.Sequential(nn.Conv2d(2, 12, 1), nn.ReLU(), nn.Conv2d(12, 1, 1), nn.Softplus() if fixed else nn.ReLU())
    with torch.no_grad():  # what an unlucky draw does now and then
        net[2].weight.copy_(-net[2].weight.abs())
        net[2].bias.fill_(-0.2)

    def loss_of():
        x = torch.rand(32, 2, 6, 6)
        return F.l1_loss(net(x).sum((1, 2, 3)) / 36, 3 * x.mean((1, 2, 3)) + 1)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 300)


@reported("physics-informed", ["no-gradient", "stalled-loss"], 1.0)
def second_derivative_of_relu(fixed: bool, watch: Watch) -> float:
    """The equation needs a second derivative, which a network of ReLUs does not have.

    lululxvi/deepxde#80, ComputationalDomain/PINNs#1.
    """
    net = layers(1, 32, 32, 1, activation=nn.SiLU if fixed else nn.ReLU)

    def loss_of():
        x = torch.rand(64, 1).requires_grad_()
        u = x * (1 - x) * net(x) if fixed else net(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        bend = torch.zeros_like(x)
        if slope.requires_grad:
            (found,) = torch.autograd.grad(slope.sum(), x, create_graph=True, allow_unused=True)
            bend = bend if found is None else found
        residual = (bend - 12 * (6.3 * x).sin()).square().mean()
        return residual if fixed else residual + net(torch.tensor([[0.0], [1.0]])).square().mean()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 400)


@reported(
    "transformer", ["no-gradient", "symmetric-units"], STILL, modules=("gate",), tolerated=("saturated-activations",)
)
def gate_of_two_zeros(fixed: bool, watch: Watch) -> float:
    """A gate between two sources is made of two layers that both start at 0.

    yz93/LAVT-RIS#25.
    """

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other, self.out = nn.Linear(12, 24), nn.Linear(6, 24), nn.Linear(24, 3)
            first, second = nn.Linear(24, 24, bias=False), nn.Linear(24, 24, bias=False)
            nn.init.zeros_(second.weight)
            if not fixed:
                nn.init.zeros_(first.weight)
            self.gate = nn.Sequential(first, nn.ReLU(), second, nn.Tanh())

        def forward(self, a, b):
            told = F.relu(self.other(b))
            return self.out(F.relu(self.one(a)) + self.gate(told) * told)

    net = Gated()
    before = net.gate[2].weight.detach().clone()

    def loss_of():
        a, b = torch.randn(64, 12), torch.randn(64, 6)
        return F.cross_entropy(net(a, b), b[:, :3].argmax(1))

    minimize(watch, net, torch.optim.AdamW(net.parameters(), lr=3e-3), loss_of, 200)
    return moved(before, net.gate[2].weight.detach())


@reported("RL", ["saturated-activations", "unscaled-inputs"], 0.2, modules=("actor",))
def actor_of_raw_states(fixed: bool, watch: Watch) -> float:
    """An actor whose states are not scaled drives its tanh to the bounds; the share of actions there.

    ZhihanLee/DDPG_Learning#2.
    """
    net = nn.ModuleDict({"actor": layers(4, 48, 48, 1).append(nn.Tanh()), "critic": layers(5, 48, 48, 1)})
    rates = {"actor": 1e-4 if fixed else 1e-3, "critic": 1e-3}
    optimizers = [torch.optim.Adam(net[name].parameters(), lr=rates[name]) for name in ("critic", "actor")]
    scale = torch.tensor([400.0, 60.0, 900.0, 30.0])
    with watch(net, optimizers):
        for _ in range(250):
            z = torch.randn(64, 4)
            state = z if fixed else (z + 1) * scale
            action = (net["actor"](state) + 0.1 * torch.randn(64, 1)).clamp(-1, 1).detach()
            reward = -(action - 0.5 * z[:, :1].tanh()).square()
            loss = F.mse_loss(net["critic"](torch.cat([state, action], 1)), reward)
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
            loss = -net["critic"](torch.cat([state, net["actor"](state)], 1)).mean()
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
    return float((net["actor"](state).abs() > 0.99).float().mean())


@reported("RNN", ["no-gradient"], STILL, modules=("attention",))
def attention_replaced(fixed: bool, watch: Watch) -> float:
    """What the attention computes is replaced by zeros before anything reads it.

    INK-USC/RE-Net#6.
    """

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.attention = nn.Embedding(12, 16), nn.Linear(16, 1)
            self.rnn, self.out = nn.GRU(16, 16, batch_first=True), nn.Linear(16, 12)

        def forward(self, x):
            h = self.tokens(x)
            read = (self.attention(h).softmax(2) * h).sum(2)
            return self.out(self.rnn(read if fixed else torch.zeros_like(read))[0][:, -1])

    net = Reader()
    before = net.attention.weight.detach().clone()

    def loss_of():
        x = torch.randint(0, 12, (64, 4, 2))
        return F.cross_entropy(net(x), x[:, -1].max(1).values)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=5e-3), loss_of, 250)
    return moved(before, net.attention.weight.detach())


@reported("RNN", ["exploding-gradient", "signal-explosion"], 1.05)
def linear_recurrence(fixed: bool, watch: Watch) -> float:
    """A recurrence of one linear layer over sixty time steps grows with each of them.

    pytorch/pytorch#2623.
    """

    class Recurrence(nn.Module):
        def __init__(self):
            super().__init__()
            self.state, self.out = nn.Linear(48, 40), nn.Linear(48, 3)
            nn.init.normal_(self.state.weight, std=1.2 / 40**0.5)
            if fixed:
                nn.init.orthogonal_(self.state.weight[:, 8:].data)

        def forward(self, x):
            h = x.new_zeros(len(x), 40)
            for t in range(x.shape[1]):
                both = torch.cat([x[:, t], h], 1)
                h = self.state(both)
            return self.out(both)

    net = Recurrence()
    optimizer = torch.optim.SGD(net.parameters(), lr=5e-3)
    losses = []
    with watch(net, optimizer):
        for _ in range(150):
            y = torch.randint(0, 3, (32,))
            x = 0.1 * torch.randn(32, 60, 8)
            x[:, -4, :3] += F.one_hot(y, 3)
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            if fixed:
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    return sorted(losses[-10:])[5] if losses[-1] == losses[-1] else float("nan")


@reported("CNN", ["vanishing-gradient"], 1.6)
def deep_without_normalization(fixed: bool, watch: Watch) -> float:
    """Thirteen convolutions with weights from N(0, 0.01) and no normalization.

    soumith/imagenet-multiGPU.torch#63.
    """
    net, before = nn.Sequential(nn.Unflatten(1, (1, 8, 8))), 1
    for number, width in enumerate([8] * 2 + [12] * 3 + [16] * 8):
        convolution = nn.Conv2d(before, width, 3, padding=1)
        nn.init.normal_(convolution.weight, std=0.01)
        nn.init.zeros_(convolution.bias)
        net.extend([convolution, *([nn.BatchNorm2d(width)] if fixed else []), nn.ReLU()])
        if number in (4, 9):
            net.append(nn.MaxPool2d(2))
        before = width
    net.extend([nn.Flatten(), nn.Linear(64, 10)])

    def loss_of():
        x, y = digits(32)
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9), loss_of, 150)
