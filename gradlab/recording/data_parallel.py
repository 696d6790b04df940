"""Whether the gradients of a model are averaged over ranks, and over how many: what wraps the model tells.

`DistributedDataParallel` averages a parameter's gradient after autograd has made it, in buckets, and hands out the
result when a backward pass ends. So a gradient that is read as soon as it is there is that of one rank.
"""

import weakref
from collections.abc import Iterator

from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gradlab.recording.torch_private import running_wrapper


def is_distributed() -> bool:
    """Whether this process belongs to a group of processes, which may reduce gradients when a backward pass ends."""
    return distributed.is_available() and distributed.is_initialized()


class DataParallel:
    """What averages the gradients of a model.

    Args:
        model: the model: wrapped, a part of it wrapped, or itself inside a wrapper.
    """

    def __init__(self, model: nn.Module) -> None:
        self._inside = [part for part in model.modules() if isinstance(part, DistributedDataParallel)]
        self._around: weakref.ref[DistributedDataParallel] | None = None

    def note_wrapper(self) -> None:
        """The model is about to compute: note the wrapper that has called it."""
        wrapper = running_wrapper()
        if wrapper is not None and (self._around is None or self._around() is not wrapper):
            self._around = weakref.ref(wrapper)

    def ranks(self) -> int:
        """Over how many ranks the gradients of the backward pass that begins will be averaged; 1 where they will not.

        Within `no_sync` they are not, until a later pass of the step averages all that has accumulated.
        """
        return max((size for wrapper in self._wrappers() if (size := _size(wrapper)) is not None), default=1)

    def _wrappers(self) -> Iterator[DistributedDataParallel]:
        yield from self._inside
        around = None if self._around is None else self._around()
        if around is not None:
            yield around


def _size(wrapper: DistributedDataParallel) -> int | None:
    """The ranks of a wrapper's group; None while it does not reduce."""
    return wrapper.process_group.size() if wrapper.require_backward_grad_sync else None
