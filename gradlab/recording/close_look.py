"""What is measured in some records only: what enters the first layers, which units are off or copies, and how far the
running statistics of batch normalization are from those of the batch.

Both need more than one sum of a tensor. They change slowly, so that a few records tell: the first, and four in a row
from record 10, 100, and so on. One batch does not tell a dead unit from one that is off for the moment; four in a row
do better.

Suffixes: N samples and positions, F features or units.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gradlab.recording.main_tensor import is_readable
from gradlab.recording.sum_table import accumulator

IN_A_ROW = 4
"""Records that are looked at together."""
FIRSTS = tuple(10**power for power in range(1, 10))
"""Records with which looking at four in a row begins, by number."""
RECORDS = frozenset((0, *(first + further for first in FIRSTS for further in range(IN_A_ROW))))
"""The records that are looked at."""
ENTRIES = 2**20
"""Entries of an input that are read at most, in whole samples."""
SAMPLES = 100
"""Of fewer samples, or positions, a unit that is off may be off by chance."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
"""Modules that apply their activation functions themselves."""
ENOUGH = 16
"""Of fewer samples and positions in a batch, its mean and standard deviation say too little."""
CONSTANT = 1e-6
"""A feature is constant if it varies by less of its size than this; float32 has seven digits."""

Found = dict[int, dict[str, float]]
"""What was found, for each module by number: values by name, as `gradlab.statistics.STATISTICS` documents them."""


class CloseLook:
    """Looks at tensors in the records for that. It remembers, within four records, which units were not 0.

    Args:
        units: whether units are looked at; not where full passes over the training split do so.
    """

    def __init__(self, *, units: bool) -> None:
        self._units = units
        self._alive: dict[int, Tensor] = {}
        self._samples: Counter[int] = Counter()
        self._channels_first = False
        self._found: Found = {}
        self._last = False

    def begin(self, record: int) -> None:
        """A record begins that is looked at.

        Args:
            record: its number.
        """
        self._found = {}
        self._channels_first = False
        self._last = record > 0 and record + 1 not in RECORDS
        if record in FIRSTS:
            self._alive.clear()
            self._samples.clear()

    def found(self) -> Mapping[int, Mapping[str, float]]:
        """What was found in the record."""
        if self._last:
            for index in (index for index, samples in self._samples.items() if samples >= SAMPLES):
                alive_F = self._alive[index]
                self._found.setdefault(index, {})["dead_fraction"] = float((~alive_F).double().mean())
        return self._found

    def at_output(self, index: int, kind: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Look at what a module has got and returned.

        Args:
            index: the module, by number.
            kind: its kind.
            module: the module.
            inputs: what it has got.
            output: what it has returned.
        """
        if kind == "weight":
            self._channels_first = is_convolution(module)
            if inputs and isinstance(inputs[0], Tensor) and index not in self._found:
                self._look_at_input(index, inputs[0])
            if self._units and isinstance(module, RECURRENT) and output.ndim > 1:
                self._look_for_copies(index, by_feature(output.detach(), channels_first=False))
        elif kind == "norm" and self._units and index not in self._found:
            self._look_at_statistics(index, module, inputs)
        elif kind == "activation" and self._units and output.ndim > 1:
            self._look_at_units(index, by_feature(output.detach(), channels_first=self._channels_first))

    def _look_at_input(self, index: int, x: Tensor) -> None:
        """Measure what comes from outside: no parameter has had a part in it."""
        if x.grad_fn is not None or not x.is_floating_point() or x.ndim < 2 or not is_readable(x):
            return
        samples = max(1, ENTRIES * len(x) // max(1, x.numel()))
        x_NF = by_feature(x.detach()[:samples], channels_first=self._channels_first).to(accumulator(x.device))
        mean_F, std_F = x_NF.mean(0), x_NF.std(0, correction=0)
        varies_F = std_F > CONSTANT * mean_F.abs()
        if not bool(varies_F.any()):
            return
        mean_F, std_F = mean_F[varies_F], std_F[varies_F]
        squares_F = mean_F.square() + std_F.square()
        mean = mean_F.mean()
        rms_F = squares_F.sqrt()
        self._found[index] = {
            "input_mean": float(mean),
            "input_std": float((squares_F.mean() - mean.square()).clamp(min=0).sqrt()),
            "input_disparity": float(rms_F.max() / rms_F.median()),
        }

    def _look_at_statistics(self, index: int, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Compare the running statistics of batch normalization with those of the batch that it has just normalized."""
        if not isinstance(module, BATCH_NORMS) or not module.training or not inputs:
            return
        if module.running_mean is None or module.running_var is None:
            return
        x_NF = by_feature(inputs[0].detach(), channels_first=True).to(accumulator(inputs[0].device))
        if len(x_NF) < ENOUGH:
            return
        mean_F, std_F = x_NF.mean(0), x_NF.std(0)
        running_mean_F, running_std_F = module.running_mean, module.running_var.to(std_F).sqrt()
        varies_F = (std_F > CONSTANT * mean_F.abs()) & (running_std_F > 0)
        if not bool(varies_F.any()):
            return
        off_F = ((mean_F - running_mean_F) / running_std_F)[varies_F]
        decades_F = (std_F / running_std_F)[varies_F].log10()
        self._found[index] = {
            "running_mean_off": float(off_F.square().mean().sqrt()),
            "running_std_off": float(decades_F.square().mean().sqrt()),
        }

    def _look_at_units(self, index: int, x_NF: Tensor) -> None:
        alive_F = (x_NF != 0).any(0)
        before = self._alive.get(index, alive_F)
        self._samples[index] += len(x_NF)
        if before.shape == alive_F.shape:
            self._alive[index] = before | alive_F
        else:  # a function that is called for several layers
            self._alive[index] = torch.ones_like(alive_F)
        self._look_for_copies(index, x_NF)

    def _look_for_copies(self, index: int, x_NF: Tensor) -> None:
        if x_NF.shape[1] > 1:
            found = self._found.setdefault(index, {})
            across = float(x_NF.to(accumulator(x_NF.device)).var(1, correction=0).mean().sqrt())
            found["across_units_std"] = max(across, found.get("across_units_std", 0.0))


def is_convolution(module: nn.Module) -> bool:
    """Whether the features of what a module reads and returns are the second dimension."""
    return isinstance(module, CONVOLUTIONS)


def by_feature(x: Tensor, *, channels_first: bool) -> Tensor:
    """A tensor as a matrix, samples and positions × features or units.

    Args:
        x: the tensor, with at least two dimensions.
        channels_first: whether the features are its second dimension, where it has more than two; otherwise they are
            the last.
    """
    whole = x.movedim(1, -1) if channels_first and x.ndim > 2 else x
    return whole.reshape(-1, whole.shape[-1])
