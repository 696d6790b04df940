"""Parameters of which each rank has a shard: those of `fully_shard` (FSDP2).

While a module computes, `fully_shard` puts whole parameters, gathered from all ranks, in the place of the shards. The
optimizer updates the shards, and their gradients are those after the reduction; so gradlab looks at the shards only. It
reads the part that is on this rank: anything else would be a collective operation.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from gradlab.recording.torch_private import ShardedParameter, bare_name, old_shardings, sharded_groups
from gradlab.statistics import Flags


def is_distributed_tensor(tensor: Any) -> bool:
    """Whether a tensor is a `DTensor`; asked without importing that class, which takes long."""
    return hasattr(tensor, "placements") and hasattr(tensor, "device_mesh")


def local(tensor: Tensor) -> Tensor:
    """The entries of a tensor that are on this rank."""
    if not is_distributed_tensor(tensor):
        return tensor
    shard: Tensor = tensor.detach().to_local()  # type: ignore[attr-defined]
    return shard


class Shards:
    """The parameters of a model that `fully_shard` manages.

    Args:
        model: the model.

    Attributes:
        groups: those that are gathered and reduced together.
        old: what `FullyShardedDataParallel` (FSDP1) manages; of these parameters nothing is known.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.groups = sharded_groups(model)
        self.old = old_shardings(model)
        self._managed = {id(each.shard) for each in self._all()}

    def _all(self) -> Iterator[ShardedParameter]:
        return (each for group in self.groups for each in group.parameters())

    def manages(self, parameter: nn.Parameter) -> bool:
        """Whether a parameter is one of the shards."""
        return id(parameter) in self._managed

    def are_gathered(self) -> bool:
        """Whether whole parameters are in the place of some shards now; under FSDP1 they may always be."""
        return bool(self.old) or any(group.is_gathered() for group in self.groups)

    def hold_gradients(self) -> bool:
        """Whether there are gradients that were not reduced yet: of micro-batches without synchronization."""
        held = (each.holds_gradient() for each in self._all())
        return any(held) or any(group.holds_gradient() for group in self.groups) or any(
            old.holds_gradient() for old in self.old
        )  # fmt: skip

    def stand_ins(self) -> dict[nn.Parameter, nn.Parameter]:
        """For each whole parameter, the shard in whose place it is while its module computes."""
        return {each.whole: each.shard for each in self._all() if each.whole is not None}

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of the model as the optimizer has them, by qualified name."""
        stand_ins = self.stand_ins()
        return {bare_name(name): stand_ins.get(each, each) for name, each in self._model.named_parameters()}


class Held:
    """What this rank has of each parameter.

    Args:
        parameters: the parameters.

    Attributes:
        sharded_P: of which of them other ranks have other parts.
        counted_P: which of these this rank counts: what several ranks have alike is counted on one of them.
        is_sharded: whether there are any.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.sharded_P: Flags = np.array([_is_sharded(each) for each in parameters], dtype=bool)
        self.counted_P: Flags = self.sharded_P & np.array([_is_first(each) for each in parameters], dtype=bool)
        self.is_sharded = bool(self.sharded_P.any())


def _is_sharded(parameter: Any) -> bool:
    """Whether other ranks have other parts of a parameter."""
    if not is_distributed_tensor(parameter):
        return False
    sizes = parameter.device_mesh.shape
    return any(size > 1 and not each.is_replicate() for size, each in zip(sizes, parameter.placements, strict=True))


def _is_first(parameter: Any) -> bool:
    """Whether this rank is the first of those that have the same part of a parameter."""
    if not is_distributed_tensor(parameter):
        return True
    place = parameter.device_mesh.get_coordinate()
    return place is not None and all(
        not at or not each.is_replicate() for at, each in zip(place, parameter.placements, strict=True)
    )
