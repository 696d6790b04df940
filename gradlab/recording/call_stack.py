"""What only the callers know: the loss that backward was called on, and the scaler that calls the optimizer.

The training loop stays as it is and tells the recorder nothing. The recorder finds both in PyTorch's own frames on the
Python stack. Nothing is patched; what is not found is null.
"""

import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType

from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from gradlab.recording.torch_private import (
    BackwardCall,
    backward_call,
    current_pass,
    is_call_of_compiled,
    is_checkpoint_repeating,
    loss_scale,
)

_SCALED_STEP = GradScaler.step.__code__
_OPTIMIZER_STEP = next(
    (c for c in Optimizer.profile_hook_step.__code__.co_consts if isinstance(c, CodeType) and c.co_name == "wrapper"),
    None,
)
"""The function that PyTorch puts around the `step` of each optimizer, and which calls the hooks of optimizers."""


def outermost_backward() -> BackwardCall | None:
    """The outermost call of autograd that is going on; None where it cannot be seen."""
    found = _calls(sys._getframe(1))
    if not found:  # hooks of tensors on a GPU run in threads of their own, while the caller waits
        own = threading.get_ident()
        frames = [frame for thread, frame in sys._current_frames().items() if thread != own]
        found = [call for frame in frames for call in _calls(frame)]
    return found[-1] if found else None


def scale_of_caller() -> Tensor | float:
    """The loss scale, where a `GradScaler` calls the step of an optimizer; otherwise 1."""
    for frame in _up(sys._getframe(1)):
        if frame.f_code is _SCALED_STEP:
            scaler = frame.f_locals["self"]
            return loss_scale(scaler) if scaler.is_enabled() else 1.0
    return 1.0


def is_repeated() -> bool:
    """Whether a forward pass inside a backward pass repeats one that was seen: activation checkpointing.

    With reentrant checkpointing the first pass had no gradient and was not recorded, so the repeated one is recorded.
    """
    return current_pass() != -1 and is_checkpoint_repeating()


def is_nested(optimizer: Optimizer) -> bool:
    """Whether an optimizer calls the `step` of the class that it is derived from; asked by a hook of the inner step."""
    calls = [f for f in _up(sys._getframe(1)) if f.f_code is _OPTIMIZER_STEP and f.f_locals.get("self") is optimizer]
    return len(calls) > 1


def is_called_compiled() -> bool:
    """Whether something that has been compiled has called, directly or not."""
    return any(map(is_call_of_compiled, _up(sys._getframe(1))))


def _calls(frame: FrameType | None) -> list[BackwardCall]:
    return [call for caller in _up(frame) if (call := backward_call(caller)) is not None]


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
