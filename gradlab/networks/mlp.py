"""The kind `mlp`: hidden layers of Linear, normalization or none, and activation; then a Linear output layer."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from gradlab import choices
from gradlab.networks import activations, initializers, normalizations
from gradlab.networks.evaluation import batch_statistics
from gradlab.seeding import stream


class HiddenLayer(nn.Module):
    """Linear, activation, and a normalization before or after the activation or none.

    Args:
        fan_in: features of the input.
        fan_out: units.
        config: activation, normalization and residual connection.
    """

    def __init__(self, fan_in: int, fan_out: int, config: choices.MLP) -> None:
        super().__init__()
        parts = [("linear", _linear(fan_in, fan_out)), ("activation", activations.module(config.activation))]
        norm = normalizations.module(config.normalization, fan_out)
        if norm is not None:
            parts.insert(1 if config.normalization.where == "before" else 2, ("norm", norm))
        for name, part in parts:
            self.add_module(name, part)
        scale = config.residual_scale if fan_in == fan_out else None
        self.residual = scale is not None
        learned = nn.Parameter(torch.zeros(1, dtype=torch.float64)) if scale == 0 else None
        self.scale = learned if scale == 0 else None if scale == 1 else scale

    def forward(self, x: Tensor) -> Tensor:
        """(batch, fan_in) ─► (batch, fan_out)."""
        out = x
        for part in self.children():
            out = part(out)
        if self.scale is not None:
            out = self.scale * out
        return x + out if self.residual else out


class MLP(nn.Module):
    """Modules `hidden.0.linear`, `hidden.0.norm`, `hidden.0.activation`, …, `output`.

    Args:
        config: depth, widths and what a hidden layer is made of.
        features: of the input.
        classes: logits of the output.
    """

    def __init__(self, config: choices.MLP, features: int, classes: int) -> None:
        super().__init__()
        fans = (features, *config.hidden_widths)
        self.hidden = nn.Sequential(*(HiddenLayer(fan_in, fan_out, config) for fan_in, fan_out in pairwise(fans)))
        self.output = _linear(fans[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features) ─► logits (batch, classes)."""
        logits: Tensor = self.output(self.hidden(x))
        return logits

    def linears(self) -> Iterator[nn.Linear]:
        """The weight layers, from the input to the output."""
        return (module for module in self.modules() if isinstance(module, nn.Linear))


def build_mlp(
    config: choices.MLP,
    *,
    features: int,
    classes: int,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
    batch: Tensor | None = None,
) -> MLP:
    """Build and initialize a network, from the seed alone: the global random state is neither read nor moved.

    Layers are drawn from the input to the output, so the first layers of a deeper network are the same.

    Args:
        config: the network.
        features: of the input.
        classes: logits of the output.
        seed: the config's.
        dtype: of parameters and buffers.
        device: where they go.
        batch: (batch, features), on the device; what LSUV looks at.

    Raises:
        ValueError: LSUV without a batch.
    """
    model = MLP(config, features, classes)
    generator = torch.Generator().manual_seed(stream(seed, "weights"))
    with torch.no_grad():
        for linear in model.linears():
            initializers.fill(config.initializer, linear.weight, generator)
            bias = torch.empty(linear.bias.shape, dtype=torch.float64).normal_(generator=generator)
            linear.bias.copy_(bias * config.bias_std)
    model.to(device=device, dtype=dtype)
    if isinstance(config.initializer, choices.LSUV):
        if batch is None:
            raise ValueError("lsuv needs a batch of data")
        _unit_variance(model, config.initializer, batch)
    return model


def _linear(fan_in: int, fan_out: int) -> nn.Linear:
    """A Linear that has not drawn weights from the global random state; float64, so that nothing drawn is rounded."""
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=torch.float64)
    return linear


def _unit_variance(model: MLP, choice: choices.LSUV, batch: Tensor) -> None:
    """Scale each weight layer, front to back, until its output has unit variance on a batch.

    Mishkin & Matas 2016, Algorithm 1. A layer whose output does not vary at all is left as it is. Biases are not
    scaled: where they alone vary more than 1, no weights bring the variance down to it. Buffers, such as BatchNorm's
    running statistics, are what they were afterwards.
    """
    x = batch
    with batch_statistics(model):
        for linear, layer in zip(model.linears(), (*model.hidden, model.output), strict=True):
            for _ in range(choice.max_iterations):
                variance = linear(x).cpu().double().var(correction=0).item()
                if not 0 < variance < float("inf") or abs(variance - 1) < choice.tolerance:
                    break
                linear.weight.div_(variance**0.5)
            x = layer(x)
