"""The kind `cnn`: hidden layers of Conv2d, normalization or none, and activation; the mean over each map; a Linear."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from gradlab import choices
from gradlab.networks.hidden import HiddenLayer, draw, unit_variance
from gradlab.networks.mlp import linear
from gradlab.seeding import stream


class CNN(nn.Module):
    """Modules `hidden.0.conv`, `hidden.0.norm`, `hidden.0.activation`, …, `pool`, `output`.

    Args:
        config: depth, channels, kernels, strides and what a hidden layer is made of.
        image: channels, height and width of a sample.
        classes: logits of the output.
    """

    def __init__(self, config: choices.CNN, image: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.image = image
        self.positions = image[1] * image[2]  # of the largest maps
        channels = (image[0], *config.hidden_widths)
        layers = []
        for (inputs, units), kernel, stride in zip(pairwise(channels), config.kernels, config.strides, strict=True):
            conv = _conv(inputs, units, kernel, stride)
            layers.append(HiddenLayer("conv", conv, units, config, skip=inputs == units and stride == 1))
        self.hidden = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.output = linear(channels[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, …), the numbers of an image in the order of channels, rows, columns ─► logits (batch, classes)."""
        maps = self.pool(self.hidden(x.reshape(len(x), *self.image)))
        logits: Tensor = self.output(maps.flatten(1))
        return logits

    def weight_layers(self) -> Iterator[nn.Conv2d | nn.Linear]:
        """The weight layers, from the input to the output."""
        return (module for module in self.modules() if isinstance(module, nn.Conv2d | nn.Linear))


def build_cnn(
    config: choices.CNN,
    *,
    features: tuple[int, int, int],
    classes: int,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
    batch: Tensor | None = None,
) -> CNN:
    """Build and initialize a network, from the seed alone: the global random state is neither read nor moved.

    Layers are drawn from the input to the output, so the first layers of a deeper network are the same.

    Args:
        config: the network.
        features: channels, height and width of a sample.
        classes: logits of the output.
        seed: the config's.
        dtype: of parameters and buffers.
        device: where they go.
        batch: (batch, …), on the device; what LSUV looks at.

    Raises:
        ValueError: LSUV without a batch.
    """
    model = CNN(config, features, classes)
    draw(model.weight_layers(), config, torch.Generator().manual_seed(stream(seed, "weights")))
    model.to(device=device, dtype=dtype)
    if isinstance(config.initializer, choices.LSUV):
        if batch is None:
            raise ValueError("lsuv needs a batch of data")
        pooled = nn.Sequential(model.pool, nn.Flatten())
        convolutions = zip(model.weight_layers(), model.hidden, strict=False)
        stages = [*convolutions, (None, pooled), (model.output, model.output)]
        unit_variance(model, stages, config.initializer, batch.reshape(len(batch), *features))
    return model


def _conv(inputs: int, units: int, kernel: int, stride: int) -> nn.Conv2d:
    """A convolution that has not drawn weights; where it has no stride, its output has the size of its input."""
    conv: nn.Conv2d = nn.utils.skip_init(
        nn.Conv2d, inputs, units, kernel, stride=stride, padding=kernel // 2, dtype=torch.float64
    )
    return conv
