"""Short trainings of small networks, and what the rules that read the graph of a step say of them."""

import warnings

import torch
from torch import nn

import gradlab

X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(16) % 3
NUMBERS = X[:, :1] - X[:, 1:2]
RULES = ("no-gradient", "not-optimized", "unregistered-parameters", "output-mismatch")


def findings(model, loss_of, *, steps=8, optimizer=None, parameters=None):
    """The findings of these rules about a short training."""
    torch.manual_seed(0)
    optimizer = optimizer or torch.optim.SGD(list(parameters or model.parameters()), lr=0.05)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using a target size")
        with gradlab.watch(model, optimizer) as recorder:
            for _ in range(steps):
                optimizer.zero_grad()
                loss_of().backward()
                optimizer.step()
    return {finding.rule: finding for finding in recorder.diagnose() if finding.rule in RULES}


def net(outputs=3, *last):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, outputs), *last)
