"""What `native/hooks.c` has, in Python: for devices and installations without native hooks.

The C code has the same names with the same arguments. These here leave all tensors to the methods that take any tensor.
"""

import ctypes
import operator
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn

from gradlab.recording.dense import dense


class Fields:
    """What the hooks that are called most need of a step.

    Args:
        base: the address of the first row of the sums of calls in main memory.
        rows: how many rows there is room for.

    Attributes:
        open: whether native hooks may record. They may while nothing but sums is wanted.
        undecided: whether `OutputMethods.on_any` has to be told of every output.
        backward_pass: the number of the backward pass whose gradients are coming; −1 outside of one.
        seconds: what the hooks have cost in this step.
        calls: the calls in main memory so far.
        delta_sizes: for each call, the number of entries of the gradient that its output received; 0 at first.
    """

    __slots__ = ("backward_pass", "base", "calls", "delta_sizes", "open", "rows", "seconds", "undecided")

    def __init__(self, base: int, rows: int) -> None:
        self.open = self.undecided = False
        self.backward_pass = -1
        self.base, self.rows = base, rows
        self.seconds = 0.0
        self.calls: list[Any] = []
        self.delta_sizes: list[int] = []


class Current:
    """Holds the step that is going on, for all that record."""

    step: Any
    """A `Step`; only its attribute `fields` is looked at."""


def Output(current: Current, describe: Any, on_output: Any, *others: Any) -> Any:
    """A forward hook; see `OutputMethods`."""
    return on_output


def Gradient(current: Current, on_gradient: Any, *others: Any) -> Any:
    """A hook that takes Σ g² of a large parameter when its gradient is there; `on_gradient` takes any."""
    return on_gradient


def gradients(parameters: list[nn.Parameter], numbers: tuple[int, ...], sums: int, flags: int) -> Sequence[int]:
    """Take Σ g² of some parameters into their rows of sums, and set a flag for each that has a gradient.

    Returns:
        The numbers of those that are left for `Backend.take_squares`: all of them.
    """
    return numbers


def starts(
    parameters: list[nn.Parameter], numbers: tuple[int, ...], dtype: torch.dtype, sizes: int, addresses: int
) -> bool:
    """Write where the entries of some parameters lie; false where one has another format or size, or is not dense."""
    old_sizes, found = ((ctypes.c_int64 * len(numbers)).from_address(address) for address in (sizes, addresses))
    for place, number in enumerate(numbers):
        weight = parameters[number].detach()
        if weight.numel() != old_sizes[place] or weight.dtype is not dtype or not weight.is_cpu or not dense(weight):
            return False
        found[place] = weight.data_ptr()
    return True


def identities(objects: list[Any], attribute: str) -> bytes:
    """Which object an attribute of each object is, as bytes that can be compared."""
    return np.array([id(getattr(each, attribute)) for each in objects], dtype=np.uintp).tobytes()


def hold(dicts: list[dict[str, Any]], contents: list[tuple[Any, ...]]) -> bool:
    """Whether each dictionary has these keys and values, in this order, and they are the same objects."""
    return all(
        len(content) == 2 * len(each) and all(map(operator.is_, chain.from_iterable(each.items()), content))
        for each, content in zip(dicts, contents, strict=True)
    )
