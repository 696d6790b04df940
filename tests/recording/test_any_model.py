"""Every kind of model and loop that the recorder has to understand; δ is checked against `torch.autograd.grad`."""

import contextlib
import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import gradlab
from gradlab.errors import UserError


def seeded(build):
    torch.manual_seed(0)
    return build()


def loop(model, optimizers, data, loss=lambda out: out.square().mean(), steps=2):
    """A training loop as people write it."""
    for _ in range(steps):
        loss(model(*data)).backward()
        for optimizer in optimizers:
            optimizer.step()
        for optimizer in optimizers:
            optimizer.zero_grad()


def watched(model, *data, steps=2, loss=lambda out: out.square().mean(), **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer, **options) as recorder:
        loop(model, [optimizer], data, loss, steps)
    return recorder


def row(recorder, module, step=0):
    rows = recorder.rows().filter(step=step, module=module)
    assert rows.height == 1, recorder.rows()["module"].unique().to_list()
    return rows.row(0, named=True)


def rms(tensor):
    return float(tensor.detach().double().square().mean().sqrt())


def norm(tensor):
    return float(tensor.detach().double().square().sum().sqrt())


def same(ones, others, rel=1e-6):
    """Whether two columns or rows hold the same, numbers up to rounding."""
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one == (pytest.approx(other, rel=rel) if isinstance(other, float) else other)


def reference(model, names, *data, loss=lambda out: out.square().mean()):
    """Outputs of some modules and ∂L/∂output, from autograd itself, one entry a call."""
    outputs = {name: [] for name in names}
    handles = [
        model.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: outputs[name].append(o))
        for name in names
    ]
    value = loss(model(*data))
    for handle in handles:
        handle.remove()
    firsts = {name: [o if isinstance(o, torch.Tensor) else o[0] for o in found] for name, found in outputs.items()}
    flat = [output for found in firsts.values() for output in found]
    gradients = iter(torch.autograd.grad(value, flat))
    return {name: [(output, next(gradients)) for output in found] for name, found in firsts.items()}


def check(recorder, expected):
    for name, calls in expected.items():
        found = row(recorder, name)
        outputs = torch.cat([output.reshape(-1) for output, _ in calls])
        deltas = torch.cat([delta.reshape(-1) for _, delta in calls])
        assert found["calls"] == len(calls)
        assert found["activation_rms"] == pytest.approx(rms(outputs), rel=1e-6)
        assert found["activation_std"] == pytest.approx(float(outputs.detach().double().std(correction=0)), rel=1e-6)
        assert found["activation_max"] == float(outputs.detach().max())
        assert found["delta_rms"] == pytest.approx(rms(deltas), rel=1e-5)


