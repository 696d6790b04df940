"""Parameters that get no gradient, that nobody updates or that the model does not know."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, failure, layers, minimize, moved, pictures

STILL = 0.5
"""These trainings return 1 if the weight concerned has not moved."""


class TwoParts(nn.Module):
    """An encoder and a head, with something between them."""

    def __init__(self, between=lambda h: h) -> None:
        super().__init__()
        self.encoder, self.head, self.between = layers(64, 48, 32), nn.Linear(32, 10), between

    def forward(self, x):
        return self.head(self.between(F.relu(self.encoder(x))))


def _classified(watch: Watch, net: nn.Module, part: nn.Module, optimizer=None) -> float:
    before = next(part.parameters()).detach().clone()

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    minimize(watch, net, optimizer or torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 60)
    return moved(before, next(part.parameters()).detach())


@failure("MLP", ["no-gradient"], STILL, modules=("encoder",))
def detached(fixed: bool, watch: Watch) -> float:
    """The features are detached before the head reads them."""
    net = TwoParts() if fixed else TwoParts(torch.Tensor.detach)
    return _classified(watch, net, net.encoder)


@failure("CNN", ["no-gradient"], STILL, modules=("features",))
def without_gradients(fixed: bool, watch: Watch) -> float:
    """The convolutions run under no_grad, which was meant for the evaluation."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
            self.classifier = nn.Linear(108, 10)

        def forward(self, x):
            with torch.set_grad_enabled(fixed):
                h = self.features(x)
            return self.classifier(h)

    net = Net()
    before = net.features[0].weight.detach().clone()

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(x), y)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 80)
    return moved(before, net.features[0].weight.detach())


@failure("autoencoder", ["no-gradient"], STILL, modules=("encoder",))
def sampled_without_gradients(fixed: bool, watch: Watch) -> float:
    """The code of a noisy autoencoder is drawn by sample() and not by rsample()."""

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Linear(64, 8), nn.Linear(8, 64)

        def forward(self, x):
            code = torch.distributions.Normal(self.encoder(x), 0.1)
            return self.decoder(code.rsample() if fixed else code.sample())

    net = Noisy()
    before = net.encoder.weight.detach().clone()

    def loss_of():
        x, _ = digits()
        return F.mse_loss(net(x), x)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 120)
    return moved(before, net.encoder.weight.detach())


@failure("GAN", ["no-gradient"], STILL, modules=("generator",))
def generator_on_detached_fakes(fixed: bool, watch: Watch) -> float:
    """The generator's loss is computed on fakes that were detached for the discriminator."""
    both = nn.ModuleDict({"generator": layers(4, 32, 2), "critic": layers(2, 32, 1)})
    optimizers = [torch.optim.Adam(both[name].parameters(), lr=1e-3) for name in ("generator", "critic")]
    before = both["generator"][0].weight.detach().clone()
    with watch(both, optimizers):
        for _ in range(150):
            real = torch.randn(64, 2) + torch.tensor([2.0, 0.0])
            fake = both["generator"](torch.randn(64, 4))
            given = fake.detach()
            loss = F.softplus(both["critic"](given)).mean() + F.softplus(-both["critic"](real)).mean()
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
            loss = F.softplus(-both["critic"](fake if fixed else given)).mean()
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
    return moved(before, both["generator"][0].weight.detach())


@failure("GAN", ["not-optimized"], STILL, modules=("generator",))
def both_optimizers_of_the_critic(fixed: bool, watch: Watch) -> float:
    """A slip of the pen: both optimizers hold the parameters of the discriminator."""
    both = nn.ModuleDict({"generator": layers(4, 32, 2), "critic": layers(2, 32, 1)})
    names = ("generator" if fixed else "critic", "critic")
    optimizers = [torch.optim.Adam(both[name].parameters(), lr=1e-3) for name in names]
    before = both["generator"][0].weight.detach().clone()
    with watch(both, optimizers):
        for _ in range(150):
            real = torch.randn(64, 2) + torch.tensor([2.0, 0.0])
            fake = both["generator"](torch.randn(64, 4))
            loss = F.softplus(both["critic"](fake.detach())).mean() + F.softplus(-both["critic"](real)).mean()
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
            loss = F.softplus(-both["critic"](fake)).mean()
            both.zero_grad()
            loss.backward()
            optimizers[0].step()
    return moved(before, both["generator"][0].weight.detach())


