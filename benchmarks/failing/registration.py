"""Layers that the model does not know."""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, failure, minimize, moved

CLASSIFIED = 1.0
STILL = 0.5


@failure("MLP", ["unregistered-parameters"], STILL, modules=("blocks",))
def layers_in_a_list(fixed: bool, watch: Watch) -> float:
    """The hidden layers are in a plain list."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            blocks = [nn.Linear(64, 64) for _ in range(3)]
            self.blocks = nn.ModuleList(blocks) if fixed else blocks
            self.out = nn.Linear(64, 10)

        def forward(self, x):
            for block in self.blocks:
                x = F.relu(block(x))
            return self.out(x)

    net = Net()
    before = net.blocks[0].weight.detach().clone()

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-3), loss_of, 60)
    return moved(before, net.blocks[0].weight.detach())


@failure("transformer", ["unregistered-parameters"], STILL, modules=("heads",))
def heads_in_a_dict(fixed: bool, watch: Watch) -> float:
    """A head for each task, in a plain dict."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
            heads = {"digit": nn.Linear(64, 10), "even": nn.Linear(64, 2)}
            self.heads = nn.ModuleDict(heads) if fixed else heads

        def forward(self, x):
            h = self.body(x.reshape(-1, 4, 16)).flatten(1)
            return self.heads["digit"](h), self.heads["even"](h)

    net = Net()
    before = net.heads["even"].weight.detach().clone()

    def loss_of():
        x, y = digits()
        digit, even = net(x)
        return F.cross_entropy(digit, y) + F.cross_entropy(even, y % 2)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-3), loss_of, 60)
    return moved(before, net.heads["even"].weight.detach())


@failure("MLP", ["unregistered-parameters"], CLASSIFIED)
def layer_made_in_forward(fixed: bool, watch: Watch) -> float:
    """The last layer is made anew in each forward pass, because its width was not known before."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(64, 64)
            if fixed:
                self.out = nn.Linear(64, 10)

        def forward(self, x):
            h = F.relu(self.body(x))
            return self.out(h) if fixed else nn.Linear(h.shape[1], 10)(h)

    net = Net()

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 100)


@failure("RNN", ["unregistered-parameters"], STILL, modules=("start",))
def start_in_a_tuple(fixed: bool, watch: Watch) -> float:
    """The learned first state of an LSTM is a tuple of parameters."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.out = nn.LSTM(4, 16, batch_first=True), nn.Linear(16, 1)
            start = tuple(nn.Parameter(torch.zeros(1, 1, 16)) for _ in range(2))
            self.start = nn.ParameterList(start) if fixed else start

        def forward(self, x):
            h, c = (each.expand(1, len(x), 16).contiguous() for each in self.start)
            return self.out(self.lstm(x, (h, c))[0][:, -1])

    net = Net()
    before = net.start[0].detach().clone()

    def loss_of():
        x = torch.randn(64, 6, 4)
        return F.mse_loss(net(x), x[:, :, 0].mean(1, keepdim=True) + 1)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 100)
    return moved(before, net.start[0].detach())