class Convolutions(nn.Module):
    """In-place and functional activations, a pool, a shortcut that is registered last and runs in the middle."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        self.shortcut = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = self.pool(self.act(self.norm(self.first(x))))
        x = functional.relu(self.second(x), inplace=True) + torch.tanh(self.shortcut(x))
        return self.head(x.mean((2, 3)).sigmoid())


IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
VECTORS = torch.randn(16, 6, generator=torch.Generator().manual_seed(2))


def test_convolutions_pools_norms_and_activations_of_all_kinds():
    recorder = watched(seeded(Convolutions), IMAGES)
    rows = recorder.rows().filter(step=0)
    assert list(zip(rows["module"], rows["kind"], rows["layer"], strict=True)) == [
        ("first", "weight", 0),
        ("norm", "norm", 0),
        ("act", "activation", 0),
        ("pool", "other", 0),
        ("second", "weight", 1),
        (":relu", "activation", 1),
        ("shortcut", "weight", 2),
        (":tanh", "activation", 2),
        (":sigmoid", "activation", 2),
        ("head", "output", 3),
    ]
    check(recorder, reference(seeded(Convolutions), ["first", "pool", "shortcut", "head"], IMAGES))


def test_functional_activations_have_rows_like_modules():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.c(functional.leaky_relu(torch.relu(self.a(x)) + self.b(torch.tanh(self.a(x))), 0.001))

    class Modules(Functional):
        def __init__(self):
            super().__init__()
            self.relu, self.tanh, self.leaky = nn.ReLU(), nn.Tanh(), nn.LeakyReLU(0.001)

        def forward(self, x):
            return self.c(self.leaky(self.relu(self.a(x)) + self.b(self.tanh(self.a(x)))))

    functions, modules = (watched(seeded(kind), VECTORS, steps=5) for kind in (Functional, Modules))
    for function, module in ((":relu", "relu"), (":tanh", "tanh"), (":leaky_relu", "leaky")):
        for step in (0, 4):  # also after the recorder has stopped looking around
            a, b = row(functions, function, step), row(modules, module, step)
            for column in set(a) - {"module"}:
                assert a[column] == b[column], column
            assert a["saturated_fraction"] is not None


@pytest.mark.parametrize(
    "call",
    [
        functional.relu,
        torch.relu,
        lambda x: x.relu(),
        lambda x: x.relu_(),
        lambda x: functional.relu(x, True),
        lambda x: functional.relu(x, inplace=True),
        torch.relu_,
    ],
)
def test_every_way_to_call_relu(call):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(6, 5)

        def forward(self, x):
            return call(self.a(x))

    found = row(watched(seeded(Net), VECTORS), ":relu")
    h = seeded(Net).a(VECTORS)
    assert found["saturated_fraction"] == found["zero_fraction"] == float((h <= 0).double().mean())
    assert found["delta_rms"] == pytest.approx(rms(2 * h.clamp(min=0) / h.numel()), rel=1e-6)


def test_a_module_that_only_calls_a_function_is_the_activation():
    class Swish(nn.Module):
        def forward(self, x):
            return functional.silu(x)

    class Gated(nn.Module):
        def forward(self, x):
            return torch.sigmoid(x) * x.tanh()

    recorder = watched(seeded(lambda: nn.Sequential(nn.Linear(6, 5), Swish(), nn.Linear(5, 5), Gated())), VECTORS)
    rows = recorder.rows().filter(step=0)
    assert list(zip(rows["module"], rows["kind"], strict=True)) == [
        ("0", "weight"),
        ("1", "activation"),
        ("2", "output"),
        ("3", "activation"),
    ]
    assert rows["saturated_fraction"].is_null().to_list() == [True, False, True, True]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(kind):
    def build():
        return nn.ModuleDict({"embed": nn.Embedding(10, 6), "rnn": kind(6, 7, num_layers=2), "head": nn.Linear(7, 10)})

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = build()

        def forward(self, tokens):
            return self.parts["head"](self.parts["rnn"](self.parts["embed"](tokens))[0])

    tokens = torch.arange(20).reshape(5, 4) % 10
    recorder = watched(seeded(Net), tokens)
    model = seeded(Net)
    check(recorder, reference(model, ["parts.embed", "parts.rnn", "parts.head"], tokens))
    model(tokens).square().mean().backward()
    weights = [p for name, p in model.parts["rnn"].named_parameters() if p.ndim == 2]
    found = row(recorder, "parts.rnn")
    assert found["kind"] == "weight"
    assert found["weight_norm"] == pytest.approx(np.sqrt(sum(norm(w) ** 2 for w in weights)), rel=1e-6)
    assert found["weight_gradient_norm"] == pytest.approx(np.sqrt(sum(norm(w.grad) ** 2 for w in weights)), rel=1e-6)


def test_attention_and_transformers():
    def build():
        return nn.Transformer(8, 2, 1, 1, dim_feedforward=16, dropout=0.0, batch_first=True)

    source, target = torch.randn(2, 5, 8), torch.randn(2, 4, 8)
    recorder = watched(seeded(build), source, target)
    names = [
        "encoder.layers.0.self_attn",
        "encoder.layers.0.linear1",
        "encoder.layers.0.norm2",
        "decoder.layers.0.multihead_attn",
    ]
    check(recorder, reference(seeded(build), names, source, target))
    assert row(recorder, "encoder.layers.0:relu")["kind"] == "activation"
    assert row(recorder, "decoder.layers.0.norm1")["kind"] == "norm"


def test_weight_tying_and_modules_called_several_times():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 6)
            self.shared = nn.Linear(6, 6)
            self.head = nn.Linear(6, 10, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            x = self.embed(tokens)
            for _ in range(3):
                x = torch.tanh(self.shared(x))
            return self.head(x)

    tokens = torch.arange(6)
    recorder, model = watched(seeded(Tied), tokens), seeded(Tied)
    check(recorder, reference(model, ["shared", "embed", "head"], tokens))
    model(tokens).square().mean().backward()
    for name in ("embed", "head"):
        found = row(recorder, name)
        assert found["weight_gradient_norm"] == pytest.approx(norm(model.embed.weight.grad), rel=1e-6)
    total = np.sqrt(sum(norm(p.grad) ** 2 for p in model.parameters()))
    assert recorder.steps["gradient_norm"][0] == pytest.approx(total, rel=1e-6)
    assert row(recorder, "shared")["calls"] == 3


@dataclasses.dataclass
class Result:
    loss: torch.Tensor
    hidden: torch.Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: (x, x.detach()),
        lambda x: {"loss": x.mean(), "hidden": x},
        lambda x: Result(x.mean(), x),
        lambda x: [[x], None],
    ],
)
def test_outputs_of_every_shape(wrap):
    class Part(nn.Linear):
        def forward(self, x):
            return wrap(super().forward(x))

    def hidden(result):
        if isinstance(result, dict):
            return result["hidden"]
        return result.hidden if isinstance(result, Result) else result[0][0] if isinstance(result, list) else result[0]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.head = Part(6, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(hidden(self.part(x)))

    found, model = row(watched(seeded(Net), VECTORS), "part"), seeded(Net)
    x = hidden(model.part(VECTORS))
    (delta,) = torch.autograd.grad(model.head(x).square().mean(), x)
    assert found["activation_rms"] == pytest.approx(rms(x), rel=1e-6)
    assert found["delta_rms"] == pytest.approx(rms(delta), rel=1e-6)


def test_frozen_unused_and_gradientless_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.used, self.unused = nn.Linear(6, 5), nn.Linear(5, 2), nn.Linear(2, 2)
            self.frozen.requires_grad_(False)

        def forward(self, x):
            return self.used(self.frozen(x))

    recorder, model = watched(seeded(Net), VECTORS), seeded(Net)
    assert recorder.rows()["module"].unique().sort().to_list() == ["frozen", "used"]
    found = row(recorder, "frozen")
    assert found["weight_norm"] == pytest.approx(norm(model.frozen.weight), rel=1e-6)
    assert [found[name] for name in ("weight_gradient_norm", "update_ratio", "delta_rms")] == [None] * 3


def test_a_module_that_is_used_now_and_then_has_rows_then():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.always, self.sometimes = 0, nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x):
            self.calls += 1
            x = self.always(x)
            return functional.relu(self.sometimes(x)) if self.calls % 2 == 0 else x

    rows = watched(seeded(Net), VECTORS, steps=6).rows()
    assert rows.filter(module="always")["step"].to_list() == [0, 1, 2, 3, 4, 5]
    assert rows.filter(module="sometimes")["step"].to_list() == [1, 3, 5]
    assert rows.filter(module=":relu")["step"].to_list() == [1, 3, 5]
    assert rows.filter(module="sometimes")["layer"].unique().to_list() == [1]


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing(reentrant):
    class Net(nn.Module):
        def __init__(self, saves):
            super().__init__()
            self.first, self.head, self.saves = nn.Linear(6, 8), nn.Linear(8, 2), saves
            self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

        def inside(self, x):
            return torch.tanh(self.block(x))

        def forward(self, x):
            x = self.first(x)
            x = checkpoint(self.inside, x, use_reentrant=reentrant) if self.saves else self.inside(x)
            return self.head(x)

    saving, plain = (watched(seeded(lambda s=s: Net(s)), VECTORS, steps=5).rows() for s in (True, False))
    columns = ["step", "module", "calls", "activation_rms", "delta_rms", "weight_gradient_norm", "update_ratio"]
    saving, plain = (rows.select(columns).sort("step", "module") for rows in (saving, plain))
    if reentrant:  # PyTorch runs the function again outside of the module that has called it
        plain = plain.filter(plain["module"] != ":tanh")
    for column in columns:
        same(saving[column], plain[column])


def test_passes_that_train_nothing_are_not_recorded():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(2):
            model.eval()
            model(VECTORS * 1e6)
            model.train()
            with torch.no_grad():
                model(VECTORS * 1e6)
            loop(model, [optimizer], [VECTORS], steps=1)
    assert recorder.rows()["calls"].unique().to_list() == [1]
    assert recorder.rows()["activation_max"].max() < 100


def test_gradient_accumulation():
    def build():
        return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))

    model = seeded(build)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(2):
            for part in VECTORS.chunk(4):
                (model(part).square().mean() / 4).backward()
            optimizer.step()
            optimizer.zero_grad()
    whole = watched(seeded(build), VECTORS)
    for name in ("0", "1", "2"):
        parts, one = row(recorder, name), row(whole, name)
        assert (parts["calls"], one["calls"]) == (4, 1)
        if name == "0":  # what enters is that of the first call
            assert parts["input_mean"] == pytest.approx(float(VECTORS.chunk(4)[0].double().mean()), rel=1e-6)
        if name == "1":  # units differ by as much as in the call in which they differ most
            assert parts["across_units_std"] >= one["across_units_std"]
        for column in ("calls", "input_mean", "input_std", "input_disparity", "across_units_std"):
            del parts[column], one[column]
        same(parts.values(), one.values(), rel=1e-5)
    assert recorder.steps["loss"].to_list() == pytest.approx(whole.steps["loss"].to_list(), rel=1e-6)


def test_clipping_is_not_seen():
    def train(clip):
        model = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 300), nn.Linear(300, 300)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        with gradlab.watch(model, optimizer) as recorder:
            model(VECTORS).square().mean().backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), 1e-6)
            optimizer.step()
        return recorder.rows()["weight_gradient_norm"].to_list(), recorder.steps["gradient_norm"][0]

    assert train(True) == train(False)


@pytest.mark.parametrize("unscale", [False, True])
def test_loss_scaling_is_taken_out(unscale):
    def build():
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))

    model = seeded(build)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1)
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(2):
            scaler.scale(model(VECTORS).square().mean()).backward()
            if unscale:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 1e9)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    plain = watched(seeded(build), VECTORS)
    assert recorder.steps["gradient_scale"].to_list() == [1024, 2048]
    for column in ("loss", "gradient_norm"):
        same(recorder.steps[column], plain.steps[column])
    for column in ("delta_rms", "weight_gradient_norm", "update_ratio", "activation_rms"):
        same(recorder.rows()[column], plain.rows()[column], rel=1e-5)


def test_a_step_that_the_scaler_skips_leaves_nothing_behind():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    with gradlab.watch(model, optimizer) as recorder:
        for factor in (1.0, float("inf"), 1.0):
            optimizer.zero_grad()
            scaler.scale((model(VECTORS) * factor).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
    assert recorder.rows()["calls"].unique().to_list() == [1]
    assert recorder.rows()["delta_rms"].is_finite().all()
    assert recorder.steps["step"].to_list() == [0, 1]
    assert recorder.steps["loss"].is_finite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_is_labelled_and_measured_in_float64(dtype):
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as recorder:
        with torch.autocast("cpu", dtype=dtype):
            loss = model(VECTORS).float().square().mean()
        loss.backward()
        optimizer.step()
    name = str(dtype).removeprefix("torch.")
    assert recorder.rows()["dtype"].unique().to_list() == [name]
    with torch.autocast("cpu", dtype=dtype):
        h = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)))[0](VECTORS)
    assert row(recorder, "0")["activation_rms"] == pytest.approx(rms(h), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_whole_models_in_other_formats(dtype):
    def build():
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).to(dtype)

    recorder, model = watched(seeded(build), VECTORS.to(dtype)), seeded(build)
    model(VECTORS.to(dtype)).square().mean().backward()
    for name in ("0", "2"):
        weight = model.get_parameter(f"{name}.weight")
        assert row(recorder, name)["weight_norm"] == pytest.approx(norm(weight), rel=1e-12)
        assert row(recorder, name)["weight_gradient_norm"] == pytest.approx(norm(weight.grad), rel=1e-12)
    assert recorder.rows()["update_ratio"].drop_nulls().min() > 0


def test_sparse_gradients():
    def build(sparse):
        return nn.Sequential(nn.Embedding(50, 6, sparse=sparse), nn.Linear(6, 2))

    tokens = torch.tensor([1, 1, 3, 3, 3, 49])
    sparse, dense = (watched(seeded(lambda s=s: build(s)), tokens) for s in (True, False))
    for column in ("weight_gradient_norm", "update_ratio", "delta_rms"):
        assert row(sparse, "0")[column] == pytest.approx(row(dense, "0")[column], rel=1e-4)


def test_several_optimizers_each_see_their_own_moment():
    """A GAN: the discriminator's numbers are those of its own step, not of the pass that trains the generator."""

    def build():
        return nn.ModuleDict(
            {
                "generator": nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6)),
                "discriminator": nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1)),
            }
        )

    def discriminator_loss(model, noise):
        fake, real = model["discriminator"](model["generator"](noise).detach()), model["discriminator"](VECTORS)
        return functional.softplus(fake).mean() + functional.softplus(-real).mean()

    noise = torch.randn(16, 3, generator=torch.Generator().manual_seed(3))

    def train(model, watch):
        optimizers = [torch.optim.SGD(model[name].parameters(), lr=0.01) for name in ("discriminator", "generator")]
        with watch(model, optimizers) as recorder:
            for _ in range(3):
                optimizers[0].zero_grad()
                discriminator_loss(model, noise).backward()
                optimizers[0].step()
                optimizers[1].zero_grad()
                functional.softplus(-model["discriminator"](model["generator"](noise))).mean().backward()
                optimizers[1].step()
        return recorder

    model, bare = seeded(build), seeded(build)
    recorder = train(model, gradlab.watch)
    train(bare, lambda *_: contextlib.nullcontext())
    for (name, one), other in zip(model.state_dict().items(), bare.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    for one, other in zip(model.parameters(), bare.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    plain = seeded(build)
    discriminator_loss(plain, noise).backward()
    weight = plain["discriminator"][0].weight
    found = row(recorder, "discriminator.0")
    assert found["calls"] == 2
    assert found["weight_gradient_norm"] == pytest.approx(norm(weight.grad), rel=1e-5)
    assert found["update_ratio"] == pytest.approx(0.01 * norm(weight.grad) / norm(weight), rel=1e-3)
    assert row(recorder, "discriminator.1")["calls"] == 2
    assert row(recorder, "generator.0")["calls"] == 2
    assert row(recorder, "generator.0")["weight_gradient_norm"] > 0
    assert recorder.rows()["step"].unique().to_list() == [0, 1, 2]


def test_closures():
    """Lightning hands every optimizer a closure, and so may anybody."""

    def build():
        return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))

    model = seeded(build)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = model(VECTORS).square().mean()
        loss.backward()
        return loss

    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(2):
            optimizer.step(closure)
    assert recorder.rows().drop("step").equals(watched(seeded(build), VECTORS).rows().drop("step"))


