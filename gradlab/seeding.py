"""Independent random streams from one seed."""

from typing import Literal, get_args

import numpy as np

Purpose = Literal["weights", "data", "split", "order", "batch", "code"]


def stream(seed: int, purpose: Purpose, *numbers: int) -> int:
    """The seed of one purpose's generator: 63 bits from a config's seed, independent of every other purpose's.

    So the weights of seed 0 are the same whatever the data, and the split is the same whatever the network. Where a
    purpose needs many generators, such as one for each batch, they are told apart by `numbers`.
    """
    key = (get_args(Purpose).index(purpose), *numbers)
    (state,) = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)
    return int(state) >> 1
