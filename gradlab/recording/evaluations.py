"""While the model is evaluated, without gradients, there are no hooks on it: it runs as if gradlab were not there.

`nn.TransformerEncoder`, for example, computes in another way, with other rounding, where a module in it has a hook.
A hook cannot see the end of a pass when it has been taken away, so one for all modules waits for that end meanwhile.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.hooks import RemovableHandle

from gradlab.recording.guard import Guard

WITH_FAST_PATHS = (nn.TransformerEncoder, nn.TransformerEncoderLayer)
"""Modules that look at the hooks of their parts. Each of them may be evaluated on its own."""


class Evaluations:
    """Takes the hooks of a model away for as long as it is evaluated.

    Args:
        handles: gives the handles of all hooks on modules.
        guard: what becomes of errors.
    """

    def __init__(self, handles: Callable[[], Iterable[RemovableHandle]], guard: Guard) -> None:
        self._handles = handles
        self._guard = guard
        self._taken: list[tuple[dict[int, Any], int, Any]] = []
        self._until: nn.Module | None = None
        self._waiting: RemovableHandle | None = None

    def begin(self, module: nn.Module) -> None:
        """A module is about to be evaluated. Called from a hook on it, which is taken away with the others."""
        if self._until is not None:
            return
        self._stop_waiting()
        self._until = module
        for handle in self._handles():
            hooks = handle.hooks_dict_ref()
            if hooks is not None and handle.id in hooks:
                self._taken.append((hooks, handle.id, hooks.pop(handle.id)))
        self._waiting = register_module_forward_hook(
            self._guard.closed(self._after, "the end of an evaluation"), always_call=True
        )

    def _after(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if module is self._until:
            self.end()
            if output is not None:  # after an error, PyTorch is going through the dictionary of this hook
                self._stop_waiting()

    def end(self) -> None:
        """Put the hooks back."""
        self._until = None
        for hooks, number, hook in self._taken:
            hooks[number] = hook
        self._taken.clear()

    def remove(self) -> None:
        """Leave nothing behind."""
        self.end()
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.remove()
            self._waiting = None


def evaluated(model: nn.Module) -> list[nn.Module]:
    """The modules whose evaluation is noticed: the model, and those that look at hooks."""
    return [model, *(part for part in model.modules() if isinstance(part, WITH_FAST_PATHS) and part is not model)]


def is_evaluation() -> bool:
    """Whether what is computed now has no gradient."""
    return not torch.is_grad_enabled()
