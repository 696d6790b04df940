"""Loops that go wrong: no step, no clearing, the wrong mode, sign or labels."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from failing.case import Watch, digits, failure, layers, minimize, pictures

CLASSIFIED = 1.0
STILL = 0.5


@failure("MLP", ["gradients-not-cleared"], CLASSIFIED)
def never_cleared(fixed: bool, watch: Watch) -> float:
    """Nobody calls zero_grad, with momentum."""
    net = layers(64, 48, 10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def loss_of():
        x, y = digits()
        return F.cross_entropy(net(x), y)

    return minimize(watch, net, optimizer, loss_of, 150, clear=fixed)


@failure("GAN", ["gradients-not-cleared"], STILL)
def only_one_cleared(fixed: bool, watch: Watch) -> float:
    """The loop clears the discriminator's gradients and forgets the generator's."""
    both = nn.ModuleDict({"generator": layers(4, 32, 2), "critic": layers(2, 32, 1)})
    maker, judge = (torch.optim.SGD(both[name].parameters(), lr=0.02) for name in ("generator", "critic"))
    with watch(both, [maker, judge]):
        for _ in range(150):
            real = torch.randn(64, 2) + torch.tensor([2.0, 0.0])
            fake = both["generator"](torch.randn(64, 4))
            loss = F.softplus(both["critic"](fake.detach())).mean() + F.softplus(-both["critic"](real)).mean()
            judge.zero_grad()
            loss.backward()
            judge.step()
            if fixed:
                maker.zero_grad()
            F.softplus(-both["critic"](fake)).mean().backward()
            maker.step()
    return 0.0 if fixed else 1.0


@failure("MLP", ["no-steps"], CLASSIFIED)
def schedule_instead_of_optimizer(fixed: bool, watch: Watch) -> float:
    """The loop steps the schedule and not the optimizer."""
    net = layers(64, 48, 10)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    with watch(net, optimizer):
        for _ in range(150):
            x, y = digits()
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            if fixed:
                optimizer.step()
            schedule.step()
    return loss.item()


@failure("CNN", ["no-steps"], CLASSIFIED)
def another_model_trained(fixed: bool, watch: Watch) -> float:
    """The loop trains a copy of the network."""
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    used = net if fixed else copy.deepcopy(net)
    optimizer = torch.optim.Adam(used.parameters(), lr=3e-3)
    with watch(net, optimizer):
        for _ in range(120):
            x, y = pictures()
            loss = F.cross_entropy(used(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    x, y = pictures(500)
    return F.cross_entropy(net(x), y).item()


@failure("CNN", ["eval-mode"], STILL)
def evaluation_without_return(fixed: bool, watch: Watch) -> float:
    """After the first evaluation the model stays in evaluation mode."""
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(432, 10)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    with watch(net, optimizer):
        for step in range(150):
            x, y = pictures()
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 49:
                net.eval()
                with torch.no_grad():
                    net(pictures(200)[0])
                if fixed:
                    net.train()
    return 0.0 if net.training else 1.0


@failure("MLP", ["rising-loss", "diverged", "learning-rate-too-high"], CLASSIFIED, seen=True)
def uphill(fixed: bool, watch: Watch) -> float:
    """The sign of the loss is wrong: the likelihood is made small."""
    net = layers(64, 48, 10)

    def loss_of():
        x, y = digits()
        likelihood = F.log_softmax(net(x), 1).gather(1, y[:, None]).mean()
        return -likelihood if fixed else likelihood

    loss = minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 150)
    return loss if fixed else 1e9


@failure("CNN", ["stalled-loss"], CLASSIFIED)
def labels_of_other_images(fixed: bool, watch: Watch) -> float:
    """Images and labels are shuffled separately."""
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))

    def loss_of():
        x, y = pictures()
        return F.cross_entropy(net(x), y if fixed else y[torch.randperm(len(y))])

    return minimize(watch, net, torch.optim.Adam(net.parameters(), lr=3e-3), loss_of, 250)
