"""Failures of the kinds that forums are full of: gradients that end, and loops that undo what they do.

Where one report is meant, its address stands in the docstring.
"""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, layers, minimize, moved, pictures, reported

STILL = 0.5
CLASSIFIED = 1.0


@reported("autoencoder", ["no-gradient"], STILL, modules=("codebook",))
def codebook_behind_the_detour(fixed: bool, watch: Watch) -> float:
    """The loss of the codebook is made of the straight-through output, in which the codebook is detached.

    showlab/Olaf-World#8.
    """

    class Quantizing(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = layers(64, 32, 8), layers(8, 32, 64)
            self.codebook = nn.Embedding(16, 8)

        def forward(self, x):
            h = self.encoder(x)
            code = self.codebook(torch.cdist(h, self.codebook.weight).argmin(1))
            through = h + (code - h).detach()
            return self.decoder(through), h, code if fixed else through

    net = Quantizing()
    before = net.codebook.weight.detach().clone()

    def loss_of():
        x, _ = digits()
        output, h, code = net(x)
        return F.mse_loss(output, x) + F.mse_loss(code, h.detach()) + 0.25 * F.mse_loss(h, code.detach())

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 120)
    return moved(before, net.codebook.weight.detach())


@reported("RL", ["no-gradient"], STILL, modules=("actor",))
def memory_of_copies(fixed: bool, watch: Watch) -> float:
    """The log-probabilities of an episode are put together by torch.tensor, which copies numbers.

    Quantum-Cheese/DeepReinforcementLearning_Pytorch#1.
    """
    net = nn.ModuleDict({"actor": layers(6, 32, 2), "critic": layers(6, 32, 1)})
    before = net["actor"][0].weight.detach().clone()

    def loss_of():
        place = torch.randint(0, 6, (32,))
        x = F.one_hot(place, 6).float()
        policy = torch.distributions.Categorical(logits=net["actor"](x))
        action = policy.sample()
        memory = list(policy.log_prob(action))
        chance = torch.stack(memory) if fixed else torch.tensor([float(each) for each in memory])
        reward, value = (place + 2 * action - 1 > 3).float(), net["critic"](x)[:, 0]
        return F.mse_loss(value, reward) - ((reward - value).detach() * chance).mean()

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 120)
    return moved(before, net["actor"][0].weight.detach())


@reported("transformer", ["no-gradient"], STILL, modules=("chooser",))
def chosen_by_argmax(fixed: bool, watch: Watch) -> float:
    """A router takes the argmax of its scores, through which no gradient flows."""

    class Routed(nn.Module):
        def __init__(self):
            super().__init__()
            self.chooser = nn.Linear(64, 4)
            self.experts = nn.ModuleList(layers(64, 32, 10) for _ in range(4))

        def forward(self, x):
            shares = self.chooser(x).softmax(1)
            best = shares if fixed else F.one_hot(shares.argmax(1), 4).float()
            return (torch.stack([each(x) for each in self.experts], 2) * best[:, None]).sum(2)

    net = Routed()
    before = net.chooser.weight.detach().clone()

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 120)
    return moved(before, net.chooser.weight.detach())


@reported("MLP", ["no-gradient", "no-steps"], CLASSIFIED)
def loss_made_anew(fixed: bool, watch: Watch) -> float:
    """The loss is wrapped once more, as torch.tensor(loss, requires_grad=True): the graph behind it is lost."""
    net = layers(64, 48, 10)

    def loss_of():
        x, y = digits()
        loss = F.cross_entropy(net(x), y)
        return loss if fixed else torch.tensor(loss.item(), requires_grad=True)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 150)


@reported("CNN", ["no-gradient", "no-steps", "gradients-not-cleared"], CLASSIFIED)
def cleared_before_the_step(fixed: bool, watch: Watch) -> float:
    """zero_grad stands between backward and step."""
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    with watch(net, optimizer):
        for _ in range(150):
            x, y = pictures()
            loss = F.cross_entropy(net(x), y)
            if fixed:
                optimizer.zero_grad()
            loss.backward()
            if not fixed:
                optimizer.zero_grad()
            optimizer.step()
            losses.append(loss.item())
    return sorted(losses[-10:])[5]


@reported("CNN", ["not-optimized", "updates-too-small"], STILL, modules=("0", "features"))
def group_with_the_rate_zero(fixed: bool, watch: Watch) -> float:
    """The rate of the first parameter group is 1 // 1000, which is 0."""
    net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten()), nn.Sequential(nn.Linear(288, 10)))
    before = net[0][0].weight.detach().clone()
    groups = [
        {"params": net[0].parameters(), "lr": 1 / 1000 if fixed else 1 // 1000},
        {"params": net[1].parameters(), "lr": 3e-3},
    ]

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(x), y)

    minimize(watch, net, torch.optim.AdamW(groups), loss_of, 120)
    return moved(before, net[0][0].weight.detach())


