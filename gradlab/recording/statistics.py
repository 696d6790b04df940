"""Tensor ─► numbers, in float64, without waiting for the device.

Every function writes into slots of a buffer that lives on the tensor's device; the recorder reads the buffer once a
step. Accumulation is in float64: squares of float32 values below 1e-23 are 0 in float32, and a one-pass float32
standard deviation is off by half where the mean is large. (MPS has no float64; there float32 has to do.)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BINS = 64
"""Bins of a histogram."""


def accumulator(device: torch.device) -> torch.dtype:
    """The widest float format of a device."""
    return torch.float32 if device.type == "mps" else torch.float64


def output_statistics(x: Tensor, slots: Sequence[Tensor]) -> None:
    """Mean, centred sum of squares, minimum, maximum and number of exact zeros of a tensor.

    Two passes: the squares are taken around the mean, so that a small spread on a large mean survives. NaN in the
    tensor is NaN in all but the number of zeros.

    Args:
        x: any floating-point tensor with at least one element.
        slots: five 0-d accumulators, written in the order above.
    """
    mean, centred_squares, minimum, maximum, zeros = slots
    wide = x.to(mean.dtype).reshape(-1)
    torch.mean(wide, dim=0, out=mean)
    torch.aminmax(wide, dim=0, out=(minimum, maximum))
    scratch = torch.empty_like(wide)
    torch.sum(torch.eq(wide, 0, out=scratch), dim=0, out=zeros)
    torch.sub(wide, mean, out=scratch)
    torch.dot(scratch, scratch, out=centred_squares)


def count_inside(x: Tensor, intervals: Sequence[tuple[float, float]], slot: Tensor) -> None:
    """How many entries lie inside any of some disjoint open intervals; NaN lies in none."""
    wide = x.to(slot.dtype).reshape(-1)
    slot.zero_()
    for low, high in intervals:
        if low == -torch.inf:
            inside = wide < high
        elif high == torch.inf:
            inside = wide > low
        else:
            inside = (wide > low) & (wide < high)
        slot += inside.to(torch.uint8).sum()


def sum_of_squares(x: Tensor, slot: Tensor) -> None:
    """Σ x²."""
    wide = x.to(slot.dtype).reshape(-1)
    torch.dot(wide, wide, out=slot)


def histogram(x: Tensor) -> Tensor:
    """Equal bins between the smallest and the largest finite entry.

    Returns:
        `[low, high, non_finite, count_0, …]`, `3 + BINS` accumulators on the tensor's device. Without a finite entry,
        low is +inf and high −inf. Where all are equal, they are in the first bin.
    """
    wide = x.detach().to(accumulator(x.device)).reshape(-1)
    finite = torch.isfinite(wide)
    low = torch.where(finite, wide, torch.inf).amin()
    high = torch.where(finite, wide, -torch.inf).amax()
    scaled = (wide - low) / (high - low) * BINS
    bins = torch.where(finite, scaled, 0).nan_to_num(0).clamp(0, BINS - 1).long()
    counts = torch.zeros(BINS, dtype=wide.dtype, device=wide.device)
    counts.scatter_add_(0, bins, finite.to(wide.dtype))
    non_finite = wide.numel() - finite.sum()
    return torch.cat([torch.stack([low, high, non_finite.to(wide.dtype)]), counts])
