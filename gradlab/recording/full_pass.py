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


class FullPass:
    """What each activation module does over all samples, again and again: it remembers which units were dead.

    Args:
        model: the network.
        places: the recorded modules.
    """

    def __init__(self, model: nn.Module, places: Sequence[Place]) -> None:
        self._model = model
        self._places = places
        self._dead: dict[int, Tensor] = {}

    def __call__(self, x: Tensor) -> Mapping[int, Mapping[str, float]]:
        """Pass all samples through the network.

        Args:
            x: the training split, (samples, features).

        Returns:
            For the index of each activation in `places`: `dead_fraction`, the share of units that are exactly 0 on
            every sample; `revived_fraction`, the share of units that were dead in the pass before and are not now,
            absent in the first pass; `across_samples_std` and `across_units_std` as `statistics.LAYER_STATISTICS`
            defines them.
        """
        totals = {index: _Units() for index, place in enumerate(self._places) if place.kind == "activation"}

        def add(index: int, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            totals[index].add(output)

        handles = [self._places[index].module.register_forward_hook(partial(add, index)) for index in totals]
        try:
            with batch_statistics(self._model):
                for chunk in x.tensor_split(-(-len(x) // CHUNK)):
                    self._model(chunk)
        finally:
            for handle in handles:
                handle.remove()
        found = {index: units.result(self._dead.get(index)) for index, units in totals.items() if units.samples}
        self._dead = {index: ~units.alive for index, units in totals.items() if units.samples}
        return found


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

    def result(self, dead_before: Tensor | None) -> dict[str, float]:
        across_samples = (self.squares / self.samples).mean().sqrt()
        across_units = (self.between / self.samples).sqrt()
        dead = (~self.alive).to(self.mean.dtype).mean()
        revived = None if dead_before is None else (dead_before & self.alive).to(self.mean.dtype).mean()
        return {
            "dead_fraction": float(dead),
            **({} if revived is None else {"revived_fraction": float(revived)}),
            "across_samples_std": float(across_samples),
            "across_units_std": float(across_units),
        }
