"""Whether the gradients of a model are averaged over ranks, and over how many: what wraps or shards the model tells.

`DistributedDataParallel` averages a parameter's gradient after autograd has made it, in buckets, and hands out the
result when a backward pass ends. So a gradient that is read as soon as it is there is that of one rank.
"""

import weakref
from collections.abc import Iterator

from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gradlab.recording.shards import Shards
from gradlab.recording.torch_private import running_wrapper


def is_distributed() -> bool:
    """Whether this process belongs to a group of processes, which may reduce gradients when a backward pass ends."""
    return distributed.is_available() and distributed.is_initialized()


class DataParallel:
    """What averages the gradients of a model.

    Args:
        model: the model: wrapped, a part of it wrapped, or itself inside a wrapper.

    Attributes:
        shards: the parameters that `fully_shard` manages.
    """

    def __init__(self, model: nn.Module) -> None:
        self.shards = Shards(model)
        self._inside = [part for part in model.modules() if isinstance(part, DistributedDataParallel)]
        self._around: weakref.ref[DistributedDataParallel] | None = None

    def note_wrapper(self) -> None:
        """The model is about to compute: note the wrapper that has called it."""
        wrapper = running_wrapper()
        if wrapper is not None and (self._around is None or self._around() is not wrapper):
            self._around = weakref.ref(wrapper)

    def reduction(self) -> tuple[int, float]:
        """Over how many ranks the gradients of the backward pass that begins will be added up, and divided by what.

        Within `no_sync` they are not, until a later pass of the step averages all that has accumulated.
        """
        sizes = [size for wrapper in self._wrappers() if (size := _size(wrapper)) is not None]
        found = [(1, 1.0), *((size, float(size)) for size in sizes)]
        found += [each for group in self.shards.groups if (each := group.averaged_over()) is not None]
        found += [each for old in self.shards.old if (each := old.averaged_over()) is not None]
        return max(found)

    def _wrappers(self) -> Iterator[DistributedDataParallel]:
        yield from self._inside
        around = None if self._around is None else self._around()
        if around is not None:
            yield around


def _size(wrapper: DistributedDataParallel) -> int | None:
    """The ranks of a wrapper's group; None while it does not reduce."""
    return wrapper.process_group.size() if wrapper.require_backward_grad_sync else None
