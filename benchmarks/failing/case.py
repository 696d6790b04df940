"""What a failing training is, and what several of them share: a loop and data."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim import Optimizer

Watch = Callable[..., Any]
"""Called as `gradlab.watch` is, with a model and an optimizer or several."""
Train = Callable[[bool, Watch], float]
"""Trains the network, repaired or not, and returns what was reached: a loss or another error, the less the better."""

IMAGES, DIGITS = (torch.tensor(each) for each in load_digits(return_X_y=True))
IMAGES = IMAGES.float() / 16
"""Handwritten digits, as 64 numbers of 0 to 1 each."""


@dataclass(frozen=True)
class Failure:
    """A training that fails, and its repair.

    Attributes:
        name: its name.
        family: the kind of network.
        cause: what is wrong, in a line.
        train: trains it.
        works: what the repaired training reaches, and the broken one does not: an error that is no larger.
        right: rules whose findings lead to the cause.
        modules: the finding must name one of these modules, or a part of one; empty where it need not.
        phase: a word that the message must contain.
        tolerated: rules whose warnings about the repaired training are right.
        seen: whether rules were tuned on it.
    """

    name: str
    family: str
    cause: str
    train: Train
    works: float
    right: tuple[str, ...]
    modules: tuple[str, ...] = ()
    phase: str = ""
    tolerated: tuple[str, ...] = ()
    seen: bool = False

    @property
    def held_out(self) -> bool:
        """Whether the case belongs to the half that no rule is tuned on; its name decides."""
        return not self.seen and hashlib.sha256(self.name.encode()).digest()[0] % 2 == 1

    def as_meant(self, broken: float, repaired: float) -> bool:
        """Whether the broken training failed and the repaired one worked, by what they have reached."""
        return isfinite(repaired) and repaired <= self.works and not broken <= self.works


def failure(family: str, right: Sequence[str], works: float, **more: Any) -> Callable[[Train], Failure]:
    """Makes a `Failure` of a function; its name and the first line of its docstring are the name and the cause."""

    def made(train: Train) -> Failure:
        cause = str(train.__doc__).splitlines()[0]
        return Failure(train.__name__, family, cause, train, works, tuple(right), **more)

    return made


def reported(family: str, right: Sequence[str], works: float, **more: Any) -> Callable[[Train], Failure]:
    """The same of a failure that people have reported. Rules were made with these in mind."""
    return failure(family, right, works, seen=True, **more)


def minimize(
    watch: Watch,
    model: nn.Module,
    optimizer: Optimizer,
    loss_of: Callable[[], Tensor],
    steps: int = 150,
    *,
    clear: bool = True,
) -> float:
    """The usual loop; returns the median loss of the last ten steps, NaN where one of them is not finite."""
    losses = []
    with watch(model, optimizer):
        for _ in range(steps):
            loss = loss_of()
            if clear:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    last = losses[-10:]
    return sorted(last)[len(last) // 2] if all(map(isfinite, last)) else float("nan")


def digits(samples: int = 64) -> tuple[Tensor, Tensor]:
    """Random digits, samples × 64 numbers of 0 to 1, and their classes."""
    chosen = torch.randint(0, len(IMAGES), (samples,))
    return IMAGES[chosen], DIGITS[chosen]


def pictures(samples: int = 64) -> tuple[Tensor, Tensor]:
    """The same as pictures, samples × 1 × 8 × 8."""
    x, y = digits(samples)
    return x.reshape(-1, 1, 8, 8), y


def layers(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of these widths with activations between them."""
    modules: list[nn.Module] = []
    for before, after in pairwise(widths):
        modules += [nn.Linear(before, after), activation()]
    return nn.Sequential(*modules[:-1])


def moved(before: Tensor, after: Tensor) -> float:
    """0 if a weight has moved in training, else 1."""
    return float(torch.equal(before, after))
