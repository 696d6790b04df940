"""Memory for the numbers of past steps: pages of their own, apart from the memory that the training uses.

Small arrays that outlive their step would lie between the large ones of the training and break up the free memory that
those leave. Measured on ten layers of 1024, the process grew by 40 % within fifty steps.
"""

import mmap

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PAGE = 2**17
"""Numbers on a page, 1 MiB."""


def empty_vector(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An empty vector; in main memory, one on pages of its own."""
    if device.type != "cpu":
        return torch.empty(size, dtype=dtype, device=device)
    return torch.frombuffer(mmap.mmap(-1, max(size, 1) * dtype.itemsize), dtype=dtype, count=size)


class PageMemory:
    """Copies arrays to pages. A page is given back when nothing refers to an array on it any more."""

    def __init__(self) -> None:
        self._page: NDArray[np.float64] = np.empty(0)
        self._used = 0

    def copy(self, numbers: Tensor | NDArray[np.float64]) -> Tensor | NDArray[np.float64]:
        """A copy of some numbers: in main memory a vector on a page, elsewhere a tensor on the same device."""
        if isinstance(numbers, Tensor):
            if numbers.dtype is not torch.float64 or not numbers.is_cpu:
                return numbers.clone()
            numbers = numbers.numpy()
        size = numbers.size
        if self._used + size > len(self._page):
            self._page = np.frombuffer(mmap.mmap(-1, 8 * max(PAGE, size)), dtype=np.float64)
            self._used = 0
        copy = self._page[self._used : self._used + size]
        self._used += size
        copy[:] = numbers.reshape(-1)
        return copy
