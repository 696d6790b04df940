"""Statistics that need every sample: a pass over the whole training split, which training does not notice."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gradlab.recording.layout import Place
from gradlab.recording.statistics import accumulator

CHUNK = 4096
"""Samples that go through the network at once."""


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """The network as training sees it, for passes that must leave no trace.

    Inside, normalization uses the statistics of its batch and no gradient is kept; afterwards buffers (running means
    and variances, counters) and every module's mode are what they were.
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


def full_pass(model: nn.Module, x: Tensor, places: Sequence[Place]) -> Mapping[int, Mapping[str, float]]:
    """What each activation module does over all samples.

    Args:
        model: the network.
        x: the training split, (samples, features).
        places: the recorded modules.

    Returns:
        For the index of each activation in `places`: `dead_fraction`, the share of units that are exactly 0 on every
        sample; `across_samples_std` and `across_units_std` as `columns.LAYER_STATISTICS` defines them.
    """
    totals = {index: _Units() for index, place in enumerate(places) if place.kind == "activation"}

    def add(index: int, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        totals[index].add(output)

    handles = [places[index].module.register_forward_hook(partial(add, index)) for index in totals]
    try:
        with batch_statistics(model):
            for chunk in x.tensor_split(-(-len(x) // CHUNK)):
                model(chunk)
    finally:
        for handle in handles:
            handle.remove()
    return {index: units.result() for index, units in totals.items() if units.samples}


class _Units:
    """Running totals of one activation module over chunks of samples; per unit, units are the last dimension."""

    def __init__(self) -> None:
        self.samples = 0

    def add(self, output_BN: Tensor) -> None:
        wide = output_BN.detach().to(accumulator(output_BN.device)).reshape(-1, output_BN.shape[-1])
        count, units = wide.shape
        mean = wide.mean(0)
        squares = (wide - mean).square().sum(0)
        between = wide.var(1, correction=0).sum() if units > 1 else wide.new_zeros(())
        alive = (wide != 0).any(0)
        if not self.samples:
            self.mean, self.squares, self.between, self.alive = mean, squares, between, alive
        else:  # Chan, Golub & LeVeque 1983, eq. 2.1: combine means and centred squares of two parts
            total = self.samples + count
            shift = mean - self.mean
            self.squares = self.squares + squares + shift.square() * (self.samples * count / total)
            self.mean = self.mean + shift * (count / total)
            self.between = self.between + between
            self.alive = self.alive | alive
        self.samples += count

    def result(self) -> dict[str, float]:
        across_samples = (self.squares / self.samples).mean().sqrt()
        across_units = (self.between / self.samples).sqrt()
        dead = (~self.alive).to(self.mean.dtype).mean()
        return {
            "dead_fraction": float(dead),
            "across_samples_std": float(across_samples),
            "across_units_std": float(across_units),
        }
