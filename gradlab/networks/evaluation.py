"""Passes through a network that leave no trace in its training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

CHUNK = 4096
"""Samples that go through the network at once."""
POSITIONS = 16
"""Where a layer computes something at more positions of a sample than this, fewer samples go through at once."""


def samples_at_once(model: nn.Module) -> int:
    """Samples that go through a network at once, so that what a layer puts out for them stays small."""
    positions = getattr(model, "positions", 1)
    if type(positions) is not int or positions < 1:  # somebody's own network calls something else so
        return CHUNK
    return max(1, CHUNK // -(-positions // POSITIONS))


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """The network as training sees it: normalization uses the statistics of its batch. No gradient is kept.

    Afterwards buffers (running means and variances, counters) and every module's mode are what they were.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        model.train()
        with torch.no_grad():
            yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
        for module, mode in modes.items():
            module.training = mode
