import numpy as np
import pytest
import torch

from gradlab.choices import MLP
from gradlab.networks.mlp import build_mlp
from tests.recording.numpy_network import trace

CPU = torch.device("cpu")


def network(seed=0, dtype=torch.float64, batch=None, **model):
    config = MLP.model_validate({"depth": 4, "width": 6, **model})
    return build_mlp(config, features=8, classes=3, seed=seed, dtype=dtype, device=CPU, batch=batch)


@pytest.mark.parametrize("width", [6, [8, 8, 5, 5]])
@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
@pytest.mark.parametrize("residual", [False, True])
def test_forward_equals_numpy(width, batch_norm, residual):
    model = network(width=width, batch_norm=batch_norm, residual=residual, activation="tanh", bias_std=0.4)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 8)), rng.integers(0, 3, 20)
    state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    expected = trace(state, depth=4, activation="tanh", batch_norm_place=batch_norm, residual=residual, x=x, y=y)
    np.testing.assert_allclose(model(torch.tensor(x)).detach().numpy(), expected.outputs["output"], rtol=1e-11)


def test_modules_have_the_names_of_the_design():
    names = [
        name for name, module in network(batch_norm="after", depth=2).named_modules() if not list(module.children())
    ]
    parts = ("linear", "activation", "norm")
    assert names == [f"hidden.{layer}.{part}" for layer in range(2) for part in parts] + ["output"]


def test_parameters_are_counted():
    model = network(width=[5, 4, 3, 2], batch_norm="before")
    expected = sum(a * b + b for a, b in [(8, 5), (5, 4), (4, 3), (3, 2), (2, 3)]) + 2 * (5 + 4 + 3 + 2)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_the_seed_alone_decides_and_the_global_state_stays():
    first = network(seed=1).state_dict()
    torch.manual_seed(7)
    torch.rand(3)
    state = torch.get_rng_state()
    again = network(seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["output.weight"], network(seed=2).state_dict()["output.weight"])


def test_first_layers_do_not_depend_on_depth():
    shallow, deep = network(depth=2).state_dict(), network(depth=9).state_dict()
    assert all(torch.equal(deep[name], value) for name, value in shallow.items() if name.startswith("hidden"))


def test_every_dtype_starts_from_the_same_weights():
    wide, narrow = network().state_dict(), network(dtype=torch.float32).state_dict()
    assert all(torch.equal(wide[name].float(), value) for name, value in narrow.items())
    assert {value.dtype for value in network(dtype=torch.float32, batch_norm="before").parameters()} == {torch.float32}


