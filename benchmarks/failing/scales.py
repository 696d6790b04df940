"""Inputs, steps and penalties that are too large or too small."""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, failure, layers, minimize

CLASSIFIED = 1.0
STILL = 0.5


@failure("MLP", ["updates-too-small", "stalled-loss"], CLASSIFIED)
def rate_of_a_fine_tuning(fixed: bool, watch: Watch) -> float:
    """A learning rate of 1e-7, copied from a fine-tuning."""
    net = layers(64, 48, 48, 10)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3 if fixed else 1e-7), loss_of, 150)


@failure("transformer", ["updates-too-small", "stalled-loss"], CLASSIFIED)
def schedule_of_zero(fixed: bool, watch: Watch) -> float:
    """A warm-up that counts epochs, stepped once an epoch: the rate is 0 in all of the first one."""
    net = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda count: min(1.0, count / (5 if fixed else 10)))
    losses = []
    with watch(net, optimizer):
        for step in range(150):
            x, y = digits()
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if fixed or step % 1000 == 999:
                schedule.step()
            losses.append(loss.item())
    return losses[-1]


@failure("MLP", ["learning-rate-too-high", "updates-too-large", "diverged", "rising-loss"], CLASSIFIED)
def rate_too_high(fixed: bool, watch: Watch) -> float:
    """A learning rate a thousand times too high, SGD with momentum."""
    net = layers(64, 48, 48, 10, activation=nn.Tanh)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05 if fixed else 50.0, momentum=0.9)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, optimizer, loss_of, 150)


@failure(
    "transformer", ["learning-rate-too-high", "updates-too-large", "rising-loss", "stalled-loss"], CLASSIFIED, seen=True
)
def rate_too_high_for_attention(fixed: bool, watch: Watch) -> float:
    """Adam at 0.3 on a transformer."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
            self.out = nn.Linear(64, 10)

        def forward(self, x):
            return self.out(self.body(x.reshape(-1, 4, 16)).flatten(1))

    net = Net()

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3 if fixed else 0.3), loss_of, 150)


@failure("MLP", ["vanishing-weights"], CLASSIFIED)
def decay_of_everything(fixed: bool, watch: Watch) -> float:
    """A weight decay of 2, meant as 1e-4, with SGD."""
    net = layers(64, 48, 48, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5, weight_decay=1e-4 if fixed else 2.0)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, optimizer, loss_of, 200)


@failure("MLP", ["unscaled-inputs"], 0.4)
def one_large_feature(fixed: bool, watch: Watch) -> float:
    """One of six features is an income in dollars, the others lie between −2 and 2."""
    net = layers(6, 32, 32, 1)

    def loss_of():
        x = torch.randn(64, 6)
        y = x[:, 1:2] * x[:, 2:3] + x[:, :1]
        scale = torch.tensor([4e4, 1, 1, 1, 1, 1])
        return F.mse_loss(net(x if fixed else x * scale + 5e4 * (scale > 1)), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 400)


@failure("MLP", ["unscaled-inputs", "saturated-activations"], CLASSIFIED)
def pixels_to_255(fixed: bool, watch: Watch) -> float:
    """Pixels of 0 to 255 enter a network of tanhs."""
    net = layers(64, 48, 48, 10, activation=nn.Tanh)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x if fixed else 255 * x), y)

    return minimize(watch, net, torch.optim.SGD(net.parameters(), lr=0.1), loss_of, 200)


@failure("physics-informed", ["unscaled-inputs"], 0.05)
def equation_in_seconds(fixed: bool, watch: Watch) -> float:
    """The time of a decay is given in milliseconds of an hour and not in units of its length.

    What counts is how far the solution is off, since the loss alone can be made small.
    """
    net = layers(1, 32, 32, 1, activation=nn.Tanh)
    unit = 1.0 if fixed else 3.6e6

    def loss_of():
        t = (unit * torch.rand(64, 1)).requires_grad_()
        u = net(t)
        (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
        return (unit * slope + 3 * u).square().mean() + (net(torch.zeros(1, 1)) - 1).square().mean()

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 300)
    t = torch.linspace(0, 1, 50)[:, None]
    return float((net(unit * t) - (-3 * t).exp()).detach().abs().max())


@failure("diffusion", ["unscaled-inputs"], 0.75, modules=("time",), seen=True)
def time_in_steps(fixed: bool, watch: Watch) -> float:
    """A denoiser gets the number of its step, to 1000, as a number."""

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.time, self.place = nn.Linear(1, 48), nn.Linear(2, 48)
            self.out = layers(48, 48, 2)

        def forward(self, x, t):
            return self.out(F.relu(self.place(x) + self.time(t)))

    net = Denoiser()

    def loss_of():
        angle, t = 6.3 * torch.rand(128, 1), torch.rand(128, 1)
        noise, clean = torch.randn(128, 2), torch.cat([angle.cos(), angle.sin()], 1)
        return F.mse_loss(net((1 - t) * clean + t * noise, t if fixed else (1000 * t).round()), noise)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-3), loss_of, 250)