@reported("CNN", ["no-gradient", "dead-units"], CLASSIFIED, modules=("0", "2", "3"))
def everything_dropped(fixed: bool, watch: Watch) -> float:
    """Dropout of 1.0, which was the share to keep in another framework."""
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1 if fixed else 1.0), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)
    )

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 200)


@reported("RNN", ["stalled-loss"], 0.5)
def batch_taken_for_time(fixed: bool, watch: Watch) -> float:
    """An LSTM without batch_first takes the samples for time steps.

    discuss.pytorch.org/t/62364.
    """

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.out = nn.LSTM(4, 24, batch_first=fixed), nn.Linear(24, 1)

        def forward(self, x):
            h = self.lstm(x)[0]
            return self.out(h[:, -1] if fixed else h[:, 0])

    net = Reader()

    def loss_of():
        x = torch.randn(256, 8, 4)
        return F.mse_loss(net(x), x[:, 1:, 0].mean(1, keepdim=True) * 2.6)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 250)


@reported("RNN", ["stalled-loss", "vanishing-gradient"], 1.0)
def memory_cut_in_each_step(fixed: bool, watch: Watch) -> float:
    """The hidden state is detached in each time step, so that nobody learns to remember."""

    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.cell, self.out = nn.Embedding(8, 24), nn.GRUCell(24, 32), nn.Linear(32, 8)

        def forward(self, x):
            h = torch.zeros(len(x), 32)
            for token in x.unbind(1):
                h = self.cell(self.read(token), h if fixed else h.detach())
            return self.out(h)

    net = Remembering()

    def loss_of():
        x = torch.randint(0, 8, (64, 20))
        return F.cross_entropy(net(x), x[:, 0])

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 300)


@reported("transformer", ["stalled-loss", "signal-collapse"], CLASSIFIED)
def unknown_words_only(fixed: bool, watch: Watch) -> float:
    """The vocabulary is not found, and each word becomes the token 0."""

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(20, 24)
            self.body = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.0, batch_first=True)
            self.out = nn.Linear(24, 4)

        def forward(self, x):
            return self.out(self.body(self.words(x)).mean(1))

    net = Classifier()

    def loss_of():
        y = torch.randint(0, 4, (64,))
        x = torch.randint(0, 5, (64, 8)) + 5 * y[:, None]
        return F.cross_entropy(net(x if fixed else torch.zeros_like(x)), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 200)


@reported("GAN", ["gradients-not-cleared"], STILL)
def discriminator_never_cleared(fixed: bool, watch: Watch) -> float:
    """Nobody clears the gradients that the generator's loss leaves in the discriminator, nor its own.

    Adversarial-Deep-Learning/code-soup#69.
    """
    maker, judge = layers(4, 32, 2), layers(2, 32, 1)
    both = nn.ModuleDict({"generator": maker, "discriminator": judge})
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.02) for each in (maker, judge)]
    with watch(both, optimizers):
        for _ in range(150):
            real = torch.randn(64, 2) + torch.tensor([2.0, 0.0])
            fake = maker(torch.randn(64, 4))
            if fixed:
                optimizers[1].zero_grad()
            (F.softplus(judge(fake.detach())).mean() + F.softplus(-judge(real)).mean()).backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            F.softplus(-judge(fake)).mean().backward()
            optimizers[0].step()
    return 0.0 if fixed else 1.0


@reported("MLP", ["stalled-loss"], CLASSIFIED)
def initialized_in_each_epoch(fixed: bool, watch: Watch) -> float:
    """Each epoch begins with `model.apply(init)`."""
    net = layers(64, 48, 10)

    def init(module):
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)

    seen = iter(range(1000))

    def loss_of():
        step = next(seen)
        if step == 0 or (not fixed and step % 5 == 0):
            net.apply(init)
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 150)


@reported("autoencoder", ["no-gradient"], STILL, modules=("encoder",))
def code_by_way_of_numpy(fixed: bool, watch: Watch) -> float:
    """The code goes through NumPy, for a filter that PyTorch does not have."""

    class Filtered(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
            self.decoder = nn.Conv2d(8, 1, 3, padding=1)

        def forward(self, x):
            h = self.encoder(x)
            return self.decoder(h if fixed else torch.tensor(h.detach().numpy()))

    net = Filtered()
    before = net.encoder[0].weight.detach().clone()

    def loss_of():
        x, _ = pictures()
        return F.mse_loss(net(x), x)

    minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 80)
    return moved(before, net.encoder[0].weight.detach())
