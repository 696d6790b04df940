import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from tests.diagnosis.tables import assert_clean, assert_not_applicable, config, found, tables, without

DEAD, SATURATED, COPIES = "dead-units", "saturated-activations", "symmetric-units"
TANH = config(depth=10, activation="tanh", initializer={"name": "normal", "std": 1.0})


def halves(first, second, depth=10):
    """Ten records of one row of values and ten of another."""
    return np.repeat(np.stack([np.broadcast_to(first, depth), np.broadcast_to(second, depth)]), 10, axis=0)


def test_units_that_died():
    finding = found(DEAD, tables(dead_fraction=halves(0.0, [0.0, 0.8] * 5)))
    assert finding.message == (
        "40% of all units are dead, 0% at the start; most of them in `activation.1`, `activation.3`, `activation.5`, "
        "`activation.7` and `activation.9`, up to 80% of a layer; died by step 10"
    )
    assert finding.severity == "warning"
    assert finding.layers == (1, 3, 5, 7, 9)
    assert finding.modules == tuple(f"activation.{layer}" for layer in finding.layers)
    assert finding.remedies[0] == "train.learning_rate=0.005"


def test_many_units_that_died_anywhere():
    assert found(DEAD, tables(dead_fraction=halves(0.2, 0.5))).layers == tuple(range(10))


def test_a_dead_layer_is_an_error_and_revived_ones_are_not():
    assert found(DEAD, tables(dead_fraction=halves(0.0, [0.0] * 9 + [1.0]))).severity == "error"
    revived = found(DEAD, tables(dead_fraction=halves(0.9, 0.1)))
    assert revived.severity == "info"
    assert "revived after step 9" in revived.message


def test_depth_alone_makes_some_dead_units():
    assert_clean(DEAD, tables(dead_fraction=np.linspace(0, 0.6, 10)))


def test_smooth_activations_do_not_die():
    assert_not_applicable(DEAD, tables(model=TANH, dead_fraction=1.0), "tanh is never exactly 0")
    assert_not_applicable(DEAD, without(tables(), "dead_fraction"), "no activation was looked at")


def test_saturation():
    finding = found(SATURATED, tables(model=TANH, saturated_fraction=[0.1] * 8 + [0.7, 0.9]))
    assert finding.layers == (8, 9)
    assert finding.measured["saturated_fraction"] == pytest.approx(0.9)
    assert finding.remedies == ("model.initializer=glorot_uniform", "model.batch_norm=before")


def test_some_saturation_is_normal():
    assert_clean(SATURATED, tables(model=TANH, saturated_fraction=0.4))


def test_half_a_relu_is_not_saturated():
    assert_not_applicable(SATURATED, tables(saturated_fraction=0.9), "relu has no upper bound")


def test_zeros_of_an_unknown_activation_are_not_saturated():
    run = tables(saturated_fraction=0.8, zero_fraction=0.8)
    assert_clean(SATURATED, type(run)(layers=run.layers))
    run = tables(saturated_fraction=0.8, zero_fraction=0.0)
    assert found(SATURATED, type(run)(layers=run.layers))


GRAPH = {
    "trained": 1, "unreached": {}, "not_optimized": {}, "strangers": [], "outside": {}, "fresh": [], "chains": [],
}  # fmt: skip


def test_activations_without_an_upper_bound_are_not_saturated_in_watched_models_either():
    run = tables(4, saturated_fraction=[0.2, 0.9, 0.9, 0.2], zero_fraction=0.0)

    def knowing(unbounded):
        return type(run)(layers=run.layers, summary={"graph": {**GRAPH, "unbounded": unbounded}})

    assert found(SATURATED, knowing(["activation.1"])).modules == ("activation.2",)
    assert_clean(SATURATED, knowing(["activation.1", "activation.2"]))
    everything = [f"activation.{layer}" for layer in range(4)]
    assert_not_applicable(SATURATED, knowing(everything), "no activation with an upper bound")
    for odd in (None, 3, {"activation.1": 1}, [1, None]):
        assert found(SATURATED, knowing(odd)).modules == ("activation.1", "activation.2")


def test_a_learned_step_size_of_softplus_is_sound():
    """As in state-space models: the softplus of a bias near −5 is small and flat, and that is what it is for."""

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.step, self.out = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 1)
            nn.init.constant_(self.step.bias, -6.0)

        def forward(self, x):
            return self.out(torch.tanh(self.read(x)) * functional.softplus(self.step(x)))

    torch.manual_seed(0)
    net = Gated()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    with gradlab.watch(net, optimizer) as recorder:
        for _ in range(30):
            x = torch.randn(32, 8)
            optimizer.zero_grad()
            functional.mse_loss(net(x), x[:, :1]).backward()
            optimizer.step()
    assert (recorder.rows().filter(pl.col("module") == ":softplus")["saturated_fraction"] > 0.5).all()
    assert [finding.rule for finding in recorder.diagnose() if finding.rule == SATURATED] == []
    assert recorder.tables.summary["graph"]["unbounded"] == [":softplus"]


def test_copies():
    finding = found(COPIES, tables(model=config(depth=10, initializer="constant"), across_units_std=1e-8))
    assert finding.severity == "error"
    assert finding.layers == tuple(range(10))
    assert finding.remedies == ("model.initializer=he_normal",)


def test_zero_weights_are_copies_and_dead_layers_are_not():
    silent = {"activation_rms": 0.0, "across_units_std": 0.0}
    assert found(COPIES, tables(weight_norm=0.0, **silent))
    assert_clean(COPIES, tables(**silent))


def test_a_single_unit_is_no_copy():
    narrow = config(depth=2, width=[1, 5])
    assert found(COPIES, tables(2, model=narrow, across_units_std=0.0)).layers == (1,)
    assert_not_applicable(COPIES, tables(2, model=config(depth=2, width=1), across_units_std=0.0), "a single unit")
    assert_not_applicable(COPIES, without(tables(), "across_units_std"), "no activation and no recurrent layer")


def test_units_that_only_came_to_agree_are_no_copies():
    saturated = tables(activation_rms=1.0, across_units_std=halves(0.5, 0.0))
    assert_clean(COPIES, saturated)
    assert found(COPIES, tables(across_units_std=halves(0.0, 0.5))).steps == (0, 9)
