"""What the hooks that are called most have to know, in one place: native hooks read it without asking Python.

`native/hooks.c` has the same class in C, and with it the hook of an output and that of its gradient, for what they are
called with most: dense tensors that a native kernel reads. They do what `Recorder.on_output` and `Recorder.on_delta`
do; whatever is out of the ordinary they leave to those. Where there are no native hooks, those do everything.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradlab.recording.calls import Call, Calls
from gradlab.recording.hooks import Hook
from gradlab.recording.layout import Place, may_call_functions
from gradlab.recording.native import HOOKS, KERNELS


class State:
    """How things stand in the step that is being recorded.

    Attributes:
        open: whether native hooks may record: nothing but statistics is wanted of an output.
        undecided: whether somebody still has to be told of every output, to find modules that only hand it on.
        step: number of the step.
        backward_pass: number of the backward pass whose gradients are coming; −1 outside of one.
        base: address of the first row of the calls in main memory.
        rows: how many there is room for.
        seconds: what the hooks have cost in this step.
    """

    __slots__ = ("backward_pass", "base", "open", "rows", "seconds", "step", "undecided")

    def __init__(self) -> None:
        self.open = self.undecided = False
        self.step = self.base = self.rows = 0
        self.backward_pass = -1
        self.seconds = 0.0


def new_state() -> State:
    """A state that native hooks can read, if there are any."""
    return State() if HOOKS is None else HOOKS.State()


def output_hook(
    state: State,
    calls: Calls,
    place: Place,
    index: int,
    *,
    decided: bool,
    describe: Callable[[int, int, torch.dtype], Call],
    on_output: Callable[..., None],
    on_delta: Callable[[Calls, int, int, Tensor], None],
    on_any: Callable[[Tensor], None],
) -> Any:
    """A forward hook for a place.

    Args:
        state: the state.
        calls: the rows of main memory.
        place: the place.
        index: its number.
        decided: whether it is known that its outputs are its own.
        describe: makes a `Call` of the sizes of output and input, and the output's format.
        on_output: takes any output; called with `index` and what the hook is called with.
        on_delta: takes any gradient: whose rows, which row, of which step, the gradient.
        on_any: is told of every output while `state.undecided`.
    """
    hook = Hook(on_output, index)
    functional = place.kind == "other" and may_call_functions(place.module)
    if HOOKS is None or not KERNELS or place.in_place or functional:
        return hook
    edges = (0, 0, -1)
    if place.saturation is not None:
        narrow, wide = (calls.limits(dtype, place.saturation) for dtype in (torch.float32, torch.float64))
        edges = (narrow[0], wide[0], len(place.saturation))
    return HOOKS.Output(state, calls, describe, hook, on_delta, on_any, edges, decided)
