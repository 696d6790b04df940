from itertools import product
from typing import get_args

import numpy as np
import pytest

from gradlab.seeding import Purpose, stream

PURPOSES = ("weights", "data", "split", "order", "batch")


def test_purposes_keep_their_places():
    """A purpose's number is its place: inserting one before another would change every run that exists."""
    assert get_args(Purpose)[: len(PURPOSES)] == PURPOSES


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63 - 1])
@pytest.mark.parametrize(("place", "purpose"), list(enumerate(PURPOSES)))
def test_a_stream_is_the_upper_63_bits_of_numpys_seed_sequence(seed, place, purpose):
    low, high = np.random.SeedSequence(seed, spawn_key=(place,)).generate_state(2, np.uint32)
    assert stream(seed, purpose) == (int(high) << 32 | int(low)) >> 1


def test_a_numbered_stream_is_a_child_of_its_purpose_in_numpys_seed_sequence():
    low, high = np.random.SeedSequence(7, spawn_key=(PURPOSES.index("batch"), 3)).generate_state(2, np.uint32)
    assert stream(7, "batch", 3) == (int(high) << 32 | int(low)) >> 1
    assert len({stream(7, "batch"), *(stream(7, "batch", number) for number in range(10_000))}) == 10_001


def test_streams_differ_between_purposes_and_seeds():
    streams = [stream(seed, purpose) for seed, purpose in product([*range(500), 2**32, 2**32 + 1, 2**33], PURPOSES)]
    assert len(set(streams)) == len(streams)
    assert all(0 <= value < 2**63 for value in streams)


def test_neighbouring_seeds_are_unrelated():
    """Generators of neighbouring seeds, and of one seed's purposes, do not correlate."""
    streams = [stream(seed, purpose) for seed, purpose in product(range(5), PURPOSES)]
    drawn = np.array([np.random.default_rng(value).normal(size=10_000) for value in streams])
    correlation = np.corrcoef(drawn) - np.eye(len(streams))
    assert np.abs(correlation).max() < 5 / np.sqrt(10_000)
