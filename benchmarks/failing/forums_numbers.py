"""Failures of the kinds that forums are full of: steps that are too large or too small, and numbers that are none.

Where one report is meant, its address stands in the docstring.
"""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, layers, minimize, pictures, reported

CLASSIFIED = 1.0


@reported("MLP", ["updates-too-small", "stalled-loss"], CLASSIFIED)
def schedule_that_returns_a_rate(fixed: bool, watch: Watch) -> float:
    """The function of a LambdaLR returns the rate, which is then multiplied by the rate."""
    net = layers(64, 48, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3 if not fixed else 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if fixed else 1e-3 * 0.99**step)
    losses = []
    with watch(net, optimizer):
        for _ in range(200):
            x, y = digits()
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return sorted(losses[-10:])[5]


@reported("CNN", ["updates-too-small", "stalled-loss"], CLASSIFIED)
def decayed_in_each_batch(fixed: bool, watch: Watch) -> float:
    """A schedule for epochs is stepped in each batch: after ten batches the rate is 1e-13."""
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)
    losses = []
    with watch(net, optimizer):
        for step in range(200):
            x, y = pictures()
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not fixed or step == 180:
                schedule.step()
            losses.append(loss.item())
    return sorted(losses[-10:])[5]


@reported("RNN", ["updates-too-small", "stalled-loss"], CLASSIFIED)
def clipped_to_nothing(fixed: bool, watch: Watch) -> float:
    """The gradient is clipped to the norm 1e-5."""

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.out = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

        def forward(self, x):
            return self.out(self.gru(x.reshape(-1, 8, 8))[0][:, -1])

    net = Reader()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    losses = []
    with watch(net, optimizer):
        for _ in range(250):
            x, y = digits()
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0 if fixed else 1e-5)
            optimizer.step()
            losses.append(loss.item())
    return sorted(losses[-10:])[5]


@reported("CNN", ["vanishing-weights"], CLASSIFIED)
def decay_of_one(fixed: bool, watch: Watch) -> float:
    """A weight decay of 1, which was meant as 1e-4."""
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4 if fixed else 1.0)

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, optimizer, loss_of, 250)


@reported(
    "transformer",
    ["learning-rate-too-high", "updates-too-large", "rising-loss", "diverged", "stalled-loss"],
    CLASSIFIED,
)
def momentum_of_one(fixed: bool, watch: Watch) -> float:
    """A momentum of 1.0: no step is ever forgotten."""
    net = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9 if fixed else 1.0)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, optimizer, loss_of, 200)


@reported("physics-informed", ["diverged"], 1e-2, modules=("4",), phase="backward")
def root_behind_a_where(fixed: bool, watch: Watch) -> float:
    """torch.where chooses a root or 0, and the derivative of the root that was not chosen is NaN.

    pytorch/pytorch#68425.
    """
    net = layers(1, 24, 24, 1, activation=nn.Tanh)

    def loss_of():
        x = torch.rand(64, 1) * 2 - 1
        u = net(x)
        root = (u.clamp(min=1e-6) if fixed else u).sqrt()
        return (torch.where(u > 0, root, 0.0 * u) - x.clamp(min=0.0)).square().mean() + (
            u - x * x.abs()
        ).square().mean()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 400)


@reported("transformer", ["diverged"], 2.0, phase="loss")
def nothing_is_masked(fixed: bool, watch: Watch) -> float:
    """In a small batch no token is masked: the mean over no targets is 0/0."""

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(11, 24), nn.Embedding(8, 24)
            self.body = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.0, batch_first=True)
            self.out = nn.Linear(24, 11)

        def forward(self, x):
            return self.out(self.body(self.words(x) + self.places.weight))

    net = Masked()

    def loss_of():
        x = (torch.arange(8) + torch.randint(0, 10, (2, 1))) % 10
        hidden = torch.rand(2, 8) < 0.15
        if fixed:
            hidden[:, 0] = True
        scores = net(x.masked_fill(hidden, 10)).transpose(1, 2)
        return (F.cross_entropy(scores, x, reduction="none") * hidden).sum() / hidden.sum()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 400)


@reported("RNN", ["diverged"], 2.0, phase="loss")
def labels_longer_than_the_input(fixed: bool, watch: Watch) -> float:
    """CTC is infinite where the target is longer than the sequence.

    pytorch/pytorch#49046.
    """

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.out = nn.GRU(6, 24), nn.Linear(24, 6)

        def forward(self, x):
            return self.out(self.gru(x)[0])

    net = Reader()

    def loss_of():
        targets = torch.randint(1, 6, (16, 4))
        repeat = 3 if fixed else 2
        x = F.one_hot(targets, 6).float().repeat_interleave(repeat, 1).transpose(0, 1)
        lengths = torch.full((16,), len(x))
        if not fixed:
            lengths[0] = 3
        return F.ctc_loss(net(x).log_softmax(2), targets, lengths, torch.full((16,), 4))

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 200)


@reported("autoencoder", ["diverged"], 0.5, modules=("decoder",), phase="forward")
def divided_by_its_length(fixed: bool, watch: Watch) -> float:
    """A code is divided by its length, and one of the pictures is blank."""

    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Linear(64, 16, bias=False), nn.Linear(16, 64)

        def forward(self, x):
            code = F.relu(self.encoder(x))
            return self.decoder(code / (code.norm(dim=1, keepdim=True) + (1e-3 if fixed else 0.0)))

    net = Sparse()

    def loss_of():
        x, _ = digits()
        x[:1] *= float(torch.rand(1) > 0.1)
        return F.mse_loss(net(x), x)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 200)


@reported("diffusion", ["diverged"], 0.7, phase="input")
def schedule_beyond_one(fixed: bool, watch: Watch) -> float:
    """The last ᾱ of the noise schedule is larger than 1: the noise is multiplied by the root of a negative number."""
    net = layers(3, 48, 48, 2)

    def loss_of():
        angle, t = 6.3 * torch.rand(128, 1), torch.rand(128, 1)
        share = (1.0 if fixed else 1.02) - t * 0.98
        noise = torch.randn(128, 2)
        noisy = share.sqrt() * torch.cat([angle.cos(), angle.sin()], 1) + (1 - share).sqrt() * noise
        return F.mse_loss(net(torch.cat([noisy, t], 1)), noise)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 200)


@reported("RNN", ["unscaled-inputs"], 0.3)
def prices_as_they_are(fixed: bool, watch: Watch) -> float:
    """Prices of some ten thousands enter an LSTM, and are its targets."""

    class Forecast(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.out = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 1)

        def forward(self, x):
            return self.out(self.lstm(x)[0][:, -1])

    net = Forecast()

    def loss_of():
        prices = 30_000 + 1_000 * torch.randn(64, 12, 1).cumsum(1)
        if fixed:
            prices = (prices - 30_000) / 2_500
        return F.mse_loss(net(prices[:, :-1]), prices[:, -1])

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 300)


@reported("CNN", ["batch-norm-drift"], 0.5)
def momentum_of_another_framework(fixed: bool, watch: Watch) -> float:
    """A momentum of 0.001, the complement of 0.999: the running statistics hardly move."""
    momentum = 0.1 if fixed else 0.001
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8, momentum=momentum), nn.ReLU(),
        nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16, momentum=momentum), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(4 * x), y)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 150)
    net.eval()
    x, y = pictures(500)
    return F.cross_entropy(net(4 * x), y).item()