def test_biases():
    assert not any(p.any() for name, p in network().named_parameters() if name.endswith("bias"))
    model = network(width=2000, depth=2, bias_std=0.5)
    bias = model.state_dict()["hidden.1.linear.bias"].numpy()
    assert bias.std() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("batch_norm", ["none", "before", "after"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_lsuv_gives_every_layer_unit_variance_on_its_batch(activation, batch_norm):
    batch = torch.randn(256, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    model = network(depth=8, width=40, activation=activation, initializer="lsuv", batch_norm=batch_norm, batch=batch)
    untouched = network(depth=8, width=40, activation=activation, batch_norm=batch_norm)
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    for (name, buffer), (_, fresh) in zip(model.named_buffers(), untouched.named_buffers(), strict=True):
        assert torch.equal(buffer, fresh), name
    seen = []
    for linear in model.linears():
        linear.register_forward_hook(lambda module, inputs, output: seen.append(output.var(correction=0).item()))
    model(batch)
    np.testing.assert_allclose(seen, 1, atol=0.011)


def test_lsuv_computes_each_layer_a_few_times_however_deep(monkeypatch):
    calls = []
    forward = torch.nn.Linear.forward
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda self, x: calls.append(self) or forward(self, x))
    network(depth=50, initializer="lsuv", batch=torch.ones(1, 8, dtype=torch.float64))
    # scaled once, found to be good, and passed through
    assert len(calls) <= 3 * 51


def test_lsuv_draws_nothing_from_the_global_state():
    state = torch.get_rng_state()
    batch = torch.arange(128, dtype=torch.float64).reshape(16, 8)
    first, again = (network(initializer="lsuv", batch=batch).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("value", [0.0, float("inf"), float("nan")])
def test_lsuv_leaves_what_has_no_finite_variance(value):
    model = network(initializer="lsuv", batch=torch.full((16, 8), value, dtype=torch.float64))
    as_drawn = network(initializer="orthogonal").state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, as_drawn[name]), name


def test_lsuv_needs_a_batch():
    with pytest.raises(ValueError, match="needs a batch"):
        network(initializer="lsuv")


def test_parameters_of_activations_are_not_rounded_on_their_way():
    slopes = {"name": "prelu", "init": 0.1}
    assert network(activation=slopes).state_dict()["hidden.0.activation.weight"].item() == 0.1
    single = network(activation=slopes, dtype=torch.float32).state_dict()["hidden.0.activation.weight"]
    assert torch.equal(single, torch.tensor([0.1]))


def test_orthogonal_linear_networks_keep_every_singular_value_at_1():
    model = network(depth=50, width=8, activation="identity", initializer="orthogonal")
    product = np.eye(8)
    for layer in range(50):
        product = model.state_dict()[f"hidden.{layer}.linear.weight"].numpy() @ product
    np.testing.assert_allclose(np.linalg.svd(product, compute_uv=False), 1, atol=1e-12)


def test_what_batch_normalization_makes_exact():
    """Before BatchNorm, a bias has no gradient, and a weight's gradient is orthogonal to it (up to BatchNorm's ε)."""
    model = network(batch_norm="before", activation="tanh", width=16)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 8, generator=generator, dtype=torch.float64)
    torch.nn.functional.cross_entropy(model(x), torch.randint(3, (64,), generator=generator)).backward()
    for linear in list(model.linears())[:-1]:
        assert linear.bias.grad.abs().max() < 1e-15
        along = (linear.weight * linear.weight.grad).sum().abs()
        assert along < 1e-3 * linear.weight.norm() * linear.weight.grad.norm()


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "rms_norm"])
@pytest.mark.parametrize("affine", [True, False])
def test_normalizations_equal_numpy(name, place, affine):
    beta = {} if name == "rms_norm" else {"beta": -0.5}
    norm = {"name": name, "place": place, "gamma": 1.5, "epsilon": 0.1, "affine": affine, **beta}
    model = network(normalization=norm, activation="tanh", bias_std=0.4, depth=1)
    x = np.random.default_rng(1).normal(size=(20, 8))
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    axis = 0 if name == "batch_norm" else 1

    def normalized(values):
        centred = values - values.mean(axis, keepdims=True) if name != "rms_norm" else values
        return 1.5 * centred / np.sqrt((centred**2).mean(axis, keepdims=True) + 0.1) + beta.get("beta", 0.0)

    h = x @ state["hidden.0.linear.weight"].T + state["hidden.0.linear.bias"]
    out = np.tanh(normalized(h)) if place == "before" else normalized(np.tanh(h))
    expected = out @ state["output.weight"].T + state["output.bias"]
    np.testing.assert_allclose(model(torch.tensor(x)).detach().numpy(), expected, rtol=1e-11)
    assert {parameter.requires_grad for parameter in model.hidden[0].norm.parameters()} == {affine}


def test_batch_norm_has_its_momentum():
    model = network(normalization={"name": "batch_norm", "momentum": 0.25}, depth=1)
    x = torch.randn(20, 8, dtype=torch.float64)
    model(x)
    h = model.hidden[0].linear(x)
    torch.testing.assert_close(model.hidden[0].norm.running_mean, 0.25 * h.mean(0))


@pytest.mark.parametrize("scale", [0.3, "zero"])
def test_residual_blocks_have_their_scale(scale):
    model = network(residual={"scale": scale}, width=8, activation="tanh")
    x = torch.randn(20, 8, dtype=torch.float64)
    expected = x
    for layer in model.hidden:
        expected = expected + (0.3 if scale == 0.3 else 0.0) * torch.tanh(layer.linear(expected))
    torch.testing.assert_close(model(x), model.output(expected))
    learned = [name for name, _ in model.named_parameters() if name.endswith("scale")]
    assert learned == ([] if scale == 0.3 else [f"hidden.{number}.scale" for number in range(4)])


def test_a_learned_scale_moves():
    model = network(residual={"scale": "zero"}, width=8, activation="tanh")
    x, y = torch.randn(20, 8, dtype=torch.float64), torch.randint(3, (20,))
    torch.nn.functional.cross_entropy(model(x), y).backward()
    assert all(layer.scale.grad.abs() > 0 for layer in model.hidden)
    assert all(not layer.linear.weight.grad.any() for layer in model.hidden)


def test_a_block_without_a_matching_width_has_no_scale():
    model = network(residual={"scale": "zero"}, width=[8, 5, 5, 4])
    assert [layer.scale is not None for layer in model.hidden] == [True, False, True, False]
