"""The private names of PyTorch that belong to `fully_shard` (FSDP2) and `FullyShardedDataParallel` (FSDP1)."""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor, distributed, nn


class ShardedParameter:
    """A parameter that `fully_shard` manages.

    Args:
        inner: what `fully_shard` keeps for it.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def shard(self) -> nn.Parameter:
        """The shard of this rank, which the optimizer updates."""
        shard: nn.Parameter = self._inner.sharded_param
        return shard

    @property
    def whole(self) -> nn.Parameter | None:
        """What is in its place while its module computes; None before that has happened."""
        return getattr(self._inner, "_unsharded_param", None)

    def holds_gradient(self) -> bool:
        """Whether there is a gradient that was not reduced yet."""
        return self._inner.unsharded_accumulated_grad is not None or getattr(self.whole, "grad", None) is not None


class ShardedGroup:
    """Parameters that `fully_shard` gathers and reduces together.

    Args:
        inner: what `fully_shard` keeps for them.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def parameters(self) -> Iterator[ShardedParameter]:
        """The parameters."""
        return map(ShardedParameter, self._inner.fsdp_params)

    def is_gathered(self) -> bool:
        """Whether the whole parameters are in the place of the shards now."""
        return not self._inner.is_sharded

    def holds_gradient(self) -> bool:
        """Whether there are gradients that were reduced over some of the ranks only, so far."""
        return self._inner._partial_reduce_output is not None

    def averaged_over(self) -> tuple[int, float] | None:
        """How many ranks' gradients are added up, and by what their sum is divided; None while they are not."""
        group = self._inner
        if not (group.reduce_grads and group.all_reduce_grads):
            return None
        mesh = group.mesh_info
        ranks = getattr(mesh, "shard_mesh_size", 1) * getattr(mesh, "replicate_mesh_size", 1)
        return ranks, float(group.gradient_divide_factor or ranks)


class OldShardedParameter:
    """A parameter that FSDP1 has made a piece of a flat parameter, with `use_orig_params`.

    Args:
        shard: what is there of it on this rank, which the optimizer updates: a vector, and maybe an empty one.
        home: the module that has it.
        name: its name there.
        dimensions: how many it had.
        is_sharded: whether other ranks have other parts of it.
        is_counted: whether this rank is the first of those that have the same part.
    """

    def __init__(
        self, shard: nn.Parameter, home: nn.Module, name: str, *, dimensions: int, is_sharded: bool, is_counted: bool
    ) -> None:
        self.shard = shard
        self.dimensions, self.is_sharded, self.is_counted = dimensions, is_sharded, is_counted
        self._home, self._name = home, name

    @property
    def whole(self) -> Any:
        """What is in its place while its module computes; None while nothing is."""
        found = getattr(self._home, self._name, None)
        return None if found is self.shard else found

    def holds_gradient(self) -> bool:
        """Whether there is a gradient that nobody sees; one of FSDP1 is seen at once."""
        return False


class OldSharding:
    """A module in `FullyShardedDataParallel` (FSDP1), which makes a flat parameter of those of the module.

    Args:
        wrapper: what is around the module.

    Attributes:
        keeps_parameters: whether the optimizer gets the pieces that belong to the parameters of the model
            (`use_orig_params`), and not the flat parameter.
    """

    def __init__(self, wrapper: Any) -> None:
        self._wrapper = wrapper
        self._flat: Any = None if wrapper._handle is None else wrapper._handle.flat_param
        self.keeps_parameters = self._flat is None or self._flat._params is not None

    def parameters(self) -> Iterator[OldShardedParameter]:
        """The parameters, where the optimizer gets them."""
        if self._flat is None or not self.keeps_parameters:
            return
        replicas = getattr(self._wrapper, "_inter_node_pg", None)
        for shard, shape, (name, home, _) in zip(
            self._flat._params, self._flat._shapes, self._flat._param_infos, strict=True
        ):
            yield OldShardedParameter(
                shard,
                home,
                name,
                dimensions=len(shape),
                is_sharded=self._wrapper._handle.uses_sharded_strategy,
                is_counted=replicas is None or replicas.rank() == 0,
            )

    def is_gathered(self) -> bool:
        """Whether other parameters are in the place of those that the optimizer has."""
        return not self.keeps_parameters or any(each.whole is not None for each in self.parameters())

    def averaged_over(self) -> tuple[int, float] | None:
        """How many ranks' gradients are added up, and by what their sum is divided; None while they are not."""
        if not self._wrapper._sync_gradients:
            return None
        groups = (self._wrapper.process_group, getattr(self._wrapper, "_inter_node_pg", None))
        ranks = math.prod(group.size() for group in groups if group is not None)
        return ranks, float(ranks)

    def holds_gradient(self) -> bool:
        """Whether there is a gradient that was not reduced yet, and that nobody sees."""
        if self.keeps_parameters or self._flat.grad is None:
            return False
        return bool(self._flat.grad.numel() != self._flat._sharded_size.numel())


def is_sharding_wrapper(module: nn.Module) -> bool:
    """Whether a module is `FullyShardedDataParallel` around another one."""
    return hasattr(module, "_fsdp_wrapped_module")


def old_shardings(model: nn.Module) -> list[OldSharding]:
    """What FSDP1 manages of a model."""
    return [OldSharding(part) for part in _parts_in_a_job(model) if is_sharding_wrapper(part)]


def is_flattened(parameter: Tensor) -> bool:
    """Whether a parameter is a piece of a flat parameter of FSDP1, or is one."""
    return bool(getattr(parameter, "_fsdp_flattened", False))


def is_flat(parameter: Tensor) -> bool:
    """Whether a parameter is one that FSDP1 has joined from those of the model."""
    return bool(getattr(parameter, "_is_flat_param", False))


def sharded_groups(model: nn.Module) -> list[ShardedGroup]:
    """What `fully_shard` manages of a model."""
    states = [part._get_fsdp_state() for part in _parts_in_a_job(model) if hasattr(part, "_get_fsdp_state")]
    return [ShardedGroup(group) for state in dict.fromkeys(states) for group in state._fsdp_param_groups]


def _parts_in_a_job(model: nn.Module) -> Iterator[Any]:
    """The modules of a model; none outside of a job, where nothing is sharded."""
    return model.modules() if distributed.is_available() and distributed.is_initialized() else iter(())
