"""The one tensor of a module's output that its row is about, whatever the module returns."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from gradlab.recording.shards import is_distributed_tensor
from gradlab.recording.torch_private import stands_in


def main_tensor(output: Any) -> Tensor | None:
    """The first tensor of numbers with more than one entry; a tensor that has a gradient goes before one without.

    Tuples, lists, mappings, dataclasses and objects are searched in their own order, in which the main result comes
    first by convention: `(output, state)` of an LSTM, `last_hidden_state` of a transformer. A loss in front of the main
    result has one entry and is passed over.
    """
    first = None
    for tensor in tensors_in(output):
        if is_number(tensor) and is_readable(tensor):
            if tensor.numel() > 1 and tensor.requires_grad:
                return tensor
            if first is None or (first.numel() == 1 and tensor.numel() > 1):
                first = tensor
    return first


def is_number(tensor: Tensor) -> bool:
    """Whether a tensor's entries are real or complex numbers."""
    return tensor.is_floating_point() or tensor.is_complex()


def is_readable(tensor: Tensor) -> bool:
    """Whether a tensor has its entries in memory: it is not sparse, nested, distributed, `meta` or in `torch.func`."""
    if tensor.layout is not torch.strided or tensor.is_meta or stands_in(tensor) or is_distributed_tensor(tensor):
        return False
    return tensor.numel() > 0


def tensors_in(output: Any, depth: int = 0) -> Iterator[Tensor]:
    """All tensors of a module's output, in its own order."""
    if isinstance(output, Tensor):
        yield output
    elif depth > 4:
        return
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors_in(value, depth + 1)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from tensors_in(value, depth + 1)
    elif dataclasses.is_dataclass(output):
        for field in dataclasses.fields(output):
            yield from tensors_in(getattr(output, field.name), depth + 1)
    elif hasattr(output, "__dict__") and not callable(output):
        yield from tensors_in(dict(vars(output)), depth + 1)
