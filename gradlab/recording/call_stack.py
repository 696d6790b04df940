"""What only the callers know: the loss that backward was called on, and the scaler that calls the optimizer.

The training loop stays as it is and tells the recorder nothing. The recorder finds both in PyTorch's own frames on the
Python stack. Nothing is patched; what is not found is null.
"""

import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from torch import Tensor
from torch.amp import GradScaler

from gradlab.recording.torch_private import current_pass, is_checkpoint_repeating, loss_scale, roots_of_backward

_SCALED_STEP = GradScaler.step.__code__


def roots() -> tuple[Any, ...]:
    """What the outermost backward pass that is going on was called on; empty where that cannot be seen."""
    found = _roots(sys._getframe(1))
    if not found:  # hooks of tensors on a GPU run in threads of their own, while the caller waits
        own = threading.get_ident()
        frames = [frame for thread, frame in sys._current_frames().items() if thread != own]
        found = [root for frame in frames for root in _roots(frame)]
    return found[-1] if found else ()


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


def _roots(frame: FrameType | None) -> list[tuple[Any, ...]]:
    return [root for caller in _up(frame) if (root := roots_of_backward(caller)) is not None]


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
