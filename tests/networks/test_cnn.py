"""The kind `cnn` against loops in NumPy: what it computes, how its gradient signal goes back, how its weights start."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from gradlab import choices
from gradlab.choices import CNN
from gradlab.networks.cnn import build_cnn
from gradlab.networks.initializers import Shape, fill, variance
from tests.own import NAMED_INITIALIZERS

CPU = torch.device("cpu")
IMAGE = (2, 5, 4)


def network(seed=0, dtype=torch.float64, batch=None, image=IMAGE, **model):
    config = CNN.model_validate({"depth": 3, "channels": 4, **model})
    return build_cnn(config, features=image, classes=3, seed=seed, dtype=dtype, device=CPU, batch=batch)


# ------------------------------------------------------------------------------------------------------------ in NumPy


def convolved(x_BCHW, weight, bias, stride):
    """A convolution with zeros around, entry by entry."""
    batch, _, height, width = x_BCHW.shape
    units, _, k, _ = weight.shape
    rows, columns = -(-height // stride), -(-width // stride)
    out = np.zeros((batch, units, rows, columns))
    for i in range(rows):
        for j in range(columns):
            for a in range(k):
                for b in range(k):
                    y, x = i * stride + a - k // 2, j * stride + b - k // 2
                    if 0 <= y < height and 0 <= x < width:
                        out[:, :, i, j] += x_BCHW[:, :, y, x] @ weight[:, :, a, b].T
    return out + bias[:, None, None]


def back(delta, weight, shape, stride):
    """δ at the input of a convolution, given that at its output."""
    k = weight.shape[2]
    into = np.zeros((len(delta), *shape))
    for i in range(delta.shape[2]):
        for j in range(delta.shape[3]):
            for a in range(k):
                for b in range(k):
                    y, x = i * stride + a - k // 2, j * stride + b - k // 2
                    if 0 <= y < shape[1] and 0 <= x < shape[2]:
                        into[:, :, y, x] += delta[:, :, i, j] @ weight[:, :, a, b]
    return into


def traced(state, x, y, strides, *, residual, norm=None):
    """Logits, and δ at the output of each convolution, of a network with tanh; the mean cross-entropy is the loss."""
    entered, before, weights = [], [], []
    for layer, stride in enumerate(strides):
        weight, bias = (state[f"hidden.{layer}.conv.{part}"] for part in ("weight", "bias"))
        entered.append(x)
        weights.append(weight)
        before.append(convolved(x, weight, bias, stride))
        out = np.tanh(before[-1])
        x = x + out if residual and weight.shape[0] == weight.shape[1] and stride == 1 else out
    logits = x.mean((2, 3)) @ state["output.weight"].T + state["output.bias"]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    at_logits = (probabilities - np.eye(logits.shape[1])[y]) / len(y)
    at_x = np.broadcast_to((at_logits @ state["output.weight"])[:, :, None, None] / np.prod(x.shape[2:]), x.shape)
    deltas = []
    for layer in reversed(range(len(strides))):
        delta = at_x * (1 - np.tanh(before[layer]) ** 2)
        deltas.insert(0, delta)
        weight, stride = weights[layer], strides[layer]
        passed = at_x if residual and weight.shape[0] == weight.shape[1] and stride == 1 else 0
        at_x = passed + back(delta, weight, entered[layer].shape[1:], stride)
    return logits, deltas


@pytest.mark.parametrize(
    ("model", "strides"),
    [
        ({}, (1, 1, 1)),
        ({"kernel": [1, 3, 5], "channels": [3, 4, 2]}, (1, 1, 1)),
        ({"stride": [1, 2, 2]}, (1, 2, 2)),
        ({"residual": True, "stride": [2, 1, 1]}, (2, 1, 1)),
    ],
    ids=str,
)
def test_forward_and_delta_equal_numpy(model, strides):
    made = network(**model, activation="tanh", bias_std=0.4)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, *IMAGE)), rng.integers(0, 3, 6)
    state = {name: value.numpy() for name, value in made.state_dict().items()}
    logits, deltas = traced(state, x, y, strides, residual=model.get("residual", False))
    seen = {}
    for layer, block in enumerate(made.hidden):
        block.conv.register_forward_hook(lambda module, inputs, output, layer=layer: seen.update({layer: output}))
    out = made(torch.tensor(x).flatten(1))  # rows of numbers, as a dataset has them
    np.testing.assert_allclose(out.detach().numpy(), logits, rtol=1e-10, atol=1e-13)
    loss = torch.nn.functional.cross_entropy(out, torch.tensor(y))
    for found, delta in zip(torch.autograd.grad(loss, [seen[layer] for layer in range(3)]), deltas, strict=True):
        np.testing.assert_allclose(found.numpy(), delta, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "axes", "centred"),
    [("batch_norm", (0, 2, 3), 1), ("layer_norm", (1, 2, 3), 1), ("rms_norm", (1, 2, 3), 0)],
)
def test_what_maps_are_normalized_over(name, axes, centred, place):
    options = {"name": name, "place": place, "gamma": 0.75, "epsilon": 0.01}
    made = network(depth=1, channels=6, normalization=options, activation="tanh")
    x = torch.randn(8, *IMAGE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3 + 1
    h = made.hidden[0].conv(x).detach().numpy()
    h = h if place == "before" else np.tanh(h)
    mean = centred * h.mean(axes, keepdims=True)
    expected = 0.75 * (h - mean) / np.sqrt(((h - mean) ** 2).mean(axes, keepdims=True) + 0.01)
    expected = np.tanh(expected) if place == "before" else expected
    np.testing.assert_allclose(made.hidden[0](x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_gamma_and_beta_belong_to_a_channel():
    for name, count in (("batch_norm", 2), ("layer_norm", 2), ("rms_norm", 1)):
        made = network(depth=2, normalization=name)
        assert sum(p.numel() for p in made.hidden[1].norm.parameters()) == 4 * count
    frozen = network(normalization={"name": "rms_norm", "affine": False})
    assert not any(p.requires_grad for name, p in frozen.named_parameters() if "norm" in name)


def test_modules_have_the_names_of_the_design():
    made = network(normalization="batch_norm", depth=2)
    names = [name for name, module in made.named_modules() if not list(module.children())]
    parts = ("conv", "norm", "activation")
    assert names == [f"hidden.{layer}.{part}" for layer in range(2) for part in parts] + ["pool", "output"]


def test_zeros_around_keep_the_size_and_a_stride_of_two_halves_it():
    sizes = []
    made = network(image=(1, 9, 8), kernel=[1, 3, 5], stride=[1, 1, 2])
    for block in made.hidden:
        block.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    made(torch.zeros(1, 72, dtype=torch.float64))
    assert sizes == [(9, 8), (9, 8), (5, 4)]


def test_the_seed_alone_decides_and_the_global_state_stays():
    first = network(seed=1).state_dict()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    again, deeper = network(seed=1).state_dict(), network(seed=1, depth=5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(deeper[name], value) for name, value in first.items() if name.startswith("hidden"))
    assert not torch.equal(first["output.weight"], network(seed=2).state_dict()["output.weight"])
    assert all(
        torch.equal(first[name].float(), value)
        for name, value in network(seed=1, dtype=torch.float32).state_dict().items()
    )


# ---------------------------------------------------------------------------------------------------------------- fans


@pytest.mark.parametrize(
    ("initializer", "expected"),
    [
        ("he_normal", 2 / (9 * 40)),  # He et al. 2015, eq. 10: ½ n Var W = 1 with n = k² c
        ("lecun_uniform", 1 / (9 * 40)),
        ("glorot_uniform", 2 / (9 * 40 + 9 * 60)),
        ("pytorch_default", 1 / (3 * 9 * 40)),
        (
            {"name": "variance_scaling", "scale": 2.0, "mode": "fan_out"},
            2 / (9 * 60),
        ),  # eq. 14, n̂ = k² d
        ({"name": "kaiming_normal", "mode": "fan_out"}, 2 / (9 * 60)),
        ("xavier_normal", 2 / (9 * 40 + 9 * 60)),
        ("orthogonal", 1 / (9 * 40)),  # 60 rows of 360, of length 1 each
        ({"name": "normal", "std": 0.02}, 0.02**2),
    ],
    ids=str,
)
def test_weights_have_the_variance_of_their_fans(initializer, expected):
    choice = CNN.model_validate({"initializer": initializer}).initializer
    weight = torch.empty(60, 40, 3, 3, dtype=torch.float64)
    fill(choice, weight, torch.Generator().manual_seed(0))
    assert variance(choice, 40, 60, kernel=3) == pytest.approx(expected, rel=1e-12)
    assert float(weight.square().mean()) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("name", sorted(set(NAMED_INITIALIZERS) - {"lsuv"}))
def test_predicted_variances_are_those_of_the_weights(name):
    choice = choices.INITIALIZERS[name](**({"value": 0.1} if name == "constant" else {}))
    for inputs, units, kernel in ((1, 16, 3), (50, 10, 5), (40, 60, 1)):
        weight = torch.stack([torch.empty(units, inputs, kernel, kernel, dtype=torch.float64) for _ in range(20)])
        for number, each in enumerate(weight):
            fill(choice, each, torch.Generator().manual_seed(number))
        assert float(weight.var()) == pytest.approx(variance(choice, inputs, units, kernel), rel=0.1, abs=1e-20)


def test_fans_of_pytorch():
    weight = torch.empty(60, 40, 3, 3)
    shape = Shape(inputs=40, units=60, taps=9)
    assert (shape.fan_in, shape.fan_out) == torch.nn.init._calculate_fan_in_and_fan_out(weight)


@pytest.mark.parametrize("residual", [False, {"scale": 0.5}])
def test_lsuv_gives_every_layer_unit_variance_on_its_batch(residual):
    x = torch.randn(64, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    made = network(depth=4, channels=12, initializer="lsuv", residual=residual, batch=x)
    outputs = []
    for layer in made.weight_layers():
        layer.register_forward_hook(lambda module, inputs, output: outputs.append(output.var(correction=0).item()))
    made(x)
    assert outputs == pytest.approx([1.0] * 5, abs=0.1)
    with pytest.raises(ValueError, match="lsuv needs a batch"):
        network(initializer="lsuv")


# -------------------------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kernel": 4}, "4 is even; only an odd kernel has a middle"),
        ({"kernel": [3, 3, 2]}, "2 is even"),
        ({"channels": [4, 4]}, "lists 2 layers, but depth is 3"),
        ({"stride": [1]}, "lists 1 layers, but depth is 3"),
        ({"residual": True, "channels": [4, 4, 8]}, "layer 2 has 8 channels and the one before it 4"),
        ({"residual": {"scale": 0.1}, "stride": [1, 2, 1]}, "layer 1 has the stride 2, which makes its maps smaller"),
        ({"residual": True, "stride": 2}, "layer 1 has the stride 2"),
        ({"normalization": "instance_norm"}, "instance_norm"),
        ({"width": 100}, "Extra inputs"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_one_problem(model, message):
    with pytest.raises(ValidationError, match=message):
        CNN.model_validate({"depth": 3, **model})


def test_one_spelling_one_network():
    one, other = (CNN.model_validate({"depth": 2, **model}) for model in ({"channels": 8}, {"channels": [8, 8]}))
    assert one == other
    assert CNN(residual=True) == CNN.model_validate({"residual": {"scale": 1.0}})
    assert CNN(depth=2, batch_norm="before").normalization.where == "before"
    assert CNN(depth=2).parameter_count(64, 10) == 32 * 32 * 9 + 320
