"""Statistics that need every sample: a pass over the whole training split, which leaves no trace in the training."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from gradlab.networks.evaluation import batch_statistics, samples_at_once
from gradlab.recording.close_look import by_feature
from gradlab.recording.modules import RecordedModule
from gradlab.recording.sum_table import accumulator

MAPS = 4
"""Dimensions of what a layer over images puts out, (batch, channels, height, width); its units are the channels."""


class FullPass:
    """Measures what each activation module does over all samples. It remembers which units were dead in the last pass.

    Args:
        model: the network.
        modules: the recorded modules.
    """

    def __init__(self, model: nn.Module, modules: Sequence[RecordedModule]) -> None:
        self._model = model
        self._activations = {i: module.module for i, module in enumerate(modules) if module.kind == "activation"}
        self._dead: dict[int, Tensor] = {}

    def __call__(self, x: Tensor) -> Mapping[int, Mapping[str, float]]:
        """Pass all samples through the network.

        Args:
            x: the training split, (samples, features).

        Returns:
            For the index of each activation: `dead_fraction`, `revived_fraction`, which is absent in the first pass,
            `across_samples_std` and, of several units, `across_units_std`, as `gradlab.statistics.STATISTICS` documents
            them.
        """
        totals = {index: _Units() for index in self._activations}

        def add(index: int, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            totals[index].add(by_feature(output.detach(), channels_first=output.ndim == MAPS))

        handles = [module.register_forward_hook(partial(add, i)) for i, module in self._activations.items()]
        try:
            with batch_statistics(self._model):
                for chunk in x.tensor_split(-(-len(x) // samples_at_once(self._model))):
                    self._model(chunk)
        finally:
            for handle in handles:
                handle.remove()
        found = {index: units.result(self._dead.get(index)) for index, units in totals.items() if units.samples}
        self._dead = {index: ~units.alive for index, units in totals.items() if units.samples}
        return found


class _Units:
    """Running totals of one activation module over chunks of samples, and of positions where the units are maps."""

    def __init__(self) -> None:
        self.samples = 0

    def add(self, output_BN: Tensor) -> None:
        wide = output_BN.to(accumulator(output_BN.device))
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
            **({"across_units_std": float(across_units)} if self.mean.numel() > 1 else {}),
        }