def test_lbfgs_with_a_closure_records_its_first_evaluation():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)

    def closure():
        optimizer.zero_grad()
        loss = model(VECTORS).square().mean()
        loss.backward()
        return loss

    with gradlab.watch(model, optimizer) as recorder:
        optimizer.step(closure)
    plain = watched(seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))), VECTORS, steps=1)
    assert recorder.rows()["calls"].unique().to_list() == [1]
    assert recorder.rows()["delta_rms"].to_list() == plain.rows()["delta_rms"].to_list()
    assert recorder.rows()["weight_gradient_norm"].to_list() == plain.rows()["weight_gradient_norm"].to_list()


def test_updates_of_large_weights_are_measured_on_a_sample():
    model = seeded(lambda: nn.Sequential(nn.Embedding(1000, 512), nn.Linear(512, 1024), nn.Tanh(), nn.Linear(1024, 2)))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    recorder = watched(model, torch.arange(1000) % 977, steps=1)
    for name in ("0", "1"):
        weight = before[f"{name}.weight"]
        exact = norm(model.get_parameter(f"{name}.weight") - weight) / norm(weight)
        assert row(recorder, name)["update_ratio"] == pytest.approx(exact, rel=0.02)
        assert row(recorder, name)["weight_norm"] == pytest.approx(norm(weight), rel=1e-9)


