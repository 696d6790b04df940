"""What feeds what, against networks of which that is known."""

import json
from itertools import pairwise

import polars as pl
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab.diagnosis import diagnose
from gradlab.recording.module_graph import MOST_USERS
from gradlab.tables import SCHEMAS

SGD = torch.optim.SGD


def graph(model, loss_of, steps=1, optimizers=None):
    """The rows of `modules` by name, after some steps."""
    optimizers = optimizers or [SGD(model.parameters(), lr=0.01)]
    with gradlab.watch(model, optimizers, strict=True) as recorder:
        for _ in range(steps):
            loss_of().backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
    return {row["module"]: row for row in recorder.modules.iter_rows(named=True)}


def chains(rows):
    found = {}
    for name, row in rows.items():
        found.setdefault(row["chain"], []).append(name)
    return found


def layers(*widths):
    parts = [part for n, m in pairwise(widths) for part in (nn.Linear(n, m), nn.Tanh())]
    return nn.Sequential(*parts[:-1])


def test_a_chain_with_shapes_and_sizes():
    model = layers(4, 5, 3)
    rows = graph(model, lambda: model(torch.randn(7, 4)).square().mean())
    assert {name: row["before"] for name, row in rows.items()} == {"0": [], "1": ["0"], "2": ["1"]}
    assert [row["shape"] for row in rows.values()] == [[7, 5], [7, 5], [7, 3]]
    assert [row["entries"] for row in rows.values()] == [35, 35, 21]
    assert [row["parameters"] for row in rows.values()] == [25, 0, 18]
    assert [row["last"] for row in rows.values()] == [False, False, True]
    assert [row["type"] for row in rows.values()] == ["Linear", "Tanh", "Linear"]
    assert [row["optimizer"] for row in rows.values()] == [0, None, 0]
    assert chains(rows) == {0: ["0", "1", "2"]}
    assert not any(row["recurrent"] for row in rows.values())


@pytest.mark.parametrize("scale", [1.0, 1e-6, 0.0])
def test_two_networks_are_two_chains_whatever_the_weights_of_their_losses(scale):
    model = nn.ModuleDict({"a": layers(4, 5, 5, 3), "b": layers(4, 6, 2)})
    x = torch.randn(7, 4)
    rows = graph(model, lambda: model["a"](x).square().mean() + scale * model["b"](x).square().mean())
    assert chains(rows) == {0: ["a.0", "a.1", "a.2", "a.3", "a.4"], 1: ["b.0", "b.1", "b.2"]}


def test_two_heads_have_one_trunk():
    model = nn.ModuleDict({"trunk": layers(4, 5, 5), "a": layers(5, 5, 1), "b": nn.Linear(5, 2)})

    def loss():
        h = model["trunk"](torch.randn(7, 4))
        return model["a"](h).mean() + model["b"](h).square().mean()

    rows = graph(model, loss)
    assert chains(rows) == {0: ["trunk.0", "trunk.1", "trunk.2", "a.0", "a.1", "a.2"], 1: ["b"]}
    assert rows["b"]["before"] == rows["a.0"]["before"] == ["trunk.2"]


def test_a_residual_network_is_one_chain():
    model = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(4)])

    def loss():
        h = torch.randn(7, 4)
        for part in model:
            h = h + part(h)
        return h.mean()

    rows = graph(model, loss)
    assert rows["3.0"]["before"] == ["0.1", "1.1", "2.1"]
    assert rows["0.1"]["last"]
    assert set(chains(rows)) == {0}


def test_a_very_deep_residual_network_has_few_edges_and_one_chain():
    model = nn.ModuleList([nn.Linear(2, 2) for _ in range(3 * MOST_USERS)])

    def loss():
        h = torch.randn(3, 2)
        for part in model:
            h = h + 0.01 * part(h)
        return h.mean()

    rows = graph(model, loss)
    assert sum(len(row["before"]) for row in rows.values()) <= MOST_USERS * len(model)
    assert set(chains(rows)) == {0}


