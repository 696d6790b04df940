"""Random models under random loops: what gradlab says is what an observer of its own has seen.

A few seeds for each thing that may happen and for each kind of module, and some with any of them together. For many
more: `python -m tests.recording.fuzz FIRST COUNT`.
"""

import pytest
import torch

from tests.recording.fuzz.checking import check
from tests.recording.fuzz.loops import ACTIONS, ALONE
from tests.recording.fuzz.pieces import PIECES, WRAPPERS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
"""PyTorch's own, about odd layers. Those of gradlab are problems, whatever this says."""


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("block", range(10))
def test_any_loop(block):
    for seed in range(10 * block, 10 * block + 10):
        problems, loop = check(seed, steps=3)
        assert not problems, (seed, sorted(loop.chosen), problems)


@pytest.mark.parametrize("action", ACTIONS)
def test_one_thing(action):
    done = 0
    for seed in range(1000, 1006):
        problems, loop = check(seed, steps=3, actions=[action])
        assert not problems, (seed, sorted(loop.chosen), problems)
        done += action in loop.chosen
    assert done


@pytest.mark.parametrize("piece", [*PIECES, *WRAPPERS])
def test_one_kind_of_module(piece):
    for seed in range(2000, 2003):
        problems, _ = check(seed, steps=2, pieces=[piece, "linear"], actions=[])
        assert not problems, (seed, problems)


def test_every_kind_of_loop_is_there():
    assert set(ALONE) < set(ACTIONS)
