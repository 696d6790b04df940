"""Which tensors can be read as a vector in memory, and as which numbers."""

import torch
from torch import Tensor, nn

from gradlab.recording.shards import is_distributed_tensor, local
from gradlab.recording.torch_private_sharding import is_flattened


def dense(x: Tensor) -> bool:
    """Whether a tensor's entries lie side by side in memory, in whatever order, without a gap.

    Of a subclass only it itself knows where its entries are, a tensor of zeros may do without memory, and a tensor may
    be the negative of what is in its memory. `is_dense` in `native/tensors.inc` is the same definition in C.
    """
    if type(x) not in (Tensor, nn.Parameter) or x.layout is not torch.strided or not x.data_ptr() or x.is_neg():
        return False
    return x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))


def real(x: Tensor) -> Tensor:
    """A tensor of the same entries; those of a complex tensor as two real ones each."""
    return torch.view_as_real(x.resolve_conj()).detach() if x.is_complex() else x


def readable(parameter: Tensor) -> bool:
    """Whether the entries of a parameter can be summed up: it has some, and PyTorch's own operators take them.

    Of a parameter of which each rank has a shard, those of this rank, which may be none.
    """
    if is_distributed_tensor(parameter):
        shard = local(parameter)
        return not any(each.is_partial() for each in parameter.placements) and (  # type: ignore[attr-defined]
            readable(shard) or (not shard.numel() and shard.layout is torch.strided)
        )
    if isinstance(parameter, nn.UninitializedParameter):
        return False
    if parameter.is_meta or not (parameter.is_floating_point() or parameter.is_complex()):
        return False
    if not parameter.numel():
        return is_flattened(parameter)
    if type(parameter) in (Tensor, nn.Parameter):
        return parameter.layout is torch.strided
    squares = real(parameter.detach()).double().square().sum()
    return isinstance(squares, Tensor) and type(squares.detach()) in (Tensor, nn.Parameter, type(parameter)) and not (
        hasattr(squares, "placements")
    )  # fmt: skip