def test_an_activation_that_is_called_in_two_places_breaks_no_chain():
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Linear(4, 1), "relu": nn.ReLU()})

    def loss():
        h = model["relu"](model["a"](torch.randn(7, 4)))
        return model["c"](model["relu"](model["b"](h))).mean()

    rows = graph(model, loss)
    assert rows["relu"]["before"] == ["a", "b"]
    assert rows["relu"]["entries"] == 56
    assert set(chains(rows)) == {0}
    assert not rows["b"]["recurrent"]


def test_functions_are_in_the_graph():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x):
            return self.b(functional.relu(self.a(x)))

    model = Net()
    rows = graph(model, lambda: model(torch.randn(7, 4)).mean())
    assert rows[":relu"]["before"] == ["a"]
    assert rows["b"]["before"] == [":relu"]
    assert rows[":relu"]["type"] == "relu"


@pytest.mark.parametrize(
    ("pool", "averaged"),
    [
        (lambda x: x.mean((2, 3)), 64),
        (lambda x: x.sum((2, 3)) / 64, 64),
        (lambda x: functional.avg_pool2d(x, 8).flatten(1), 64),
        (lambda x: functional.adaptive_avg_pool2d(x, 2).flatten(1)[:, :6], 16),
        (lambda x: functional.max_pool2d(x, 8).flatten(1), 1),
        (lambda x: x[:, :, 3, 4], 1),
        (lambda x: x.mean((2, 3)) + x[:, :, 0, 0], 1),
    ],
    ids=["mean", "sum", "pool", "adaptive", "max", "select", "two ways"],
)
def test_what_is_averaged_between_two_modules(pool, averaged):
    model = nn.ModuleDict({"conv": nn.Conv2d(3, 6, 3, padding=1), "fc": nn.Linear(6, 2)})
    rows = graph(model, lambda: model["fc"](pool(model["conv"](torch.randn(5, 3, 8, 8)))).mean())
    assert rows["fc"]["before"] == ["conv"]
    assert rows["fc"]["averaged"] == [averaged]


def test_a_pool_that_is_a_module_averages_what_enters_it():
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    rows = graph(model, lambda: model(torch.randn(5, 3, 8, 8)).mean())
    assert (rows["1"]["before"], rows["1"]["averaged"]) == (["0"], [64])
    assert rows["3"]["averaged"] == [1]


def test_a_cell_is_recurrent_and_a_layer_that_is_only_shared_is_not():
    model = nn.ModuleDict({"each": nn.Linear(3, 4), "cell": nn.RNNCell(4, 4), "out": nn.Linear(4, 1)})

    def loss():
        h = torch.zeros(5, 4)
        for _ in range(6):
            h = model["cell"](model["each"](torch.randn(5, 3)), h)
        return model["out"](h).mean()

    rows = graph(model, loss)
    assert {name: row["recurrent"] for name, row in rows.items()} == {"each": False, "cell": True, "out": False}
    assert rows["cell"]["before"] == ["each", "cell"]
    assert rows["cell"]["entries"] == 6 * 20


def test_a_generator_and_its_discriminator_are_not_one_chain():
    """δ of the discriminator is that of its own loss, too; with one loss for both, they are one chain."""
    model = nn.ModuleDict({"g": layers(2, 4, 3), "d": layers(3, 4, 1)})
    optimizers = [SGD(model["d"].parameters(), lr=0.01), SGD(model["g"].parameters(), lr=0.01)]
    with gradlab.watch(model, optimizers, strict=True) as recorder:
        fake = model["g"](torch.randn(5, 2))
        (model["d"](torch.randn(5, 3)) - model["d"](fake.detach())).mean().backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        model["d"](fake).mean().backward()
        optimizers[1].step()
    rows = {row["module"]: row for row in recorder.modules.iter_rows(named=True)}
    assert chains(rows) == {0: ["g.0", "g.1", "g.2"], 1: ["d.0", "d.1", "d.2"]}
    assert rows["d.0"]["before"] == ["g.2"]
    assert (rows["g.0"]["losses"], rows["d.0"]["losses"]) == ([1], [0, 1])
    assert (rows["g.0"]["optimizer"], rows["d.0"]["optimizer"]) == (1, 0)
    together = graph(model, lambda: model["d"](model["g"](torch.randn(5, 2))).mean())
    assert set(chains(together)) == {0}


