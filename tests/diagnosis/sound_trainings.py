"""Sound trainings of plain PyTorch networks, each until it has learned a toy task: kinds that no rule was tuned on."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.diagnosis.sound import Trainings, Watch, digits, minimized


def convolutions(watch: Watch) -> float:
    """Two convolutions with pools, SGD with momentum."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )

    def loss_of() -> Tensor:
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimized(watch, net, torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9), loss_of, 200)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.second(F.relu(self.norm1(self.first(x))))))


def residual_network(watch: Watch) -> float:
    """Three residual blocks and a global average pool, cosine schedule."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        *(_Residual(16) for _ in range(3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)

    def loss_of() -> Tensor:
        schedule.step()
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimized(watch, net, optimizer, loss_of, 200)


def depthwise_convolutions(watch: Watch) -> float:
    """Depthwise and pointwise convolutions with hard-swish and squeeze-and-excitation, as in MobileNet v3."""

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
            self.norm = nn.BatchNorm2d(width)
            self.squeeze, self.excite = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)
            self.pointwise = nn.Conv2d(width, width, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = F.hardswish(self.norm(self.depthwise(x)))
            gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(h.mean((2, 3), keepdim=True)))))
            return x + self.pointwise(h * gate)

    net = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        *(Block(24) for _ in range(3)),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(96, 10),
    )

    def loss_of() -> Tensor:
        x, y = digits()
        return F.cross_entropy(net(x), y, label_smoothing=0.05)

    return minimized(watch, net, torch.optim.AdamW(net.parameters(), lr=3e-3), loss_of, 200)


def u_net(watch: Watch) -> float:
    """A network with skip connections over scales: each pixel of a noisy image is bright or dark."""

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1, stride=2)
            self.middle = nn.Conv2d(32, 32, 3, padding=1)
            self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
            self.out = nn.Conv2d(32, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            fine = F.relu(self.down1(x))
            coarse = F.relu(self.middle(F.relu(self.down2(fine))))
            return self.out(torch.cat([fine, F.relu(self.up(coarse))], 1))

    net = UNet()

    def loss_of() -> Tensor:
        x, _ = digits(32)
        return F.binary_cross_entropy_with_logits(net(x + 0.3 * torch.randn_like(x)), (x > 0.5).float())

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 200)


def lstm(watch: Watch) -> float:
    """Which symbol came most often in a sequence."""

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(4, 16)
            self.lstm = nn.LSTM(16, 32, batch_first=True)
            self.out = nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.lstm(self.embedding(x))[0][:, -1])

    net = Reader()

    def loss_of() -> Tensor:
        x = torch.randint(0, 4, (64, 9))
        return F.cross_entropy(net(x), F.one_hot(x, 4).sum(1).argmax(1))

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 200)


def gru_cells(watch: Watch) -> float:
    """A GRU cell in a loop adds up numbers: an output at each time, gradient clipped."""

    class Adder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = nn.GRUCell(1, 24), nn.Linear(24, 1)

        def forward(self, x: Tensor) -> Tensor:
            h, outputs = x.new_zeros(len(x), 24), []
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], h)
                outputs.append(self.out(h))
            return torch.stack(outputs, 1)

    net = Adder()

    def loss_of() -> Tensor:
        x = 0.4 * torch.randn(64, 8, 1)
        return F.mse_loss(net(x), x.cumsum(1))

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 250, clip=1.0)


def sequence_to_sequence(watch: Watch) -> float:
    """An encoder and a decoder of PyTorch's own transformer: the sequence backwards."""

    class Reverser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(9, 32), nn.Embedding(6, 32)
            self.transformer = nn.Transformer(32, 2, 1, 1, 64, dropout=0.0, batch_first=True)
            self.out = nn.Linear(32, 9)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            places = self.places(torch.arange(6))
            mask = nn.Transformer.generate_square_subsequent_mask(6)
            read, written = self.tokens(x) + places, self.tokens(y) + places
            return self.out(self.transformer(read, written, tgt_mask=mask))

    net = Reverser()

    def loss_of() -> Tensor:
        x = torch.randint(1, 9, (64, 6))
        y = x.flip(1)
        begun = torch.cat([torch.zeros(64, 1, dtype=torch.long), y[:, :-1]], 1)
        return F.cross_entropy(net(x, begun).flatten(0, 1), y.flatten())

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 400)


