"""The optimizers of a training: the hooks on them, and when a step of one of them begins and ends."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import compiler, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradlab.recording.call_stack import is_nested
from gradlab.recording.guard import Guard
from gradlab.recording.hooks import Hook


class OnUpdate(Protocol):
    """Called when an optimizer, by number, begins an update."""

    def __call__(self, index: int, optimizer: Optimizer, *, has_closure: bool) -> None:
        """`has_closure`: whether the optimizer was given a function that evaluates the loss."""


class OnUpdated(Protocol):
    """Called when an optimizer, by number, has ended an update."""

    def __call__(self, index: int, *, last: bool) -> None:
        """`last`: whether this is the last optimizer, with which a step of the training ends."""


class WatchedOptimizers:
    """What updates a model.

    Args:
        optimizers: the optimizers, in the order in which they do their steps.
        on_update: called before each update.
        on_updated: called after each update.
        guard: what becomes of errors.

    Attributes:
        number: how many optimizers there are.
    """

    def __init__(
        self, optimizers: Sequence[Optimizer], on_update: OnUpdate, on_updated: OnUpdated, guard: Guard
    ) -> None:
        self.number = len(optimizers)
        self._optimizers = optimizers
        self._on_update, self._on_updated = on_update, on_updated
        self._guard = guard
        self._depths = [0] * self.number
        self._handles: list[RemovableHandle] = []

    def place_hooks(self) -> None:
        """Place the hooks."""
        for index, optimizer in enumerate(self._optimizers):
            before, after = (
                compiler.disable(Hook(each, index, self._guard, "the update of the weights"))
                for each in (self._before, self._after)
            )
            self._handles.append(optimizer.register_step_pre_hook(before))
            self._handles.append(optimizer.register_step_post_hook(after))

    def remove_hooks(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def parameters(self) -> list[list[nn.Parameter]]:
        """The parameters that each optimizer updates."""
        return [
            [each for group in optimizer.param_groups for each in group["params"]] for optimizer in self._optimizers
        ]

    @property
    def learning_rate(self) -> float:
        """That of the last optimizer's first group."""
        return float(self._optimizers[-1].param_groups[0]["lr"])

    def _before(self, index: int, optimizer: Optimizer, arguments: Any = (), options: Any = None) -> None:
        if self._depths[index] and is_nested(optimizer):  # a class calls `step` of the class from which it is derived
            self._depths[index] += 1
            return
        self._depths[index] = 1
        has_closure = any(map(callable, (*arguments[1:], *(options or {}).values())))
        self._on_update(index, optimizer, has_closure=has_closure)

    def _after(self, index: int, *_: Any) -> None:
        self._depths[index] -= 1
        if self._depths[index] <= 0:
            self._on_updated(index, last=index == self.number - 1)
