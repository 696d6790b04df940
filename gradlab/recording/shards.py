"""Parameters of which each rank has a shard: those of `fully_shard` (FSDP2), and of FSDP1 with `use_orig_params`.

While a module computes, whole parameters, gathered from all ranks, are in the place of the shards. The optimizer
updates the shards, and their gradients are those after the reduction; so gradlab looks at the shards only. It reads the
part that is on this rank: anything else would be a collective operation.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from gradlab.recording.torch_private import bare_name
from gradlab.recording.torch_private_sharding import (
    OldShardedParameter,
    OldSharding,
    ShardedGroup,
    ShardedParameter,
    is_flattened,
    old_shardings,
    sharded_groups,
)
from gradlab.statistics import Flags


def is_distributed_tensor(tensor: Any) -> bool:
    """Whether a tensor is a `DTensor`; asked without importing that class, which takes long."""
    return hasattr(tensor, "placements") and hasattr(tensor, "device_mesh")


def may_be_shard(tensor: Any) -> bool:
    """Whether other ranks may have other parts of a tensor, for all that the tensor itself tells."""
    return is_distributed_tensor(tensor) or is_flattened(tensor)


def local(tensor: Tensor) -> Tensor:
    """The entries of a tensor that are on this rank."""
    if not is_distributed_tensor(tensor):
        return tensor
    shard: Tensor = tensor.detach().to_local()  # type: ignore[attr-defined]
    return shard


class Shards:
    """The parameters of a model that are sharded.

    Args:
        model: the model.

    Attributes:
        groups: those of `fully_shard` that are gathered and reduced together.
        old: what `FullyShardedDataParallel` (FSDP1) manages.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.groups = sharded_groups(model)
        self.old = old_shardings(model)
        self._parts: list[ShardedGroup | OldSharding] = [*self.groups, *self.old]
        self._managed = {id(each.shard) for each in self._all()}

    def _all(self) -> Iterator[ShardedParameter | OldShardedParameter]:
        return (each for part in self._parts for each in part.parameters())

    def manages(self, parameter: nn.Parameter) -> bool:
        """Whether a parameter is one of the shards."""
        return id(parameter) in self._managed

    def are_gathered(self) -> bool:
        """Whether whole parameters are in the place of some shards now."""
        return any(part.is_gathered() for part in self._parts)

    def hold_gradients(self) -> bool:
        """Whether there are gradients that were not reduced yet: of micro-batches without synchronization."""
        return any(each.holds_gradient() for each in (*self._all(), *self._parts))

    def dimensions(self) -> dict[nn.Parameter, int]:
        """The dimensions of parameters whose shards are vectors, whatever the parameters were."""
        return {each.shard: each.dimensions for old in self.old for each in old.parameters()}

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
        shards: which of them are sharded.

    Attributes:
        sharded_P: of which of them other ranks have other parts.
        counted_P: which of these this rank counts: what several ranks have alike is counted on one of them.
        is_sharded: whether there are any.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], shards: Shards) -> None:
        old = {each.shard: each for sharding in shards.old for each in sharding.parameters()}
        sharded = [old[each].is_sharded if each in old else _is_sharded(each) for each in parameters]
        counted = [old[each].is_counted if each in old else _is_first(each) for each in parameters]
        self.sharded_P: Flags = np.array(sharded, dtype=bool)
        self.counted_P: Flags = self.sharded_P & np.array(counted, dtype=bool)
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
