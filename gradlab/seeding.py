"""Independent random streams from one seed."""

from typing import Literal, get_args

import numpy as np

Purpose = Literal["weights", "data", "split", "order"]


def stream(seed: int, purpose: Purpose) -> int:
    """The seed of one purpose's generator: 63 bits from a config's seed, independent of every other purpose's.

    So the weights of seed 0 are the same whatever the data, and the split is the same whatever the network.
    """
    (state,) = np.random.SeedSequence(seed, spawn_key=(get_args(Purpose).index(purpose),)).generate_state(1, np.uint64)
    return int(state) >> 1
