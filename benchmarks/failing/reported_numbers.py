"""More failures that people have reported in public: numbers that are not finite or not scaled.

As in `reported.py`.
"""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, layers, minimize, reported

STILL = 0.5
CLASSIFIED = 1.0


@reported("autoencoder", ["diverged"], 500.0, modules=("logvar",), tolerated=("unscaled-inputs",))
def variance_without_a_limit(fixed: bool, watch: Watch) -> float:
    """The logarithm of a variance grows with unscaled columns, until its exponential overflows.

    vanderschaarlab/synthcity#331.
    """

    class Tabular(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.mean, self.logvar = layers(8, 48), nn.Linear(48, 3), nn.Linear(48, 3)
            self.decoder = layers(3, 48, 8)

        def forward(self, x):
            h = F.leaky_relu(self.body(x))
            mean, logvar = self.mean(h), self.logvar(h)
            logvar = logvar.clamp(-8, 4) if fixed else logvar
            return self.decoder(mean + torch.randn_like(mean) * (logvar / 2).exp()), mean, logvar

    net, count = Tabular(), iter(range(1000))

    def loss_of():
        x = torch.randn(64, 8)
        x[:, 4:] = (1.5 * x[:, 4:]).exp()
        if next(count) == 60:
            x[:8] = 3e5 * torch.eye(8)  # rows from the tail of the distribution
        found, mean, logvar = net(x)
        divergence = (mean.square() + logvar.exp() - logvar - 1).sum(1).mean() / 2
        return F.smooth_l1_loss(found, x) + 1e-3 * divergence

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 150)


@reported("MLP", ["diverged"], 1.5, phase="backward")
def positive_that_is_the_anchor(fixed: bool, watch: Watch) -> float:
    """A triplet loss takes the root of a sum of squares, which is 0 when a sample is drawn as its own partner.

    akanazawa/cmr#11, tensorflow/tensorflow#30199.
    """
    net, count = layers(64, 48, 16), iter(range(1000))

    def distance(a, b):
        squares = (a - b).square().sum(1)
        return (squares + 1e-7).sqrt() if fixed else squares.sqrt()

    def loss_of():
        x, y = digits()
        other = x + 0.1 * torch.randn_like(x)
        if next(count) == 50:
            other[5] = x[5]
        order = torch.randperm(len(x))
        near, far = distance(net(x), net(other)), distance(net(x), net(x[order]))
        return F.relu(near - far + 1)[y != y[order]].mean()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-3), loss_of, 120)


@reported("MLP", ["skipped-steps", "no-steps"], CLASSIFIED)
def epsilon_that_is_zero(fixed: bool, watch: Watch) -> float:
    """An epsilon of 1e-8 is 0 in float16: rows of padding give NaN, and the scaler skips every step.

    pytorch/pytorch#40497.
    """

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.out = nn.Linear(64, 48, bias=False), nn.Linear(48, 10)

        def forward(self, x):
            h = F.relu(self.body(x)).half()
            epsilon = torch.tensor(1e-3 if fixed else 1e-8).half()
            return self.out(h / (h.square().mean(1, keepdim=True) + epsilon).sqrt())

    net = Scaled()
    optimizer, scaler = torch.optim.Adam(net.parameters(), lr=3e-3), torch.amp.GradScaler("cpu")
    with watch(net, optimizer):
        for _ in range(120):
            x, y = digits()
            x[:2] = 0
            with torch.autocast("cpu", torch.float16):
                loss = F.cross_entropy(net(x).float(), y)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    return loss.item()


@reported("MLP", ["unscaled-inputs", "stalled-loss"], 0.1)
def cubes_of_thousands(fixed: bool, watch: Watch) -> float:
    """A regression from numbers to 3000 on their cubes, both as they are; the share of the variance that is left.

    discuss.pytorch.org/t/96648.
    """
    x = torch.arange(1.0, 3000.0)[:, None]
    y = x**3
    if fixed:
        x, y = ((each - each.mean()) / each.std() for each in (x, y))
    net = layers(1, 40, 1)

    def loss_of():
        chosen = torch.randint(0, len(x), (200,))
        return F.mse_loss(net(x[chosen]), y[chosen])

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=2e-3), loss_of, 400) / float(y.var())


@reported("MLP", ["gradients-not-cleared"], 0.05)
def two_samples_never_cleared(fixed: bool, watch: Watch) -> float:
    """zero_grad is missing from a loop over two samples.

    IBM/aihwkit#446.
    """
    net = layers(3, 4, 2, activation=nn.Sigmoid)
    x, y = torch.tensor([[0.1, 0.3, 0.2], [0.4, 0.1, 0.2]]), torch.tensor([[0.9, 0.4], [0.6, 0.2]])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    reached = minimize(watch, net, optimizer, lambda: F.mse_loss(net(x), y), 120, clear=fixed)
    return reached if fixed else 1.0
