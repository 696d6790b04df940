"""Numbers that are not finite or too small for their format, and outputs that do not fit their loss."""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, failure, layers, minimize

CLASSIFIED = 1.0


def _classified(watch: Watch, net, loss, steps: int = 150, rate: float = 3e-3) -> float:
    def loss_of():
        x, y = digits()
        return loss(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=rate), loss_of, steps)


@failure("MLP", ["diverged"], CLASSIFIED, phase="input")
def missing_value(fixed: bool, watch: Watch) -> float:
    """One sample has a value that is missing, read as NaN."""
    net, count = layers(64, 48, 10), iter(range(1000))

    def loss_of():
        x, y = digits()
        if next(count) == 70 and not fixed:
            x[3, 5] = float("nan")
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of)


@failure("MLP", ["diverged"], CLASSIFIED, phase="loss")
def logarithm_of_zero(fixed: bool, watch: Watch) -> float:
    """A cross-entropy by hand: for one glaring picture the logarithm of a probability that is exactly 0."""
    net, count = layers(64, 48, 10), iter(range(1000))

    def loss_of():
        x, y = digits()
        if next(count) == 80:
            x[7] *= 100
        logits = net(x)
        if fixed:
            return F.cross_entropy(logits, y)
        return -(F.one_hot(y, 10) * logits.softmax(1).log()).sum(1).mean()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of)


@failure("MLP", ["diverged"], CLASSIFIED, phase="backward")
def distance_of_equals(fixed: bool, watch: Watch) -> float:
    """The norm of a difference that is 0 for one pair: the loss is finite and its derivative is not."""
    net, count = layers(64, 48, 10), iter(range(1000))

    def loss_of():
        x, y = digits()
        other = x + 0.05 * torch.randn_like(x)
        if next(count) == 60:
            other[0] = x[0]
        difference = net(x) - net(other)
        distance = (difference.square().sum(1) + (1e-6 if fixed else 0)).sqrt().mean()
        return F.cross_entropy(net(x), y) + 0.1 * distance

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of)


@failure("CNN", ["diverged"], CLASSIFIED, modules=("out",), phase="forward")
def division_by_a_spread(fixed: bool, watch: Watch) -> float:
    """A normalization by hand divides by the spread of a unit that is off for the whole batch."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.out, self.steps = nn.Linear(64, 48), nn.Linear(48, 10), 0

        def forward(self, x):
            h = F.relu(self.body(x))
            self.steps += 1
            if self.steps > 40:
                h = h * (torch.arange(48) != 7)
            return self.out((h - h.mean(0)) / (h.std(0) + (1e-5 if fixed else 0)))

    net = Net()
    return _classified(watch, net, F.cross_entropy)


@failure("transformer", ["diverged"], 1.5, phase="forward")
def everything_masked(fixed: bool, watch: Watch) -> float:
    """A sequence of padding only: the softmax over nothing but −∞ is NaN."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.score, self.out = nn.Linear(8, 24), nn.Linear(24, 1), nn.Linear(24, 10)

        def forward(self, x, padding):
            h = self.embed(x.reshape(-1, 8, 8))
            share = self.score(h)[..., 0].masked_fill(padding, -1e4 if fixed else float("-inf")).softmax(1)
            return self.out((share[..., None] * h).sum(1))

    net, count = Net(), iter(range(1000))

    def loss_of():
        x, y = digits()
        padding = torch.zeros(len(x), 8, dtype=torch.bool)
        padding[:, 7] = True
        padding[0] = next(count) == 50
        return F.cross_entropy(net(x, padding), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 250)


@failure("diffusion", ["diverged"], 0.8, phase="input")
def root_of_less_than_nothing(fixed: bool, watch: Watch) -> float:
    """A noise schedule runs past its end: the root of a negative share is NaN."""
    net = layers(3, 48, 48, 2)

    def loss_of():
        angle, t = 6.3 * torch.rand(128, 1), torch.rand(128, 1)
        noise, clean = torch.randn(128, 2), torch.cat([angle.cos(), angle.sin()], 1)
        share = 1 - t if fixed else 1 - 1.0004 * t
        return F.mse_loss(net(torch.cat([share.sqrt() * clean + t.sqrt() * noise, t], 1)), noise)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-3), loss_of, 250)


