"""Who called: the loss that backward was called on, the scaler that calls the optimizer, and passes that are repeated.

A training loop stays as it is, so nothing tells the recorder these things. They are read off the Python stack instead,
in which PyTorch's own frames hold them: nothing is patched, and what is not found is null.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.autograd import graph

_BACKWARD = getattr(getattr(graph, "_engine_run_backward", None), "__code__", None)
_SCALED_STEP = GradScaler.step.__code__
current_pass: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", lambda: -1)
"""The number of the backward pass that is going on; −1 outside of one."""
_saved_tensor_hooks: Callable[[bool], Any] = getattr(
    torch._C._autograd, "_top_saved_tensors_default_hooks", lambda ignore_is_tracing: None
)


def roots() -> tuple[Any, ...]:
    """What the outermost backward pass that is going on was called on; empty where that cannot be seen."""
    found = [frame for frame in _up(sys._getframe(1)) if frame.f_code is _BACKWARD]
    if not found:  # hooks of tensors on a GPU run in threads of their own, while the caller waits
        own = threading.get_ident()
        others = [_up(frame) for thread, frame in sys._current_frames().items() if thread != own]
        found = [frame for stack in others for frame in stack if frame.f_code is _BACKWARD]
    return tuple(found[-1].f_locals.get("t_outputs", ())) if found else ()


def scale_of_caller() -> Tensor | float:
    """The loss scale, where an optimizer's step is being called by a `GradScaler`; otherwise 1."""
    for frame in _up(sys._getframe(1)):
        if frame.f_code is _SCALED_STEP:
            scaler = frame.f_locals["self"]
            if not scaler.is_enabled():
                return 1.0
            scale = scaler._scale  # get_scale() would wait for the device
            return float(scaler.get_scale()) if scale is None else scale.detach().clone()
    return 1.0


def is_repeated() -> bool:
    """Whether a forward pass inside a backward pass repeats one that was seen: activation checkpointing.

    With reentrant checkpointing the first pass had no gradient and was not recorded; the repeated one is the real one.
    """
    if current_pass() == -1:
        return False
    hooks = _saved_tensor_hooks(True)
    return bool(hooks) and "_recomputation_hook" in getattr(hooks[0], "__qualname__", "")


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
