"""`gradlab.inspect`: what it says of one pass, and that the model is as it was afterwards, whatever the model is."""

import random
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab.errors import UserError
from gradlab.views.pictures import PICTURES

X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(32) % 3
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.arange(12).reshape(2, 6) % 10


def mlp(activation=nn.Tanh, depth=3, initialize=None):
    hidden = [part for _ in range(depth) for part in (nn.Linear(6, 6), activation())]
    model = nn.Sequential(*hidden, nn.Linear(6, 3))
    for part in model if initialize else ():
        if isinstance(part, nn.Linear):
            initialize(part.weight)
            nn.init.zeros_(part.bias)
    return model


def cross_entropy(model, batch):
    return functional.cross_entropy(model(batch[0]), batch[1])


class Odd(nn.Module):
    """Keeps things of its own between passes, draws random numbers of three kinds, and changes what it should not."""

    def __init__(self):
        super().__init__()
        self.layer, self.other = nn.Linear(6, 3), nn.Linear(6, 3)
        self.passes, self.seen, self.average = 0, [], torch.zeros(3)
        self.register_buffer("replaced", torch.zeros(3))

    def forward(self, x):
        self.passes += 1
        self.seen.append(x)
        self.last = x
        noise = random.random() + float(np.random.rand()) + torch.rand(3)  # noqa: NPY002
        out = self.layer(x) + noise
        self.average.mul_(0.9).add_(0.1 * out.detach().mean(0))
        self.replaced = out.detach().mean(0)
        self.layer.bias.data.clamp_(-0.01, 0.01)
        self.layer.requires_grad_(False)
        self.other.eval()
        self.other.register_forward_hook(lambda *_: None)
        return out + self.other(x)


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 6)), nn.Tanh(), nn.Linear(6, 3))


def tied():
    model = mlp(depth=2)
    model[2].weight = model[0].weight
    return model


MODELS = {
    "MLP": (mlp, X),
    "frozen": (lambda: mlp().requires_grad_(False).append(nn.Linear(3, 3)), X),
    "tied": (tied, X),
    "batch norm and dropout": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)),
        X,
    ),
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True), nn.Flatten(), nn.Linear(144, 3)),
        IMAGES,
    ),
    "spectral norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 3)),
        X,
    ),
    "old spectral norm": (lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(6, 6)), nn.Linear(6, 3)), X),
    "old weight norm": (old_weight_norm, X),
    "embedding with a largest norm": (
        lambda: nn.Sequential(nn.Embedding(10, 4, max_norm=0.1), nn.Flatten(), nn.Linear(24, 3)),
        TOKENS,
    ),
    "sparse embedding": (
        lambda: nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Flatten(), nn.Linear(24, 3)),
        TOKENS,
    ),
    "transformer": (
        lambda: nn.Sequential(
            nn.Embedding(10, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(48, 3)
        ),
        TOKENS,
    ),
    "odd": (Odd, X),
}


def state(model):
    """Everything that has to stay as it is; tensors by their entries, other things by what they are."""
    parts = list(model.named_modules())
    return {
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "gradients": {
            name: (p.grad, None if p.grad is None else p.grad.clone()) for name, p in model.named_parameters()
        },
        "trained": {name: p.requires_grad for name, p in model.named_parameters()},
        "modes": {name: part.training for name, part in parts},
        "attributes": {
            f"{name}.{key}": list(value) if isinstance(value, dict | list) else value
            for name, part in parts
            for key, value in vars(part).items()
        },
        "tensors": {
            f"{name}.{key}": value.detach().clone()
            for name, part in parts
            for key, value in vars(part).items()
            if isinstance(value, torch.Tensor)
        },
        "random": (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()),  # noqa: NPY002
        "grad mode": torch.is_grad_enabled(),
    }


