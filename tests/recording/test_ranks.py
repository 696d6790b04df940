"""Shares as bytes, and handing them over, with a store that is in this process."""

import numpy as np
import pytest
from torch import distributed

from gradlab.recording.parameter_sums import ABSENT, KNOWN, OF_PARAMETERS, UNKNOWN
from gradlab.recording.ranks import Receiver, Sender, decode, encode
from gradlab.recording.step_sums import OUTPUTS, WIDTH, Share, merge

ROOM = 2**20


def share(step, rows=2, seed=0, **others):
    random = np.random.default_rng(seed)
    names = [f"module.{row}" for row in range(rows)]
    columns = ([*range(rows)], names, ["weight"] * rows, [1] * rows, ["float32", None][:rows])
    numbers = random.normal(size=(rows, WIDTH))
    numbers[:, len(OUTPUTS) - 3 : len(OUTPUTS)] = 8
    numbers[:1, :3] = np.nan, np.inf, -0.0
    states = np.full((rows, 2 * len(OF_PARAMETERS)), ABSENT, np.int8)
    states[:, : len(OF_PARAMETERS)] = KNOWN
    fields = {"loss": float("nan"), "gradient_squares": (2.0, 0.0), "scale": 1.0, "ranks": 2, "divisor": 2.0, **others}
    return Share(step, columns, numbers, states, **fields)


def test_bytes_hold_every_number():
    before = [share(0), share(1, seed=1), share(2, rows=1, loss=None), share(3, rows=0)]
    after = decode(encode(before))
    assert len(after) == len(before)
    for one, other in zip(before, after, strict=True):
        assert [list(column) for column in other.columns] == [list(column) for column in one.columns]
        for name in ("numbers_RQ", "states_RQ"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert repr(one[4:]) == repr(other[4:])


def test_shares_arrive_once_and_in_order_and_nothing_stays():
    store = distributed.HashStore()
    receiver = Receiver(store, 3)
    assert receiver.receive(9) == []
    senders = {rank: Sender(store, rank, ROOM) for rank in (2, 1)}
    for sender in senders.values():
        assert sender.send([share(0), share(1)])
        assert sender.send([share(2)])
    assert [(rank, each.step) for rank, each in receiver.receive(9)] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    assert receiver.expected == {1, 2}
    senders[1].end()
    assert receiver.receive(9) == []
    assert receiver.expected == {2}
    assert not store.check(["1/0"])


def test_what_finds_no_room_is_left_out_until_somebody_reads():
    store = distributed.HashStore()
    sender, receiver = Sender(store, 1, 2000), Receiver(store, 2)
    sent = [step for step in range(20) if sender.send([share(step)])]
    assert sent == [*range(len(sent))]
    assert 1 < len(sent) < 20
    assert [each.step for _, each in receiver.receive(99)] == sent
    assert sender.send([share(20)])
    assert [each.step for _, each in receiver.receive(99)] == [20]


def test_steps_that_are_ahead_stay_where_they_are():
    store = distributed.HashStore()
    sender, receiver = Sender(store, 1, ROOM), Receiver(store, 2)
    for step in range(6):
        sender.send([share(step)])
    assert [each.step for _, each in receiver.receive(1)] == [0, 1]
    assert [each.step for _, each in receiver.receive(1)] == []
    assert [each.step for _, each in receiver.receive(4)] == [2, 3, 4]


@pytest.mark.parametrize("complete", [True, False])
def test_numbers_of_shards_are_null_without_all_of_them(complete):
    one = share(0, loss=1.0, gradient_squares=(2.0, 3.0))
    other = share(0, seed=1, loss=3.0, gradient_squares=(2.0, 4.0))
    weight = OF_PARAMETERS.index("weight_squares")
    for each in (one, other):
        each.states_RQ[0] = [ABSENT] * len(OF_PARAMETERS) + [KNOWN] * len(OF_PARAMETERS)
    one.states_RQ[1, weight] = UNKNOWN
    merged = merge([one, other], complete=complete)
    assert merged.loss == 2.0
    assert merged.exists["weight_squares"].tolist() == [complete, False]
    assert merged.exists["gradient_squares"].tolist() == [complete, True]
    assert merged.gradient_squares == (9.0 if complete else None)
    column = len(OUTPUTS) + len(OF_PARAMETERS) + weight
    if complete:
        assert merged.quantities["weight_squares"][0] == one.numbers_RQ[0, column] + other.numbers_RQ[0, column]
    gradient = len(OUTPUTS) + OF_PARAMETERS.index("gradient_squares")
    assert merged.quantities["gradient_squares"][1] == one.numbers_RQ[1, gradient], "all ranks have it alike"


def test_a_row_that_only_another_rank_has():
    merged = merge([share(0, rows=1), share(0, rows=2, seed=1)], complete=True)
    assert merged.columns[1] == ["module.0", "module.1"]
    assert merged.exists["weight_squares"].tolist() == [True, True]
