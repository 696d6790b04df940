import pytest

from gradlab.measures.network import network_of
from gradlab.tables import Tables, rows_frame

ROW = {"kind": "weight", "entries": 4, "chain": 0, "before": [], "averaged": [], "last": False, "losses": [0]}


def tables(*rows):
    return Tables(modules=rows_frame("modules", [{**ROW, **row} for row in rows]))


def test_a_network_knows_what_feeds_what_and_its_chains():
    network = network_of(
        tables(
            {"module": "a"},
            {"module": "b", "before": ["a"], "averaged": [64.0]},
            {"module": "c", "before": ["a", "b"], "averaged": [1.0, 1.0], "chain": 1, "last": True},
            {"module": "d", "chain": None, "losses": None},
        )
    )
    assert network.after == {"a": {"b": 64.0, "c": 1.0}, "b": {"c": 1.0}, "c": {}, "d": {}}
    assert {number: [node.name for node in chain] for number, chain in network.chains.items()} == {
        0: ["a", "b"],
        1: ["c"],
    }


def test_what_is_not_in_the_table_feeds_nothing():
    network = network_of(tables({"module": "a", "before": ["elsewhere", "a"], "averaged": [1.0, 1.0]}))
    assert network.nodes["a"].before == {"a": 1.0}


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ({"module": None},),
        ({"module": "a"}, {"module": "a"}),
        ({"module": "a", "kind": None},),
        ({"module": "a", "chain": None},),
        ({"module": "a", "entries": -3},),
        ({"module": "a", "before": ["a"], "averaged": []},),
        ({"module": "a", "before": ["a"], "averaged": [float("nan")]},),
        ({"module": "a", "before": ["a"], "averaged": [0.0]},),
        ({"module": "a", "before": ["a"] * 200_001, "averaged": [1.0] * 200_001},),
    ],
    ids=["empty", "no name", "one name twice", "no kind", "no chain", "negative", "lengths", "nan", "zero", "edges"],
)
def test_a_table_that_gradlab_cannot_have_written_is_unknown(rows):
    assert network_of(tables(*rows)) is None


def test_a_network_may_have_circles():
    network = network_of(
        tables({"module": "a", "before": ["b"], "averaged": [1.0]}, {"module": "b", "before": ["a"], "averaged": [1.0]})
    )
    assert network.after == {"a": {"b": 1.0}, "b": {"a": 1.0}}
