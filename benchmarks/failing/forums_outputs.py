"""Failures of the kinds that forums are full of: outputs that do not fit their loss.

Where one report is meant, its address stands in the docstring.
"""

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, layers, minimize, pictures, reported


@reported("transformer", ["output-mismatch"], 0.3)
def squeezed_before_the_loss(fixed: bool, watch: Watch) -> float:
    """A regression head squeezes its output, and the targets have the shape (n, 1).

    deepset-ai/FARM#229.
    """

    class Regressor(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(20, 24)
            self.body = nn.TransformerEncoderLayer(24, 2, 48, dropout=0.0, batch_first=True)
            self.head = nn.Linear(24, 1)

        def forward(self, x):
            score = self.head(self.body(self.words(x)).mean(1))
            return score if fixed else score.squeeze(1)

    net = Regressor()

    def loss_of():
        x = torch.randint(0, 20, (32, 8))
        return F.mse_loss(net(x), (x.float().mean(1, keepdim=True) - 9.5) / 2)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 250)


@reported("GAN", ["output-mismatch"], 0.5)
def sigmoid_in_the_discriminator(fixed: bool, watch: Watch) -> float:
    """The discriminator ends with a sigmoid, and its loss takes logits.

    soumith/ganhacks#67, the other way round.
    """
    maker, judge = layers(4, 32, 2), layers(2, 32, 1)
    if not fixed:
        judge.append(nn.Sigmoid())
    both = nn.ModuleDict({"generator": maker, "discriminator": judge})
    optimizers = [torch.optim.Adam(each.parameters(), lr=2e-3) for each in (maker, judge)]
    bce, ones, zeros = F.binary_cross_entropy_with_logits, torch.ones(64, 1), torch.zeros(64, 1)
    with watch(both, optimizers):
        for _ in range(200):
            real = torch.randn(64, 2) + torch.tensor([2.0, 0.0])
            fake = maker(torch.randn(64, 4))
            loss = bce(judge(fake.detach()), zeros) + bce(judge(real), ones)
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            bce(judge(fake), ones).backward()
            optimizers[0].step()
    return 0.0 if fixed else 1.0


@reported("CNN", ["output-mismatch"], 0.25)
def tanh_before_the_logits(fixed: bool, watch: Watch) -> float:
    """A tanh bounds what a cross-entropy takes for logits: no class is ever likelier than e² to 1."""
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    if not fixed:
        net.append(nn.Tanh())

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 250)


@reported("MLP", ["output-mismatch"], 0.05)
def divergence_of_probabilities(fixed: bool, watch: Watch) -> float:
    """A distillation gives the student's probabilities to kl_div, which takes their logarithm.

    pytorch/pytorch#57459.
    """
    teacher, net = layers(64, 48, 10), layers(64, 24, 10)
    with torch.no_grad():
        teacher[-1].weight *= 8

    def loss_of():
        x, _ = digits()
        with torch.no_grad():
            target = teacher(x).softmax(1)
        scores = net(x)
        return F.kl_div(scores.log_softmax(1) if fixed else scores.softmax(1), target, reduction="batchmean")

    loss = minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 250)
    return loss if fixed else 1.0
