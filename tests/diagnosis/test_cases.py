"""Trainings that failed as people have reported it, made again, small: what is said of each, and of the mended one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gradlab


def judged(train, *, mended):
    """What is said of a training: rule, severity, modules and message of each finding, in order."""
    torch.manual_seed(1)
    watches = []

    def watch(model, optimizer):
        watches.append(gradlab.watch(model, optimizer, strict=True))
        return watches[-1]

    train(watch, mended)
    return [finding for each in watches for finding in each.diagnose() if finding.severity != "info"]


# --------------------------------------------------------------------------------------------------- the trainings


def exponential_in_the_loss(watch, mended):
    """A Gaussian's log-variance that nothing bounds: the exponential overflows where the data is wide."""

    class Gaussian(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 32), nn.ELU())
            self.location, self.logvar = nn.Linear(32, 2), nn.Linear(32, 2)

        def forward(self, x):
            h = self.body(x)
            return self.location(h), self.logvar(h).clamp(-8, 8) if mended else self.logvar(h)

    net = Gaussian()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    with watch(net, optimizer):
        for step in range(60):
            x = torch.randn(32, 6) * (3e4 if step == 40 and not mended else 1)
            location, logvar = net(x)
            loss = ((x[:, :2] - location).square() * (-logvar).exp() + logvar).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def norm_of_nothing(watch, mended):
    """The norm of a residual that is exactly 0 once."""
    net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    with watch(net, optimizer):
        for step in range(60):
            x = torch.randn(16, 4)
            y = net(x)
            target = torch.where(torch.arange(16)[:, None] == 2, y.detach(), x) if step == 30 else x
            loss = ((y - target).square().sum(1) + (1e-6 if mended else 0.0)).sqrt().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def epsilon_of_zero(watch, mended):
    """A cosine in float16 with an epsilon that is 0 there: every gradient is NaN, and the scaler skips every step."""
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu")
    epsilon = torch.tensor(1e-3 if mended else 1e-9).half()
    nn.init.zeros_(net[0].bias)
    nn.init.zeros_(net[2].bias)
    with watch(net, optimizer):
        for _ in range(60):
            x = torch.randn(16, 8)
            x[0] = 0
            with torch.autocast("cpu", torch.float16):
                y = net(x)
                y = y / (y.half().square().mean(1, keepdim=True) + epsilon).sqrt()
            optimizer.zero_grad()
            scaler.scale(F.mse_loss(y.float(), x)).backward()
            scaler.step(optimizer)
            scaler.update()


def never_cleared(watch, mended):
    """Nobody clears the gradients."""
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02)
    x = torch.randn(64, 3)
    with watch(net, optimizer):
        for _ in range(60):
            if mended:
                net.zero_grad(set_to_none=False)
            F.mse_loss(net(x), x.sum(1, keepdim=True).sin()).backward()
            optimizer.step()


def never_stepped(watch, mended):
    """The optimizer is made, and never used."""
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(net, optimizer):
        for _ in range(60):
            x = torch.randn(64, 3)
            optimizer.zero_grad()
            F.mse_loss(net(x), x.sum(1, keepdim=True)).backward()
            if mended:
                optimizer.step()


CASES = {
    exponential_in_the_loss: ("diverged", "logvar", "in the loss"),
    norm_of_nothing: ("diverged", "2", "in the backward pass"),
    epsilon_of_zero: ("skipped-steps", None, "60 of 60 attempts"),
    never_cleared: ("gradients-not-cleared", None, ""),
    never_stepped: ("no-steps", None, "no step of the optimizer"),
}
"""For each training: the rule that leads to the cause, a module, and words of the message."""


@pytest.mark.parametrize("train", CASES, ids=lambda train: train.__name__)
def test_the_cause_is_the_first_or_second_finding(train):
    rule, module, words = CASES[train]
    said = judged(train, mended=False)
    fitting = [finding for finding in said[:2] if finding.rule == rule]
    assert fitting, said
    assert module is None or any(name == module or name.startswith(f"{module}.") for name in fitting[0].modules)
    assert words in fitting[0].message


@pytest.mark.parametrize("train", CASES, ids=lambda train: train.__name__)
def test_the_mended_training_is_sound(train):
    assert judged(train, mended=True) == []
