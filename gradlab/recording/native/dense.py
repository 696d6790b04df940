"""Which tensors a kernel can read, and what kernels need to know of intervals."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradlab.networks.activations import Intervals


def dense(x: Tensor) -> bool:
    """Whether a tensor's entries lie side by side in memory, in whatever order, without a gap.

    Of a subclass only it itself knows where its entries are, and a tensor of zeros may do without memory.
    """
    if type(x) not in (Tensor, torch.nn.Parameter) or x.layout is not torch.strided or not x.data_ptr():
        return False
    return x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))


def closed_intervals(dtype: torch.dtype, intervals: Intervals) -> NDArray[np.floating]:
    """Open intervals as closed ones that hold the same numbers of a format; infinity lies in an interval up to it."""
    number = np.float32 if dtype is torch.float32 else np.float64
    edges = []
    for low, high in intervals:
        least, most = number(low), number(high)
        if math.isfinite(low) and float(least) <= low:
            least = np.nextafter(least, number(math.inf))
        if math.isfinite(high) and float(most) >= high:
            most = np.nextafter(most, number(-math.inf))
        edges += [least, most]
    return np.array(edges, dtype=number)