def denoising_autoencoder(watch: Watch) -> float:
    """Convolutions down to sixteen numbers and up again, tanh."""
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.Conv2d(8, 4, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.ConvTranspose2d(4, 8, 2, stride=2),
        nn.Tanh(),
        nn.ConvTranspose2d(8, 1, 2, stride=2),
    )

    def loss_of() -> Tensor:
        x, _ = digits()
        return F.mse_loss(net(x + 0.2 * torch.randn_like(x)), x)

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=5e-3), loss_of, 300)


def contrastive(watch: Watch) -> float:
    """Two noisy copies of a digit are each other's nearest (InfoNCE), with a temperature that is learned."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 32))
            self.log_temperature = nn.Parameter(torch.tensor(2.0))

        def forward(self, x: Tensor) -> Tensor:
            return F.normalize(self.body(x.flatten(1)), dim=1)

    net = Encoder()

    def loss_of() -> Tensor:
        x, _ = digits()
        one, other = (net(x + 0.3 * torch.randn_like(x)) for _ in range(2))
        return F.cross_entropy(one @ other.T * net.log_temperature.exp(), torch.arange(len(x)))

    return minimized(watch, net, torch.optim.AdamW(net.parameters(), lr=2e-3), loss_of, 200)


def graph_network(watch: Watch) -> float:
    """Three rounds of messages on random graphs: which nodes are at most two edges away from a marked one."""

    class Round(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.others = nn.Linear(16, 16), nn.Linear(16, 16, bias=False)

        def forward(self, x: Tensor, edges: Tensor) -> Tensor:
            return x + F.relu(self.own(x) + self.others(edges @ x))

    rounds, into, out = nn.ModuleList(Round() for _ in range(3)), nn.Linear(1, 16), nn.Linear(16, 1)
    net = nn.ModuleDict({"into": into, "rounds": rounds, "out": out})

    def loss_of() -> Tensor:
        edges = torch.rand(16, 12, 12) < 0.1
        edges = (edges | edges.transpose(1, 2)).float()
        marked = F.one_hot(torch.randint(0, 12, (16,)), 12).float()[..., None]
        once = marked + edges @ marked
        near = (once + edges @ once > 0).float()
        x = into(marked)
        for each in rounds:
            x = each(x, edges)
        return F.binary_cross_entropy_with_logits(out(x), near)

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=1e-2), loss_of, 250)


def mixture_of_experts(watch: Watch) -> float:
    """Four small networks and a gate that learns which of them answers."""

    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(64, 4)
            self.experts = nn.ModuleList(
                nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)) for _ in range(4)
            )

        def forward(self, x: Tensor) -> Tensor:
            share = self.gate(x).softmax(1)
            return torch.stack([expert(x) for expert in self.experts], 1).mul(share[..., None]).sum(1)

    net = Mixture()

    def loss_of() -> Tensor:
        x, y = digits()
        return F.cross_entropy(net(x.flatten(1)), y)

    return minimized(watch, net, torch.optim.AdamW(net.parameters(), lr=3e-3), loss_of, 200)


def quantile_regression(watch: Watch) -> float:
    """Tabular numbers with an embedded category, batch normalization, dropout, three quantiles at once."""

    class Tabular(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.category = nn.Embedding(5, 4)
            self.body = nn.Sequential(
                nn.Linear(10, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 32), nn.ReLU()
            )
            self.out = nn.Linear(32, 3)

        def forward(self, x: Tensor, category: Tensor) -> Tensor:
            return self.out(self.body(torch.cat([x, self.category(category)], 1)))

    net, levels = Tabular(), torch.tensor([0.1, 0.5, 0.9])

    def loss_of() -> Tensor:
        x, category = torch.randn(128, 6), torch.randint(0, 5, (128,))
        y = x[:, 0] * x[:, 1] + category - 2 + 0.2 * torch.randn(128)
        miss = y[:, None] - net(x, category)
        return torch.maximum(levels * miss, (levels - 1) * miss).mean()

    return minimized(watch, net, torch.optim.Adam(net.parameters(), lr=5e-3), loss_of, 400)


NETWORKS: Trainings = {
    "convolutions": (convolutions, 0.5),
    "residual_network": (residual_network, 0.5),
    "depthwise_convolutions": (depthwise_convolutions, 0.8),
    "u_net": (u_net, 0.3),
    "lstm": (lstm, 0.3),
    "gru_cells": (gru_cells, 0.05),
    "sequence_to_sequence": (sequence_to_sequence, 0.3),
    "denoising_autoencoder": (denoising_autoencoder, 0.06),
    "contrastive": (contrastive, 1.5),
    "graph_network": (graph_network, 0.2),
    "mixture_of_experts": (mixture_of_experts, 0.5),
    "quantile_regression": (quantile_regression, 0.2),
}