def same(one, other):
    """Whether two states are equal, to the last bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        one, other = (x.to_dense() if x.is_sparse else x for x in (one, other))
        return one is other or torch.equal(one.nan_to_num(0.5), other.nan_to_num(0.5))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return one is other or one == other


def build(name):
    """A model of the zoo with gradients of an earlier pass, and a gradient that is None."""
    torch.manual_seed(0)
    make, x = MODELS[name]
    model = make()
    model(x).square().mean().backward()
    last = list(model.parameters())[-1]
    last.grad = None
    next(iter(model.modules())).register_forward_hook(lambda *_: None)
    return model, x


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_as_it_was(name):
    model, x = build(name)
    model.eval()
    model.train()
    before = state(model)
    found = gradlab.inspect(model, (x, Y[: len(x)]), cross_entropy)
    after = state(model)
    for key in before:
        assert same(before[key], after[key]), key
    assert found.layers.height > 0
    assert found.status == "inspected"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("where", ["before", "after"])
def test_the_model_is_as_it_was_where_something_raises(name, where):
    def fails(model, batch):
        if where == "after":
            cross_entropy(model, batch)
        model.eval()
        torch.rand(3)
        raise RuntimeError("no")

    model, x = build(name)
    before = state(model)
    with pytest.raises(RuntimeError, match="no"):
        gradlab.inspect(model, (x, Y[: len(x)]), fails)
    assert same(before, state(model))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_models_in_use_are_as_they_were():
    zoo = pytest.importorskip("tests.recording.test_zoo")
    for name, make in zoo.MODELS.items():
        if name.startswith("torchvision"):
            continue
        torch.manual_seed(0)
        model, inputs = make()
        model.train()
        before = state(model)
        found = gradlab.inspect(model, inputs, lambda model, batch: model(**batch)["loss"])
        after = state(model)
        for key in before:
            assert same(before[key], after[key]), (name, key)
        assert found.layers["activation_rms"].drop_nulls().is_finite().all(), name
        assert found.verdict != "unknown" or found.layers.filter(kind="weight")["layer"].n_unique() < 4, name


def test_the_numbers_are_those_of_a_training_at_its_first_step():
    def watched():
        torch.manual_seed(0)
        model = MODELS["batch norm and dropout"][0]()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.manual_seed(1)
        with gradlab.watch(model, optimizer) as recorder:
            cross_entropy(model, (X, Y)).backward()
            optimizer.step()
        return recorder

    torch.manual_seed(0)
    model = MODELS["batch norm and dropout"][0]()
    torch.manual_seed(1)
    found, expected = gradlab.inspect(model, (X, Y), cross_entropy), watched()
    assert found.layers.drop("update_ratio").equals(expected.layers.drop("update_ratio"))
    assert found.layers["update_ratio"].is_null().all()
    assert found.histograms.equals(expected.histograms)
    assert found.modules.drop("optimizer").equals(expected.modules.drop("optimizer"))
    assert found.steps["loss"].to_list() == expected.steps["loss"].to_list()
    assert found.steps["learning_rate"].to_list() == [None]


def test_an_optimizer_that_steps_in_the_backward_pass_does_not_step():
    model = mlp()
    stepped = []
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(stepped.append)
    gradlab.inspect(model, (X, Y), cross_entropy)
    assert not stepped
    cross_entropy(model, (X, Y)).backward()
    assert len(stepped) == len(list(model.parameters()))


def test_gradients_of_leaves_that_the_model_does_not_have_stay_too():
    model, scale, x = mlp(), torch.ones(1, requires_grad=True), X.clone().requires_grad_()
    scale.grad = torch.full((1,), 7.0)
    gradlab.inspect(model, x, lambda model, x: (scale * model(x)).square().mean())
    assert scale.grad.item() == 7
    assert x.grad is None


def test_gradients_are_computed_where_they_are_switched_off():
    for switched_off in (torch.no_grad, torch.inference_mode):
        model = mlp()
        with switched_off():
            assert gradlab.inspect(model, (X, Y), cross_entropy).layers["delta_rms"].is_not_null().any()
            assert not torch.is_grad_enabled()


def test_a_sound_initialization_and_unsound_ones():
    torch.manual_seed(0)

    def rules(model, loss_of=cross_entropy):
        return {finding.rule: finding for finding in gradlab.inspect(model, (X, Y), loss_of).findings}

    sound = gradlab.inspect(mlp(nn.ReLU, 5, nn.init.kaiming_normal_), (X, Y), cross_entropy)
    assert (sound.verdict, sound.findings) == ("healthy", [])
    assert "nothing is learned in a single pass" in sound.not_judged["stalled-loss"]
    assert "vanishing-gradient" in rules(mlp(nn.Sigmoid, 12))
    assert "exploding-gradient" in rules(mlp(nn.Identity, 12, lambda w: nn.init.normal_(w, 0, 2)))
    assert "output-mismatch" in rules(mlp(depth=1).append(nn.Softmax(-1)))
    assert "symmetric-units" in rules(mlp(initialize=lambda w: nn.init.constant_(w, 0.1)))
    assert "unscaled-inputs" in {
        finding.rule for finding in gradlab.inspect(mlp(), (1e4 * X, Y), cross_entropy).findings
    }
    cut = nn.ModuleDict({"used": mlp(), "cut": nn.Linear(6, 3)})
    found = rules(cut, lambda model, b: cross_entropy(model["used"], b) + model["cut"](b[0]).detach().mean())
    assert found["no-gradient"].modules == ("cut",)
    assert found["no-gradient"].severity == "warning"
    assert rules(mlp(), lambda m, b: cross_entropy(m, b) * 0)["no-gradient"].severity == "error"
    assert "diverged" in rules(mlp(), lambda m, b: cross_entropy(m, b) * float("nan"))


def test_few_layers_are_not_called_healthy():
    """Of fewer than four layers, only updates could tell, and there are none."""
    found = gradlab.inspect(mlp(depth=2), (X, Y), cross_entropy)
    assert (found.verdict, found.findings) == ("unknown", [])
    assert "fewer than 4 layers in a row" in found.not_judged["vanishing-gradient"]


def test_what_starts_at_zero_on_purpose_is_no_trouble():
    """A branch whose last layer starts at 0, as in LoRA: what is before it gets a gradient after the first step."""

    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.down, self.up = mlp(depth=5), nn.Linear(6, 2, bias=False), nn.Linear(2, 3, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x):
            return self.net(x) + self.up(self.down(x))

    found = gradlab.inspect(Branch(), (X, Y), cross_entropy)
    assert found.verdict == "healthy"
    assert [(finding.rule, finding.severity, finding.modules) for finding in found.findings] == [
        ("no-gradient", "info", ("down",))
    ]


def test_a_model_without_parameters_of_its_own_is_judged_by_what_there_is():
    x = X.clone().requires_grad_()
    found = gradlab.inspect(nn.Sequential(nn.Tanh(), nn.Tanh()), x, lambda model, x: model(x).square().mean())
    assert found.layers["delta_rms"].is_not_null().all()
    assert (found.verdict, found.findings) == ("unknown", [])


@pytest.mark.parametrize(
    ("loss_of", "said"),
    [
        (lambda model, batch: model(batch[0]), r"a tensor of shape \(32, 3\)"),
        (lambda model, batch: SimpleNamespace(loss=1), "SimpleNamespace"),
        (lambda model, batch: cross_entropy(model, batch).detach(), "requires a gradient"),
    ],
)
def test_what_is_no_loss_is_refused(loss_of, said):
    model = mlp()
    before = state(model)
    with pytest.raises(UserError, match=said):
        gradlab.inspect(model, (X, Y), loss_of)
    assert same(before, state(model))


def test_parameters_that_are_not_there_yet_are_refused():
    with pytest.raises(UserError, match=r"the parameter 0\.weight does not exist before the first forward pass"):
        gradlab.inspect(nn.Sequential(nn.LazyLinear(3)), (X, Y), cross_entropy)


def test_it_shows_itself():
    found = gradlab.inspect(mlp(nn.Sigmoid, 12), (X, Y), cross_entropy)
    lines = repr(found).splitlines()
    assert lines[0] == "Sequential"
    assert "one forward and one backward pass" in lines[1]
    assert max(map(len, lines)) <= 80
    assert any("vanishing-gradient" in line for line in lines)
    assert "\x1b" not in repr(found)
    for name in PICTURES:
        assert found.figure(name).get_axes()
