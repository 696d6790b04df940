"""The kind `mlp`: hidden layers of Linear, normalization or none, and activation; then a Linear output layer."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from gradlab import choices
from gradlab.networks.hidden import HiddenLayer, draw, unit_variance
from gradlab.seeding import stream


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
        self.hidden = nn.Sequential(
            *(
                HiddenLayer("linear", linear(fan_in, fan_out), fan_out, config, skip=fan_in == fan_out)
                for fan_in, fan_out in pairwise(fans)
            )
        )
        self.output = linear(fans[-1], classes)

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
    draw(model.linears(), config, torch.Generator().manual_seed(stream(seed, "weights")))
    model.to(device=device, dtype=dtype)
    if isinstance(config.initializer, choices.LSUV):
        if batch is None:
            raise ValueError("lsuv needs a batch of data")
        stages = zip(model.linears(), (*model.hidden, model.output), strict=True)
        unit_variance(model, stages, config.initializer, batch)
    return model


def linear(fan_in: int, fan_out: int) -> nn.Linear:
    """A Linear that has not drawn weights from the global random state; float64, so that nothing drawn is rounded."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=torch.float64)
    return layer