@failure("autoencoder", ["diverged"], 30.0, modules=("spread",), seen=True)
def exponential_of_a_spread(fixed: bool, watch: Watch) -> float:
    """A Gaussian likelihood with an unbounded logarithm of the variance."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.mean, self.spread = layers(64, 48), nn.Linear(48, 64), nn.Linear(48, 64)

        def forward(self, x):
            h = F.relu(self.body(x))
            spread = self.spread(h)
            return self.mean(h), spread.clamp(-4, 4) if fixed else 40 * spread

    net = Net()

    def loss_of():
        x, _ = digits()
        mean, spread = net(x)
        return ((x - mean).square() * (-spread).exp() + spread).sum(1).mean()

    return minimize(watch, net, torch.optim.SGD(net.parameters(), lr=1e-3 if fixed else 0.1), loss_of, 250)


@failure("MLP", ["skipped-steps", "no-steps"], CLASSIFIED)
def softmax_of_its_own_in_half(fixed: bool, watch: Watch) -> float:
    """A sharp softmax, written out in float16, is ∞/∞: the scaler skips every step."""
    net = layers(64, 48, 10)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler("cpu")
    with watch(net, optimizer):
        for _ in range(100):
            x, y = digits()
            with torch.autocast("cpu", torch.float16):
                logits = net(x)
            sharp = (60 * (logits.float() if fixed else logits)).clamp(max=80).exp()
            shares = (sharp / sharp.sum(1, keepdim=True)).float()
            loss = F.cross_entropy(logits.float(), y) + 0.1 * F.mse_loss(shares, F.one_hot(y, 10).float())
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    return loss.item() if torch.isfinite(loss) else float("nan")


@failure("MLP", ["gradient-underflow", "no-gradient", "vanishing-gradient"], CLASSIFIED, seen=True)
def underflow_in_half(fixed: bool, watch: Watch) -> float:
    """A network in float16 whose loss is divided by the size of the data set, without a scaler."""
    net, size = layers(64, 48, 48, 10), 1e5
    if not fixed:
        net = net.half()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3 * size)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x if fixed else x.half()), y).float() / size

    return minimize(watch, net, optimizer, loss_of, 150) * size


@failure("MLP", ["output-mismatch"], 0.5)
def softmax_before_cross_entropy(fixed: bool, watch: Watch) -> float:
    """A softmax as the last layer, before a cross-entropy that takes logits."""
    net = layers(64, 48, 10)
    if not fixed:
        net.append(nn.Softmax(1))
    return _classified(watch, net, F.cross_entropy, 200)


@failure("CNN", ["output-mismatch"], 0.1)
def sigmoid_before_logits(fixed: bool, watch: Watch) -> float:
    """A sigmoid before a loss that takes logits, for many labels at once."""
    net = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    if not fixed:
        net.append(nn.Sigmoid())
    return _classified(
        watch, net, lambda output, y: F.binary_cross_entropy_with_logits(output, F.one_hot(y, 10).float()), 200
    )


@failure("transformer", ["output-mismatch"], CLASSIFIED)
def likelihood_of_logits(fixed: bool, watch: Watch) -> float:
    """A negative log-likelihood gets logits: it falls without end."""
    net = nn.Sequential(nn.Linear(64, 48), nn.LayerNorm(48), nn.GELU(), nn.Linear(48, 10))
    reached = _classified(
        watch, net, lambda output, y: F.nll_loss(output.log_softmax(1) if fixed else output, y), rate=1e-3
    )
    return reached if fixed else 1e9


@failure("MLP", ["output-mismatch"], 0.3)
def every_output_with_every_target(fixed: bool, watch: Watch) -> float:
    """Outputs of shape (n, 1) and targets of shape (n,)."""
    net = layers(6, 32, 1, activation=nn.Tanh)

    def loss_of():
        x = torch.randn(64, 6)
        y = x[:, 0] - x[:, 1]
        return (net(x) - (y[:, None] if fixed else y)).square().mean()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 200)


@failure("RL", ["output-mismatch"], 0.3)
def values_with_every_return(fixed: bool, watch: Watch) -> float:
    """The critic's values have the shape (n, 1) and the returns (n,)."""
    net = nn.ModuleDict({"actor": layers(6, 32, 2), "critic": layers(6, 32, 1)})

    def loss_of():
        place = torch.randint(0, 6, (64,))
        x = F.one_hot(place, 6).float()
        policy = torch.distributions.Categorical(logits=net["actor"](x))
        action = policy.sample()
        returns = (place + 2 * action - 1) / 2.0
        value = net["critic"](x)
        value = value[:, 0] if fixed else value
        advantage = (returns - value).detach().reshape(-1)[:64]
        return F.huber_loss(value, returns) - 0.01 * (advantage * policy.log_prob(action)).mean()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 200)


@failure("MLP", ["output-mismatch", "no-gradient", "dead-units", "stalled-loss"], 0.4)
def negative_targets_behind_a_relu(fixed: bool, watch: Watch) -> float:
    """A regression of numbers around −3 with a ReLU as the last layer."""
    net = layers(6, 32, 1)
    if not fixed:
        net.append(nn.ReLU())

    def loss_of():
        x = torch.randn(64, 6)
        return F.mse_loss(net(x), x[:, :1] - 3)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 200)


@failure("RL", ["output-mismatch", "stalled-loss", "saturated-activations"], 5.0)
def values_behind_a_tanh(fixed: bool, watch: Watch) -> float:
    """A value network ends with a tanh, and the returns lie between 20 and 60."""
    net = layers(4, 32, 32, 1)
    if not fixed:
        net.append(nn.Tanh())

    def loss_of():
        x = torch.rand(64, 4)
        return F.mse_loss(net(x), 20 + 40 * x[:, :1])

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 300)


@failure("CNN", ["no-gradient"], 0.05)
def rounded_outputs(fixed: bool, watch: Watch) -> float:
    """The outputs are rounded before the loss; the derivative of rounding is 0."""
    net = layers(64, 48, 10)
    return _classified(
        watch, net, lambda output, y: F.mse_loss(output if fixed else output.round(), F.one_hot(y, 10).float())
    )
