from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gradlab.measures.chains import LOSS, decompose, feeds_itself


def chain(users, counts=None):
    return decompose(range(len(users)), users, counts or [1] * len(users))


def test_a_network_without_branches_is_one_chain():
    assert chain([[1], [2], [3], []]) == {0: 0, 1: 0, 2: 0, 3: 0}


def test_two_networks_are_two_chains_and_the_longer_one_comes_first():
    assert chain([[1], [], [3], [4], []]) == {2: 0, 3: 0, 4: 0, 0: 1, 1: 1}


def test_a_trunk_belongs_to_its_longer_head():
    assert chain([[1], [2, 3], [4], [], []]) == {0: 0, 1: 0, 2: 0, 4: 0, 3: 1}


def test_the_way_leads_through_layers_and_not_through_other_modules():
    """0 ─► 1 ─► 2 ─► 5 are activations, 0 ─► 3 ─► 5 has a layer."""
    assert chain([[1, 3], [2], [5], [5], [5], []], [1, 0, 0, 1, 0, 1])[3] == 0


def test_residual_connections_leave_one_chain():
    assert set(chain([[1, 2, 3, 4], [2, 3, 4], [3, 4], [4], []]).values()) == {0}


def test_a_module_that_is_called_again_is_on_the_chain_of_its_first_call():
    assert decompose([0, 1, 2, 1, 3], [[1], [2], [3], [4], []], [1, 0, 1, 0, 1]) == {0: 0, 1: 0, 2: 0, 3: 0}


def test_what_no_loss_depends_on_has_no_chain():
    assert decompose([LOSS, 1, 2], [[2], [2], []], [1, 1, 1]) == {1: 0, 2: 0}


@given(st.data())
def test_each_module_is_on_one_chain_and_chains_are_ways(data):
    size = data.draw(st.integers(1, 12))
    users = [
        data.draw(st.lists(st.integers(call + 1, size - 1), unique=True)) if call + 1 < size else []
        for call in range(size)
    ]
    chains = chain(users)
    assert set(chains) == set(range(size))
    assert set(chains.values()) == set(range(max(chains.values()) + 1))
    for number in set(chains.values()):
        calls = [call for call in range(size) if chains[call] == number]
        assert all(later in users[call] for call, later in pairwise(calls))


def test_a_cell_feeds_itself_and_a_shared_layer_does_not():
    assert feeds_itself([0, 2], [{1: 1.0}, {2: 1.0}, {LOSS: 1.0}])
    assert not feeds_itself([0, 1], [{2: 1.0}, {2: 1.0}, {LOSS: 1.0}])
