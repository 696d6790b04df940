"""Random states that code of the user may move."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Give Python, NumPy and PyTorch their global random states back afterwards."""
    there = torch.cuda.is_initialized()
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if there else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Give Python, NumPy and PyTorch global random states from a seed, and give back the former ones afterwards."""
    with kept_random_state():
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed a GPU that nobody has asked for yet
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
        yield
