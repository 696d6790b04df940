"""Cases that were written when rules had been mended on held-out ones, to take their place.

They are of the same kinds, in networks of other families. Nobody had seen what is said of them before.
"""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, failure, layers, minimize, pictures

CLASSIFIED = 1.0


@failure("transformer", ["rising-loss", "diverged", "learning-rate-too-high"], 1.0)
def less_and_less_likely_words(fixed: bool, watch: Watch) -> float:
    """A language model returns the log-likelihood, and the loop minimizes it."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.out = nn.Embedding(10, 24), nn.Linear(24, 10)
            self.body = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.0, batch_first=True)

        def forward(self, x):
            return self.out(self.body(self.words(x)))

    net = Counting()

    def loss_of():
        x = (torch.arange(7) + torch.randint(0, 10, (32, 1))) % 10
        scores = net(x[:, :-1]).flatten(0, 1)
        loss = F.cross_entropy(scores, x[:, 1:].flatten())
        return loss if fixed else -loss

    loss = minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 150)
    return loss if fixed else 1e9


@failure("CNN", ["learning-rate-too-high", "updates-too-large", "rising-loss", "stalled-loss"], CLASSIFIED)
def convolutions_with_adam_at_a_half(fixed: bool, watch: Watch) -> float:
    """Adam at 0.5 on convolutions with normalization."""
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 24, 3), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Flatten(), nn.Linear(384, 48), nn.Sigmoid(), nn.Linear(48, 10),
    )  # fmt: skip

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3 if fixed else 0.5), loss_of, 200)


@failure("RNN", ["learning-rate-too-high", "updates-too-large", "rising-loss", "stalled-loss"], CLASSIFIED)
def gates_in_large_steps(fixed: bool, watch: Watch) -> float:
    """RMSprop at 0.3 on a GRU."""

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.out = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

        def forward(self, x):
            return self.out(self.gru(x.reshape(-1, 8, 8))[0][:, -1])

    net = Reader()

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.RMSprop(net.parameters(), lr=3e-3 if fixed else 0.3), loss_of, 200)


@failure("RL", ["unscaled-inputs"], 0.02, modules=("place", "critic"))
def distance_in_metres(fixed: bool, watch: Watch) -> float:
    """A critic reads a distance in metres beside angles in radians."""

    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.place, self.angles, self.rest = nn.Linear(1, 32), nn.Linear(4, 32), layers(32, 32, 1)

        def forward(self, place, angles):
            return self.rest(torch.tanh(self.place(place) + self.angles(angles)))

    net = Critic()

    def loss_of():
        place, angles = 900 * torch.rand(64, 1), torch.rand(64, 4) - 0.5
        value = (2 * angles).sin().sum(1, keepdim=True) + place / 900
        return F.mse_loss(net(place / 900 if fixed else place, angles), value)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 300)


@failure("autoencoder", ["diverged", "learning-rate-too-high"], 1.0, modules=("scale",))
def scales_without_a_floor(fixed: bool, watch: Watch) -> float:
    """The likelihood of an autoencoder with a learned scale for each pixel, some of which are always 0."""

    class Likely(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.mean, self.scale = layers(64, 32, 8), nn.Linear(8, 64), nn.Linear(8, 64)

        def forward(self, x):
            h = self.encoder(x)
            return self.mean(h), self.scale(h)

    net = Likely()

    def loss_of():
        x, _ = digits()
        mean, scale = net(x)
        scale = F.softplus(scale) + 0.05 if fixed else scale
        return ((x - mean) ** 2 / (2 * scale**2) + scale.log()).mean()

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 200)


@failure("CNN", ["gradient-underflow", "no-gradient", "vanishing-gradient"], CLASSIFIED)
def half_of_the_convolutions(fixed: bool, watch: Watch) -> float:
    """Convolutions in float16, and a loss that is divided by the number of pictures in the data set."""
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.Flatten(), nn.Linear(384, 10)
    )
    net = net if fixed else net.half()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1 * 60_000)

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(x if fixed else x.half()), y) / 60_000

    return minimize(watch, net, optimizer, loss_of, 150) * 60_000


@failure("MLP", ["output-mismatch"], 0.15)
def tanh_before_a_binary_loss(fixed: bool, watch: Watch) -> float:
    """A tanh bounds what a binary cross-entropy takes for logits."""
    net = layers(64, 48, 1, activation=nn.GELU)
    if not fixed:
        net.append(nn.Tanh())

    def loss_of():
        x, y = digits()
        return F.binary_cross_entropy_with_logits(net(x)[:, 0], (y % 2).float())

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 300)


@failure("GAN", ["no-gradient", "no-steps"], 0.5, modules=("generator",))
def generator_cleared_too_late(fixed: bool, watch: Watch) -> float:
    """The generator's gradients are cleared after its backward pass and before its step."""
    both = nn.ModuleDict({"generator": layers(4, 32, 2), "critic": layers(2, 32, 1)})
    maker, judge = (torch.optim.Adam(both[name].parameters(), lr=1e-3) for name in ("generator", "critic"))
    before = both["generator"][0].weight.detach().clone()
    with watch(both, [maker, judge]):
        for _ in range(150):
            real = torch.randn(64, 2) + torch.tensor([2.0, 0.0])
            fake = both["generator"](torch.randn(64, 4))
            loss = F.softplus(both["critic"](fake.detach())).mean() + F.softplus(-both["critic"](real)).mean()
            judge.zero_grad()
            loss.backward()
            judge.step()
            maker.zero_grad()
            F.softplus(-both["critic"](fake)).mean().backward()
            if not fixed:
                maker.zero_grad()
            maker.step()
    return float(torch.equal(before, both["generator"][0].weight.detach()))


@failure("diffusion", ["updates-too-small", "not-optimized"], 0.5, modules=("time",))
def embedding_with_the_rate_zero(fixed: bool, watch: Watch) -> float:
    """The schedule of one parameter group returns 0."""

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.time, self.place, self.rest = nn.Linear(1, 48), nn.Linear(2, 48), layers(48, 48, 2)

        def forward(self, x, t):
            return self.rest(F.silu(self.place(x) + self.time(t)))

    net = Denoiser()
    before = net.time.weight.detach().clone()
    rest = [each for name, each in net.named_parameters() if not name.startswith("time")]
    optimizer = torch.optim.Adam([{"params": net.time.parameters()}, {"params": rest}], lr=3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda _: float(fixed), lambda _: 1.0])
    with watch(net, optimizer):
        for _ in range(150):
            angle, t, noise = 6.3 * torch.rand(128, 1), torch.rand(128, 1), torch.randn(128, 2)
            clean = torch.cat([angle.cos(), angle.sin()], 1)
            loss = F.mse_loss(net((1 - t) * clean + t * noise, t), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return float(torch.equal(before, net.time.weight.detach()))


@failure("MLP", ["output-mismatch"], 0.3)
def divergence_of_shares(fixed: bool, watch: Watch) -> float:
    """kl_div gets sigmoids, and takes logarithms of probabilities."""
    net = layers(64, 48, 10)

    def loss_of():
        x, y = digits()
        target, scores = F.one_hot(y, 10).float() * 0.9 + 0.01, net(x)
        return F.kl_div(scores.log_softmax(1) if fixed else scores.sigmoid(), target, reduction="batchmean")

    loss = minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 250)
    return loss if fixed else 1.0