@failure("transformer", ["no-gradient"], STILL, modules=("context",))
def branch_times_zero(fixed: bool, watch: Watch) -> float:
    """A branch is multiplied by a weight of 0 that nobody learns."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.context = nn.Linear(8, 24), nn.MultiheadAttention(24, 2, batch_first=True)
            self.out = nn.Linear(24, 10)
            self.register_buffer("share", torch.tensor(1.0 if fixed else 0.0))

        def forward(self, x):
            h = self.tokens(x.reshape(-1, 8, 8))
            h = h + self.share * self.context(h, h, h, need_weights=False)[0]
            return self.out(h.mean(1))

    net = Net()
    return _classified(watch, net, net.context)


@failure("MLP", ["no-gradient"], STILL, modules=("rotation",))
def unused_head(fixed: bool, watch: Watch) -> float:
    """The loss of the second task was computed, and never added."""

    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.digit, self.rotation = layers(64, 48, 32), nn.Linear(32, 10), nn.Linear(32, 4)

        def forward(self, x):
            h = F.relu(self.body(x))
            return self.digit(h), self.rotation(h)

    net = TwoHeads()
    before = net.rotation.weight.detach().clone()

    def loss_of():
        x, y = digits()
        turns = torch.randint(0, 4, (64,))
        x = torch.stack([each.reshape(8, 8).rot90(int(turn)).flatten() for each, turn in zip(x, turns, strict=True)])
        digit, rotation = net(x)
        first, second = F.cross_entropy(digit, y), F.cross_entropy(rotation, turns)
        return first + second if fixed else first

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 60)
    return moved(before, net.rotation.weight.detach())


@failure("MLP", ["not-optimized"], STILL, modules=("head",))
def head_replaced_after_the_optimizer(fixed: bool, watch: Watch) -> float:
    """The head is replaced after the optimizer was made."""
    net = TwoParts()
    net.head = nn.Linear(32, 5)
    if fixed:
        net.head = nn.Linear(32, 10)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    if not fixed:
        net.head = nn.Linear(32, 10)
    return _classified(watch, net, net.head, optimizer)


@failure("RL", ["not-optimized", "no-steps"], STILL)
def optimizer_of_the_target_network(fixed: bool, watch: Watch) -> float:
    """The optimizer of a Q network holds the parameters of its frozen copy."""
    online = layers(4, 32, 32, 2)
    target = copy.deepcopy(online)
    optimizer = torch.optim.Adam((online if fixed else target).parameters(), lr=1e-3)
    before = online[0].weight.detach().clone()

    def loss_of():
        online.zero_grad()
        state, action, after = torch.randn(64, 4), torch.randint(0, 2, (64, 1)), torch.randn(64, 4)
        with torch.no_grad():
            value = state[:, :1] * (2 * action - 1) + 0.9 * target(after).max(1, keepdim=True).values
        return F.smooth_l1_loss(online(state).gather(1, action), value)

    minimize(watch, online, optimizer, loss_of, 150)
    return moved(before, online[0].weight.detach())


@failure("RL", ["no-gradient"], STILL, modules=("actor",))
def policy_without_gradients(fixed: bool, watch: Watch) -> float:
    """The probabilities of the actions were kept from the roll-out, where no gradients were recorded."""
    net = nn.ModuleDict({"actor": layers(6, 32, 2), "critic": layers(6, 32, 1)})
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    before = net["actor"][0].weight.detach().clone()
    with watch(net, optimizer):
        for _ in range(150):
            place = torch.randint(0, 6, (64,))
            x = F.one_hot(place, 6).float()
            with torch.set_grad_enabled(fixed):
                policy = torch.distributions.Categorical(logits=net["actor"](x))
                action = policy.sample()
                chance = policy.log_prob(action)
            reward = (place + 2 * action - 1 > 3).float()
            value = net["critic"](x)[:, 0]
            loss = F.mse_loss(value, reward) - ((reward - value).detach() * chance).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return moved(before, net["actor"][0].weight.detach())


@failure("transformer", ["no-gradient", "symmetric-units"], STILL, modules=("down", "up"))
def adapters_of_zeros(fixed: bool, watch: Watch) -> float:
    """Both factors of a low-rank adapter start at 0, and neither can ever move."""

    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(64, 64)
            self.down, self.up = nn.Linear(64, 4, bias=False), nn.Linear(4, 64, bias=False)
            self.out = nn.Linear(64, 10)
            nn.init.zeros_(self.up.weight)
            if not fixed:
                nn.init.zeros_(self.down.weight)

        def forward(self, x):
            return self.out(F.relu(self.base(x) + self.up(self.down(x))))

    net = Adapted()
    return _classified(watch, net, net.up)


@failure("diffusion", ["no-gradient", "symmetric-units"], STILL, modules=("expand", "contract"))
def two_zero_layers(fixed: bool, watch: Watch) -> float:
    """The last two layers of a denoiser start at 0, with a ReLU between them."""

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.skip = layers(3, 48, 48), nn.Linear(3, 2)
            self.expand, self.contract = nn.Linear(48, 48), nn.Linear(48, 2)
            nn.init.zeros_(self.contract.weight)
            if not fixed:
                nn.init.zeros_(self.expand.weight)
                nn.init.zeros_(self.expand.bias)

        def forward(self, x, t):
            both = torch.cat([x, t], 1)
            return self.skip(both) + self.contract(F.relu(self.expand(F.relu(self.body(both)))))

    net = Denoiser()
    before = net.expand.weight.detach().clone()

    def loss_of():
        angle, t = 6.3 * torch.rand(128, 1), torch.rand(128, 1)
        noise = torch.randn(128, 2)
        clean = torch.cat([angle.cos(), angle.sin()], 1)
        return F.mse_loss(net((1 - t) * clean + t * noise, t), noise)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of)
    return moved(before, net.expand.weight.detach())
