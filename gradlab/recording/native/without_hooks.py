"""What `hooks.c` has, in Python: for a library that was compiled where Python's headers were not there."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from gradlab.recording.hooks import Hook, HookFields
from gradlab.recording.native.dense import dense
from gradlab.recording.step import Current

Fields = HookFields
__all__ = ["Current", "Fields", "Gradient", "Output", "gradients", "starts"]


def Output(current: Current, describe: Any, on_output: Hook, *others: Any) -> Hook:
    """A forward hook."""
    return on_output


def Gradient(current: Current, on_gradient: Hook, *others: Any) -> Hook:
    """A hook of a large parameter."""
    return on_gradient


def gradients(parameters: list[nn.Parameter], numbers: tuple[int, ...], *addresses: int) -> Sequence[int]:
    """Take no gradients: all are left."""
    return numbers


def starts(
    parameters: list[nn.Parameter], numbers: tuple[int, ...], dtype: torch.dtype, sizes: int, addresses: int
) -> bool:
    """Write where the entries of some parameters lie; false where one has another format or size, or is not dense."""
    old_sizes, starts = ((ctypes.c_int64 * len(numbers)).from_address(address) for address in (sizes, addresses))
    for place, number in enumerate(numbers):
        weight = parameters[number].detach()
        if weight.numel() != old_sizes[place] or weight.dtype is not dtype or not weight.is_cpu or not dense(weight):
            return False
        starts[place] = weight.data_ptr()
    return True
