"""Files of code beside a config, as a user writes them."""

from pathlib import Path

import yaml

from gradlab.choices import ACTIVATIONS, INITIALIZERS

NAMED_ACTIVATIONS = {name: choice for name, choice in ACTIVATIONS.items() if name != "python"}
"""The activations that need no file."""
NAMED_INITIALIZERS = {name: choice for name, choice in INITIALIZERS.items() if name != "python"}
"""The initializers that need no file."""

FUNCTIONS = """\
import torch
from helper import ONE


def tanh(h):
    return torch.tanh(h) * ONE


def relu(h):
    return h.clamp(min=0)


def leaky(h):
    return torch.where(h > 0, h, 0.2 * h)


def silu(h):
    return h * torch.sigmoid(h)


def hard(h):
    return (h + 0.5).clamp(0, 1)


def softmax(h):
    return torch.softmax(h, -1)


def noisy(h):
    return h + torch.randn_like(h)


def total(h):
    return h.sum()


def raises(h):
    raise ArithmeticError("no such thing")


def detached(h):
    return torch.tanh(h).detach()


def in_place(h):
    return h.tanh_()


class Shape(torch.nn.Module):
    pass


calls = 0


def late(h):
    global calls
    calls += h.requires_grad and len(h) == 32
    if calls > 60:
        raise ArithmeticError("late")
    return torch.tanh(h)


def he(weight):
    torch.nn.init.normal_(weight, std=(2 / weight.shape[1]) ** 0.5)


def returned(weight, generator):
    return torch.randn(weight.shape, generator=generator) / weight.shape[1] ** 0.5


def shifted(weight):
    torch.nn.init.normal_(weight, mean=0.1, std=0.1)


def unset(weight):
    weight[0] = 0


def too_small(weight):
    return weight[:1]
"""


def write(folder: Path, code: str = FUNCTIONS, file: str = "acts.py") -> Path:
    """Write a file of code and the file that it imports."""
    (folder / "helper.py").write_text("ONE = 1\n")
    (folder / file).write_text(code)
    return folder / file


def config(folder: Path, model: dict[str, object], **sections: object) -> Path:
    """Write a short config with a model."""
    data = {"data": {"name": "wine", "batch_size": 32}, "train": {"steps": 50}, "device": "cpu", **sections}
    path = folder / "config.yaml"
    path.write_text(yaml.dump({"model": {"depth": 3, "width": 40, **model}, **data}))
    return path