def test_updates_of_a_few_rows_of_a_large_weight():
    """The worst that sampling meets: two rows of three thousand change."""
    model = seeded(lambda: nn.Sequential(nn.Embedding(3000, 128), nn.Linear(128, 30)))
    before = model[0].weight.detach().clone()
    recorder = watched(model, torch.tensor([5, 5, 900]), steps=1)
    exact = norm(model[0].weight - before) / norm(before)
    assert row(recorder, "0")["update_ratio"] == pytest.approx(exact, rel=0.15)


# ------------------------------------------------------------------------------------------------- what it leaves alone


@pytest.mark.parametrize("build", [Convolutions, lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.SELU())])
def test_training_is_bit_identical(build):
    def train(watching):
        model = seeded(build)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        if watching:
            with gradlab.watch(model, optimizer), gradlab.watch(model, optimizer, layers="*"):
                loop(model, [optimizer], [IMAGES], steps=5)
        else:
            loop(model, [optimizer], [IMAGES], steps=5)
        return [*model.state_dict().values(), torch.get_rng_state()]

    assert all(torch.equal(a, b) for a, b in zip(train(True), train(False), strict=True))


def test_two_watches_at_once_see_the_same():
    model = seeded(Convolutions)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as one, gradlab.watch(model, optimizer, every=2) as other:
        loop(model, [optimizer], [IMAGES], steps=5)
    both = one.rows().filter(one.rows()["step"] % 2 == 0)
    assert both.height == other.rows().height
    names = ("second", ":relu", "act")
    for name in names:
        assert row(one, name, 4) == row(other, name, 4)


def hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_forward_hooks_always_called")
    count = sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)
    return count + sum(len(p._post_accumulate_grad_hooks or ()) for p in model.parameters())


def test_copies_files_and_states_are_clean_and_leaving_removes_every_hook(tmp_path):
    model = seeded(Convolutions)
    before = set(vars(model.first))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as recorder:
        loop(model, [optimizer], [IMAGES], steps=1)
        twin = copy.deepcopy(model)
        again = pickle.loads(pickle.dumps(model))
        torch.save(model, tmp_path / "model.pt")
        assert set(model.state_dict()) == set(Convolutions().state_dict())
        for other in (twin, again):
            other(IMAGES).sum().backward()
        assert set(vars(model.first)) == before
        loop(model, [optimizer], [IMAGES], steps=1)
    assert hooks(model) == 0
    assert recorder.rows()["calls"].unique().to_list() == [1]


def test_leaving_after_an_exception():
    model = seeded(Convolutions)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with pytest.raises(RuntimeError), gradlab.watch(model, optimizer):
        model(torch.zeros(1, 5, 8, 8))
    assert hooks(model) == 0
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert torch.overrides._get_current_function_mode() is None


# ------------------------------------------------------------------------------------------------------------- choosing


def test_layers_and_every():
    recorder = watched(seeded(Convolutions), IMAGES, layers=["*st", "head"], every=3, steps=8)
    assert recorder.rows()["module"].unique().sort().to_list() == ["first", "head"]
    assert recorder.rows()["step"].unique().to_list() == [0, 3, 6]


def test_a_pattern_that_names_nothing():
    with pytest.raises(UserError, match="did you mean 'second'"):
        watched(seeded(Convolutions), IMAGES, layers="secnod")


def test_nothing_to_see_is_a_warning_and_not_an_error():
    model, other = nn.Linear(6, 5), nn.Linear(6, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with pytest.warns(RuntimeWarning, match="has seen nothing of this training"), gradlab.watch(other, optimizer):
        loop(model, [optimizer], [VECTORS])


def test_training_in_eval_mode_is_recorded():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))).eval()
    rows = watched(model, VECTORS).rows()
    assert rows["module"].to_list() == ["0", "1", "2"] * 2
    assert rows["delta_rms"].null_count() == 0
