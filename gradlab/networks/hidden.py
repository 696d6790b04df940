"""A hidden layer of a network that a config lists: a weight layer, an activation, and what may stand beside them."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gradlab import choices
from gradlab.networks import activations, initializers, normalizations
from gradlab.networks.evaluation import batch_statistics


class HiddenLayer(nn.Module):
    """A weight layer, an activation, and a normalization before or after the activation or none.

    Args:
        name: what its weight layer is called: `linear` or `conv`.
        weight: the weight layer.
        units: features, or channels, of its output.
        config: activation, normalization and residual connection.
        skip: whether its input has the shape of its output, so that a residual connection can add the two.
    """

    def __init__(self, name: str, weight: nn.Module, units: int, config: choices.Layered, *, skip: bool) -> None:
        super().__init__()
        parts = [(name, weight), ("activation", activations.module(config.activation))]
        norm = normalizations.module(config.normalization, units, maps=isinstance(weight, nn.Conv2d))
        if norm is not None:
            parts.insert(1 if config.normalization.where == "before" else 2, ("norm", norm))
        for part_name, part in parts:
            self.add_module(part_name, part)
        scale = config.residual_scale if skip else None
        self.residual = scale is not None
        learned = nn.Parameter(torch.zeros(1, dtype=torch.float64)) if scale == 0 else None
        self.scale = learned if scale == 0 else None if scale == 1 else scale

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, …) ─► (batch, units, …)."""
        out = x
        for part in self.children():
            out = part(out)
        if self.scale is not None:
            out = self.scale * out
        return x + out if self.residual else out


def unit_variance(
    model: nn.Module, stages: Iterable[tuple[nn.Module | None, nn.Module]], choice: choices.LSUV, batch: Tensor
) -> None:
    """Scale each weight layer, front to back, until its output has unit variance on a batch.

    Mishkin & Matas 2016, Algorithm 1. A layer whose output does not vary at all is left as it is. Biases are not
    scaled: where they alone vary more than 1, no weights bring the variance down to it. Buffers, such as BatchNorm's
    running statistics, are what they were afterwards.

    Args:
        model: the network.
        stages: its parts from the input to the output, and of each, the weight layer that reads its input.
        choice: tolerance and number of attempts.
        batch: what enters the first stage.
    """
    x = batch
    with batch_statistics(model):
        for weight, stage in stages:
            for _ in range(choice.max_iterations if weight is not None else 0):
                assert weight is not None
                assert isinstance(weight.weight, Tensor)
                variance = weight(x).cpu().double().var(correction=0).item()
                if not 0 < variance < float("inf") or abs(variance - 1) < choice.tolerance:
                    break
                weight.weight.div_(variance**0.5)
            x = stage(x)


def draw(layers: Iterable[nn.Linear | nn.Conv2d], config: choices.Layered, generator: torch.Generator) -> None:
    """Draw weights and biases of layers in their order, from the generator alone.

    Args:
        layers: those with weights, from the input to the output.
        config: how weights and biases start.
        generator: on the CPU.
    """
    with torch.no_grad():
        for layer in layers:
            initializers.fill(config.initializer, layer.weight, generator)
            assert layer.bias is not None
            bias = torch.empty(layer.bias.shape, dtype=torch.float64).normal_(generator=generator)
            layer.bias.copy_(bias * config.bias_std)
