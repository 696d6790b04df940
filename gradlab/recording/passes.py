"""The passes of a step: forward passes of the model, and the passes of autograd through them.

δ and the loss of a step are those from which its update was made:

- `backward` counts. Several calls add up: their losses, and their δ as vectors, where they go through the same graph.
- `torch.autograd.grad` counts only in a step without `backward`, and only with respect to parameters.
- A pass counts no more once its gradients are gone: set to None or to zero before an optimizer has used them.
- A forward pass of the model whose outputs have received no δ is left out where another one has received some.
"""

import weakref
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor

from gradlab.recording.calls import Calls
from gradlab.recording.dense import real
from gradlab.recording.shards import is_distributed_tensor
from gradlab.recording.torch_private import BackwardCall


class Mode(Enum):
    """What is done with the δ of a pass of autograd."""

    DIRECT = auto()
    """Its sums are taken; native hooks may do so."""
    ADD = auto()
    """The same, and it is kept, because another pass may go through the same graph: then both are added up."""
    IGNORE = auto()
    """Nothing."""


class Passes:
    """The passes of a step.

    Attributes:
        began: whether there was one of autograd that counts and met a recorded module.
        accumulated: whether one of them was a call of `backward`.
        losses: what was differentiated: a number for each pass that counts, None where it is not one number.
        number: the pass that is going on; −1 outside of one.
        mode: what is done with its δ.
        phases: the steps that each optimizer had done when the last `backward` ended; None before.
        in_closure: whether an optimizer is stepping that calls a closure, which computes the model again (LBFGS).
        scale: what the loss was multiplied with.
        reduction: over how many ranks the gradients are added up, and by what their sum is divided.
    """

    def __init__(self) -> None:
        self.began = self.accumulated = self.in_closure = False
        self.losses: list[Tensor | float | None] = []
        self.number = -1
        self.mode = Mode.DIRECT
        self.phases: tuple[int, ...] | None = None
        self.scale: Tensor | float = 1.0
        self.reduction = 1, 1.0
        self._last: tuple[Any, ...] = ()
        self._kept: dict[tuple[Calls, int], Tensor] = {}
        self._forwards: list[list[tuple[Calls, int]]] = []

    # ------------------------------------------------------------------------------------------------- forward passes

    def begin_forward(self, calls: Mapping[Any, Calls]) -> None:
        """The whole model is about to compute: note how many rows there are."""
        self._forwards.append([(each, len(each.calls)) for each in calls.values()])

    @property
    def forward(self) -> bool:
        """Whether the whole model has computed, with gradients."""
        return bool(self._forwards)

    def starts(self, calls: Mapping[Any, Calls], out: Mapping[Calls, set[int]]) -> tuple[int, ...]:
        """Where forward passes of the whole model begin in the list of all calls, device by device.

        Args:
            calls: the calls of each device.
            out: rows that are left out of the list.
        """
        offsets, total = {}, 0
        for each in calls.values():
            offsets[each] = total
            total += len(each.calls) - len(out.get(each, ()))
        found = {
            offsets[each] + row - sum(1 for left in out.get(each, ()) if left < row)
            for forward in self._forwards
            for each, row in forward
        }
        return tuple(sorted(found))

    def left_out(self, calls: Mapping[Any, Calls]) -> Mapping[Calls, set[int]]:
        """The rows of forward passes that have led to nothing."""
        if not self._forwards or (len(self._forwards) == 1 and not any(row for _, row in self._forwards[0])):
            return {}
        parts: list[list[tuple[Calls, range]]] = []
        starts: dict[Calls, int] = {}
        for forward in [*self._forwards, [(each, len(each.calls)) for each in calls.values()]]:
            parts.append([(each, range(starts.get(each, 0), row)) for each, row in forward])
            starts.update(forward)
        led = [any(any(each.delta_sizes[rows.start : rows.stop]) for each, rows in part) for part in parts]
        out: dict[Calls, set[int]] = {}
        if any(led):
            for each, rows in (pair for part, has in zip(parts, led, strict=True) if not has for pair in part):
                out.setdefault(each, set()).update(rows)
        return {each: rows for each, rows in out.items() if rows}

    # ------------------------------------------------------------------------------------------------ backward passes

    def is_same(self, call: BackwardCall | None) -> bool:
        """Whether a pass belongs to the call that came last: a pass inside a pass, or the outer one that goes on."""
        parts = () if call is None else (*call.roots, *call.gradients)
        return bool(self._last) and len(parts) == len(self._last) and all(
            part is (last() if isinstance(last, weakref.ref) else last)
            for part, last in zip(parts, self._last, strict=True)
        )  # fmt: skip

    def begin(self, call: BackwardCall | None, *, trains: bool) -> None:
        """A pass that does not belong to the last call has begun.

        Args:
            call: the call; None where it cannot be seen.
            trains: whether it differentiates with respect to parameters.
        """
        accumulates = call is None or call.accumulates
        parts = () if call is None else (*call.roots, *call.gradients)
        self._last = tuple(weakref.ref(part) if isinstance(part, Tensor) else part for part in parts)
        if not accumulates and (self.accumulated or not trains):
            self.mode = Mode.IGNORE
            return
        self.began = True
        self.accumulated |= accumulates
        keeps = call is not None and (call.keeps_graph or not accumulates)
        self.mode = Mode.ADD if keeps or self._kept else Mode.DIRECT
        self.losses.append(_loss(() if call is None else call.roots))

    def give_up(self, calls: Mapping[Any, Calls]) -> None:
        """No pass so far counts any more."""
        for each in calls.values():
            each.delta_sizes[:] = [0] * len(each.delta_sizes)
        self._kept.clear()
        self.losses.clear()
        self.phases = None

    def add(self, calls: Calls, row: int, delta: Tensor) -> Tensor:
        """δ of a row, those of the passes before added."""
        if self.mode is Mode.DIRECT:
            return delta
        key = calls, row
        whole = real(delta.detach().to_dense() if delta.layout is not torch.strided else delta.detach())
        before = self._kept.get(key)
        self._kept[key] = whole if before is None else whole.double() + before.double()
        return self._kept[key]

    def end(self) -> None:
        """The step has ended: let go of what was kept."""
        self._kept.clear()
        self._last = ()


def _loss(roots: Sequence[Any]) -> Tensor | float | None:
    """The sum of what a pass was called on; None where that is not numbers."""
    if not roots or not all(isinstance(root, Tensor) and root.numel() == 1 for root in roots):
        return None
    if any(map(is_distributed_tensor, roots)):
        return None  # to read it would be a collective operation
    if all(root.is_cpu for root in roots):
        return sum(float(root.detach()) for root in roots)
    return torch.stack([root.detach().reshape(()) for root in roots]).sum().reshape(1)
