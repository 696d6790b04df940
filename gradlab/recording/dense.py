"""Which tensors can be read as a vector in memory."""

import torch
from torch import Tensor


def dense(x: Tensor) -> bool:
    """Whether a tensor's entries lie side by side in memory, in whatever order, without a gap.

    Of a subclass only it itself knows where its entries are, and a tensor of zeros may do without memory.
    """
    if type(x) not in (Tensor, torch.nn.Parameter) or x.layout is not torch.strided or not x.data_ptr():
        return False
    return x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))
