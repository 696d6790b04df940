"""What the recorder promises to leave alone, and what it promises to see."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gradlab.choices import MLP
from gradlab.networks.mlp import build_mlp
from gradlab.recording.recorder import Recorder
from gradlab.tables import layers_frame

CPU = torch.device("cpu")


def network(dtype=torch.float32, **model):
    config = MLP.model_validate({"depth": 5, "width": 16, "activation": "relu", **model})
    return build_mlp(config, features=8, classes=3, seed=0, dtype=dtype, device=CPU)


def hooks(model):
    """How many hooks of any kind sit on a model and its parameters."""
    modules = sum(len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules())
    return modules + sum(len(p._post_accumulate_grad_hooks or ()) for p in model.parameters())


def train(model, optimizer, steps, clip=None, before_step=lambda step: None):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 8, generator=generator, dtype=next(model.parameters()).dtype)
    y = torch.randint(3, (64,), generator=generator)
    for step in range(steps):
        before_step(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return x, y


@pytest.mark.parametrize("optimizer_type", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
@pytest.mark.parametrize("residual", [False, True])
def test_training_is_bit_identical_with_and_without(optimizer_type, batch_norm, residual):
    bare, watched = (network(batch_norm=batch_norm, residual=residual) for _ in range(2))
    train(bare, optimizer_type(bare.parameters(), lr=0.05), 20)
    optimizer = optimizer_type(watched.parameters(), lr=0.05)
    x = torch.randn(100, 8, generator=torch.Generator().manual_seed(2))
    random_state = torch.get_rng_state()
    recorder = Recorder(watched, [optimizer], emit=lambda record: None, histograms=lambda step: step % 3 == 0)
    with recorder:
        train(watched, optimizer, 20, before_step=lambda step: recorder.look_at_units(x))
    assert torch.equal(torch.get_rng_state(), random_state)
    for (name, a), b in zip(bare.state_dict().items(), watched.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_leaving_removes_every_hook_also_after_an_exception():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pre, post = len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)
    with Recorder(model, [optimizer], emit=lambda record: None):
        assert hooks(model) > 0
    assert hooks(model) == 0
    with pytest.raises(RuntimeError, match="stop"), Recorder(model, [optimizer], emit=lambda record: None):
        raise RuntimeError("stop")
    assert hooks(model) == 0
    assert (len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)) == (pre, post)


def test_copies_and_state_dicts_during_recording_are_clean():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    keys = set(model.state_dict())
    with Recorder(model, [optimizer], emit=lambda record: None):
        train(model, optimizer, 2)
        assert set(model.state_dict()) == keys
        copy.deepcopy(model)(torch.zeros(2, 8))


def test_thinning_and_no_grad_and_eval_passes():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    records = []

    def evaluate(step):
        model.eval()
        model(torch.full((1, 8), 1e9))
        model.train()
        with torch.no_grad():
            model(torch.full((1, 8), 1e9))

    with Recorder(model, [optimizer], emit=records.append, records=lambda step: step % 4 == 0):
        train(model, optimizer, 10, before_step=evaluate)
    assert [record.rows.step for record in records] == [0, 4, 8]
    assert layers_frame([r.rows for r in records])["activation_max"].max() < 1e3


def test_weight_gradients_are_those_before_clipping():
    loose, tight = [], []
    for clip, records in [(None, loose), (1e-6, tight)]:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with Recorder(model, [optimizer], emit=records.append):
            train(model, optimizer, 1, clip=clip)
    one, other = (records[0].rows.values("weight_gradient_norm") for records in (loose, tight))
    np.testing.assert_array_equal(one, other)
    assert tight[0].gradient_norm == loose[0].gradient_norm > 1e-3


def test_underflow_is_seen_where_float32_norms_are_zero():
    model = network(depth=40, width=128, activation="sigmoid", initializer="glorot_uniform")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    records = []
    with Recorder(model, [optimizer], emit=records.append):
        train(model, optimizer, 1)
    first = model.get_parameter("hidden.0.linear.weight").grad
    assert float(first.square().sum().sqrt()) == 0, "a float32 norm reports exactly 0"
    norm = layers_frame([records[0].rows])["weight_gradient_norm"][0]
    assert norm == pytest.approx(np.linalg.norm(first.numpy().astype(np.float64)), rel=1e-12)
    assert norm > 0


def test_full_pass_statistics_against_numpy():
    model = network(dtype=torch.float64, initializer="he_normal", bias_std=1.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(5000, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)  # two chunks
    records = []
    recorder = Recorder(model, [optimizer], emit=records.append)
    with recorder:
        recorder.look_at_units(x)
        train(model, optimizer, 2)
    fresh = network(dtype=torch.float64, initializer="he_normal", bias_std=1.5)
    hidden = x.numpy()
    rows = layers_frame([record.rows for record in records]).filter(kind="activation")
    for layer in range(5):
        weight = fresh.get_parameter(f"hidden.{layer}.linear.weight").detach().numpy()
        bias = fresh.get_parameter(f"hidden.{layer}.linear.bias").detach().numpy()
        hidden = np.maximum(hidden @ weight.T + bias, 0)
        row = rows.filter(layer=layer, step=0).row(0, named=True)
        assert row["dead_fraction"] == (hidden == 0).all(0).mean()
        assert row["across_samples_std"] == pytest.approx(np.sqrt(hidden.var(0).mean()), rel=1e-9)
        assert row["across_units_std"] == pytest.approx(np.sqrt(hidden.var(1).mean()), rel=1e-9)
    assert rows.filter(step=1)["dead_fraction"].null_count() == 5


def test_units_that_revive_are_counted_from_one_full_pass_to_the_next():
    model = network(dtype=torch.float64, initializer="he_normal")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    bias = model.get_parameter("hidden.0.linear.bias")
    records = []
    with Recorder(model, [optimizer], emit=records.append) as recorder:
        for killed in ([0, 1, 2], [2, 3], []):  # 0 and 1 revive, then 2 and 3
            with torch.no_grad():
                bias.zero_()
                bias[killed] = -1e6
            recorder.look_at_units(x)
            train(model, optimizer, 1)
    first = layers_frame([record.rows for record in records]).filter(kind="activation", layer=0)
    units = len(bias)
    assert first["dead_fraction"].to_list() == [3 / units, 2 / units, 0]
    assert first["revived_fraction"].to_list() == [None, 2 / units, 2 / units]


def test_full_pass_leaves_batch_norm_and_modes_alone():
    model = network(batch_norm="before")
    model.get_submodule("hidden.1").eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, [optimizer], emit=lambda record: None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    with recorder:
        recorder.look_at_units(torch.randn(50, 8))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes


def test_histograms_of_non_finite_networks_are_counted_not_crashed_on():
    model = network()
    with torch.no_grad():
        model.get_parameter("hidden.2.linear.weight").fill_(float("inf"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    records = []
    with Recorder(model, [optimizer], emit=records.append, histograms=lambda step: True):
        train(model, optimizer, 1)
    rows = {(row["module"], row["quantity"]): row for row in records[0].histograms}
    weight = rows["hidden.2.linear", "weight"]
    assert weight["non_finite"] == 16 * 16
    assert weight["low"] is None
    assert sum(weight["counts"]) == 0
    assert {quantity for _, quantity in rows} == {"activation", "delta", "weight", "weight_gradient"}


def test_lbfgs_records_the_first_evaluation_of_a_step():
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5)
    x, y = torch.randn(32, 8), torch.randint(3, (32,))
    records = []

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    with Recorder(model, [optimizer], emit=records.append):
        closure()
        expected = model.get_parameter("output.weight").grad.norm().item()
        first = [torch.zeros(())]
        optimizer.step(lambda: first.pop() if first else closure())
    assert layers_frame([records[0].rows])["weight_gradient_norm"][-1] == pytest.approx(expected, rel=1e-6)
