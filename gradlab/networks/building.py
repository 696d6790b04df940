"""A config's network: which function builds which kind."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gradlab.choices import Model
from gradlab.networks.cnn import build_cnn
from gradlab.networks.mlp import build_mlp
from gradlab.networks.python import build_python

_BUILDERS: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": build_mlp,
    "cnn": build_cnn,
    "python": build_python,
}


def build(
    model: Model,
    *,
    features: int | tuple[int, ...],
    classes: int,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
    batch: Tensor | None = None,
) -> nn.Module:
    """Build and initialize a network of any kind, from the seed alone.

    Args:
        model: its kind and its options.
        features: of the input; where the samples have another shape than one row of numbers, that shape.
        classes: logits of the output.
        seed: the config's.
        dtype: of parameters and buffers.
        device: where they go.
        batch: (batch, features), on the device; for an initializer that looks at data, and layers that wait for it.
    """
    about: dict[str, Any] = {"features": features, "classes": classes, "seed": seed, "dtype": dtype, "device": device}
    return _BUILDERS[model.kind](model, **about, batch=batch)