def test_what_no_loss_depends_on_is_on_no_chain():
    model = nn.ModuleDict({"used": layers(4, 4, 1), "cut": nn.Linear(4, 4)})

    def loss():
        x = torch.randn(7, 4)
        return model["used"](x + model["cut"](x).detach()).mean()

    rows = graph(model, loss)
    assert rows["cut"]["chain"] is None
    assert rows["cut"]["losses"] == []
    assert rows["used.0"]["before"] == []


def test_what_is_called_later_is_added():
    model = nn.ModuleDict({"a": layers(4, 4, 1), "b": layers(4, 4, 4, 1)})
    parts = iter("aba")
    rows = graph(model, lambda: model[next(parts)](torch.randn(7, 4)).mean(), steps=3)
    assert sorted(chains(rows).values()) == [["a.0", "a.1", "a.2"], ["b.0", "b.1", "b.2", "b.3", "b.4"]]


def test_layers_that_are_not_watched_are_looked_through():
    model = layers(4, 4, 4, 4, 1)
    optimizer = SGD(model.parameters())
    with gradlab.watch(model, optimizer, layers=["0", "4"]) as recorder:
        model(torch.randn(3, 4)).mean().backward()
        optimizer.step()
    assert recorder.modules.select("module", "before").rows() == [("0", []), ("4", ["0"])]


def test_a_run_folder_has_the_graph(tmp_path):
    model = layers(4, 5, 3)
    optimizer = SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=tmp_path / "run", strict=True) as recorder:
        for _ in range(3):
            model(torch.randn(7, 4)).square().mean().backward()
            optimizer.step()
        assert recorder.modules["before"].to_list() == [[], ["0"], ["1"]]
    run = gradlab.load_run(tmp_path / "run")
    assert run.modules["before"].to_list() == [[], ["0"], ["1"]]
    assert run.modules.equals(recorder.modules)
    assert "modules.parquet" in json.loads((tmp_path / "run" / ".gradlab").read_text())["wrote"]


def test_a_configured_run_has_the_graph(tmp_path):
    config = {"model": {"depth": 3, "width": 8}, "data": {"name": "gaussian", "samples": 200}, "train": {"steps": 3}}
    run = gradlab.run(config, runs=tmp_path, plots=False)
    assert run.modules.filter(pl.col("chain") == 0).height == run.modules.height == 7
    assert run.modules["before"].list.len().to_list() == [0] + [1] * 6


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame({"module": [1.5], "before": ["not a list"]}),
        pl.DataFrame({"module": ["0"], "before": [[None]], "averaged": [[1.0]], "chain": [0], "kind": ["weight"]}),
        pl.DataFrame({"nothing": [1]}),
        None,
    ],
    ids=["types", "nulls", "columns", "no parquet"],
)
def test_a_damaged_graph_in_a_folder_is_no_graph(tmp_path, table):
    model = layers(4, 5, 5, 5, 3)
    optimizer = SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=tmp_path / "run", strict=True):
        for _ in range(3):
            model(torch.randn(7, 4)).square().mean().backward()
            optimizer.step()
    if table is None:
        (tmp_path / "run" / "modules.parquet").write_bytes(b"PAR1 and no more")
    else:
        table.write_parquet(tmp_path / "run" / "modules.parquet")
    run = gradlab.load_run(tmp_path / "run")
    assert run.modules.schema == pl.Schema(SCHEMAS["modules"])
    assert isinstance(diagnose(run.tables), list)
