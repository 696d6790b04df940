"""What sound trainings share: a loop, pictures of digits, and how a training is watched."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim import Optimizer

IMAGES, DIGITS = (torch.tensor(each) for each in load_digits(return_X_y=True))
IMAGES = (IMAGES.float() / 16).reshape(-1, 1, 8, 8)

Watch = Callable[..., Any]
"""Called as `gradlab.watch` is."""
Training = Callable[[Watch], float]
"""Trains a network and returns what it has reached: a loss, or another error."""
Trainings = Mapping[str, tuple[Training, float]]
"""Trainings by name, each with the error that it falls below when it has learned."""


def minimized(
    watch: Watch,
    model: nn.Module,
    optimizer: Optimizer,
    loss_of: Callable[[], Tensor],
    steps: int,
    *,
    clip: float = 0.0,
) -> float:
    """The usual loop, with gradients clipped if `clip` is not 0; returns the median loss of the last ten steps."""
    losses = []
    with watch(model, optimizer):
        for _ in range(steps):
            loss = loss_of()
            optimizer.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())
    return sorted(losses[-10:])[5]


def digits(samples: int = 64) -> tuple[Tensor, Tensor]:
    """Random pictures of digits, samples × 1 × 8 × 8, and their classes."""
    chosen = torch.randint(0, len(IMAGES), (samples,))
    return IMAGES[chosen], DIGITS[chosen]
