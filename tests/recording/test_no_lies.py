"""What gradlab once said wrongly: each kind has a test, against numbers that the test computes itself in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def sgd(model):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)


def loss_of(model):
    return model(X).square().mean()


def norm(*tensors):
    """Of all entries together; a complex entry counts as two real ones."""
    parts = [torch.view_as_real(t.detach()) if t.is_complex() else t.detach() for t in tensors]
    return float(torch.cat([part.double().reshape(-1) for part in parts]).norm())


def gradient_norm(model):
    return norm(*(p.grad for p in model.parameters() if p.grad is not None))


def delta_of(model, make_loss):
    """The RMS of the gradient of a loss with respect to what the model's first module returns, by autograd."""
    kept = []
    handle = model[0].register_forward_hook(lambda module, inputs, output: kept.append(output))
    loss = make_loss(model)
    handle.remove()
    (delta,) = torch.autograd.grad(loss, kept)
    return float(delta.double().square().mean().sqrt())


def value(recorder, module, column, step=-1):
    return recorder.rows().filter(module=module)[column].to_list()[step]


def adds_up(recorder, step):
    """Whether the rows of a step have the gradients of all parameters, each once."""
    rows = recorder.rows().filter(step=step)["parameter_gradient_norm"]
    whole = recorder.steps.filter(step=step)["gradient_norm"][0]
    return (rows**2).sum() == pytest.approx(whole**2, rel=1e-6)


@pytest.mark.parametrize("added_later", [True, False], ids=["add_param_group", "in the optimizer all along"])
def test_parameters_that_are_unfrozen_later(added_later):
    model = network()
    model[0].requires_grad_(False)
    optimizer = sgd(model) if added_later else torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for step in range(3):
            if step == 1:
                model[0].requires_grad_(True)
                if added_later:
                    optimizer.add_param_group({"params": list(model[0].parameters())})
            optimizer.zero_grad()
            loss_of(model).backward()
            weight = norm(model[0].weight)
            optimizer.step()
    assert value(recorder, "0", "weight_gradient_norm", 0) is None
    assert value(recorder, "0", "weight_norm") == pytest.approx(weight)
    assert value(recorder, "0", "weight_gradient_norm") == pytest.approx(norm(model[0].weight.grad))
    assert recorder.steps["gradient_norm"][2] == pytest.approx(gradient_norm(model))


@pytest.mark.parametrize("again", ["backward", "grad"])
def test_a_graph_that_is_differentiated_twice(again):
    model = network()
    optimizer = sgd(model)
    once = delta_of(model, loss_of)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        loss = loss_of(model)
        loss.backward(retain_graph=True)
        if again == "backward":
            loss.backward()
        else:
            torch.autograd.grad(loss, list(model.parameters()))
        optimizer.step()
    times = 2 if again == "backward" else 1
    assert value(recorder, "0", "delta_rms") == pytest.approx(times * once, rel=1e-5)
    assert recorder.steps["loss"][0] == pytest.approx(times * loss.item())
    assert recorder.steps["gradient_norm"][0] == pytest.approx(gradient_norm(model))


def test_a_gradient_that_is_a_part_of_the_loss():
    """A penalty on the gradient, as in physics-informed losses and meta-learning."""
    model = network()
    optimizer = sgd(model)

    def penalized(model):
        x = X.clone().requires_grad_(True)
        energy = model(x).square().sum()
        (slope,) = torch.autograd.grad(energy, x, create_graph=True)
        return 0.5 * energy + slope.square().mean()

    expected = delta_of(model, penalized)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        loss = penalized(model)
        loss.backward()
        optimizer.step()
    assert recorder.steps["loss"][0] == pytest.approx(loss.item())
    assert value(recorder, "0", "delta_rms") == pytest.approx(expected, rel=1e-5)


def test_gradients_that_are_set_by_hand():
    model = network()
    optimizer = sgd(model)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        gradients = torch.autograd.grad(loss_of(model), list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = 3 * gradient
        optimizer.step()
    assert recorder.steps["gradient_norm"][0] == pytest.approx(gradient_norm(model))
    assert value(recorder, "2", "weight_gradient_norm") == pytest.approx(norm(model[2].weight.grad))


@pytest.mark.parametrize("set_to_none", [True, False], ids=["to None", "to zero"])
@pytest.mark.parametrize("order", ["zero, forward, backward", "forward, zero, backward"])
@pytest.mark.parametrize("how", ["the scaler skips", "the loop gives up"])
def test_a_pass_that_led_to_no_update_is_in_no_row(how, order, set_to_none):
    alone, model = network(), network()
    optimizers = [sgd(each) for each in (alone, model)]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, enabled=how == "the scaler skips")

    def attempt(factor):
        if order.startswith("zero"):
            optimizers[1].zero_grad(set_to_none=set_to_none)
        loss = loss_of(model) * factor
        if order.startswith("forward"):
            optimizers[1].zero_grad(set_to_none=set_to_none)
        scaler.scale(loss).backward()
        if scaler.is_enabled() or factor == 1:
            scaler.step(optimizers[1])
        scaler.update()

    with gradlab.watch(model, optimizers[1], strict=True) as recorder:
        for factor in (1, float("inf"), 1):
            attempt(factor)
    for step in range(2):
        expected = delta_of(alone, loss_of)
        optimizers[0].zero_grad()
        loss = loss_of(alone)
        loss.backward()
        assert recorder.steps["loss"][step] == pytest.approx(loss.item())
        assert recorder.steps["gradient_norm"][step] == pytest.approx(gradient_norm(alone), rel=1e-5)
        assert value(recorder, "0", "delta_rms", step) == pytest.approx(expected, rel=1e-5)
        assert value(recorder, "0", "calls", step) == 1
        optimizers[0].step()
    assert recorder.steps.height == 2


def test_a_step_that_calls_that_of_its_parent_class_is_one():
    class Derived(torch.optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    model = network()
    optimizer = Derived(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    assert recorder.steps["step"].to_list() == [0, 1, 2]


class Uphill(torch.optim.SGD):
    """Sharpness-aware: evaluates, moves the weights uphill, evaluates again, and updates from there."""

    @torch.no_grad()
    def step(self, closure):
        (parameters,) = (group["params"] for group in self.param_groups)
        with torch.enable_grad():
            closure()
        moved = [0.1 * p.grad for p in parameters]
        for p, d in zip(parameters, moved, strict=True):
            p.add_(d)
        with torch.enable_grad():
            closure()
        for p, d in zip(parameters, moved, strict=True):
            p.sub_(d).add_(p.grad, alpha=-self.defaults["lr"])


@pytest.mark.parametrize("kind", ["SAM", "LBFGS"])
def test_a_closure_that_is_evaluated_more_than_once(kind):
    """The row is that of the evaluation from which the update was made: for LBFGS the first."""
    model = network()
    optimizer = Uphill(model.parameters(), lr=0.1) if kind == "SAM" else torch.optim.LBFGS(model.parameters())
    seen = []

    def closure():
        optimizer.zero_grad()
        expected = delta_of(model, loss_of)
        loss = loss_of(model)
        loss.backward()
        seen.append((loss.item(), expected, gradient_norm(model)))
        return loss

    with gradlab.watch(model, optimizer, strict=True) as recorder:
        weight = norm(model[0].weight)
        optimizer.step(closure)
    assert len(seen) > 1
    loss, delta, gradient = seen[0 if kind == "LBFGS" else 1]
    assert recorder.steps["loss"][0] == pytest.approx(loss)
    assert recorder.steps["gradient_norm"][0] == pytest.approx(gradient)
    assert value(recorder, "0", "delta_rms") == pytest.approx(delta, rel=1e-5)
    assert value(recorder, "0", "weight_norm") == pytest.approx(weight)


class Negative(nn.Module):
    """Returns the negative of its input, without touching memory: a bit of the tensor says so."""

    def forward(self, x):
        return torch._neg_view(x)


class Turned(nn.Module):
    """A complex layer before a real one."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Linear(6, 6, dtype=torch.complex64)
        self.last = nn.Linear(6, 2)

    def forward(self, x):
        return self.last(self.turn(x.to(torch.complex64)).conj().imag)


def test_complex_parameters_and_tensors_with_the_negative_bit():
    torch.manual_seed(0)
    model = nn.Sequential(Negative(), Turned())
    optimizer = sgd(model)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        loss_of(model).backward()
        weight = norm(model[1].turn.weight)
        optimizer.step()
    assert value(recorder, "1.turn", "weight_norm") == pytest.approx(weight)
    assert value(recorder, "1.turn", "weight_gradient_norm") == pytest.approx(norm(model[1].turn.weight.grad))
    assert value(recorder, "0", "activation_mean") == pytest.approx(-float(X.double().mean()), rel=1e-5)
    assert recorder.steps["gradient_norm"][0] == pytest.approx(gradient_norm(model))
    assert adds_up(recorder, 0)


class Scaled(nn.Module):
    """Scales with entries of a container of parameters, as adapters do."""

    def __init__(self, container):
        super().__init__()
        self.base = nn.Linear(6, 6).requires_grad_(False)
        scale = nn.Parameter(torch.ones(6))
        self.scales = nn.ParameterDict({"a": scale}) if container is dict else nn.ParameterList([scale])

    def forward(self, x):
        (scale,) = self.scales.parameters()
        return self.base(x) * scale


class Passing(nn.Module):
    """Has a one-dimensional parameter of its own, and returns what its child returns."""

    def __init__(self):
        super().__init__()
        self.child, self.gain = nn.Linear(6, 6), nn.Parameter(torch.ones(6))

    def forward(self, x):
        return self.child(x * self.gain)


class Borrowing(nn.Module):
    """Uses the weights of parts without calling them, as Mamba and attention do."""

    def __init__(self):
        super().__init__()
        self.conv, self.project = nn.Conv1d(1, 1, 3, padding=1), nn.Linear(6, 6)

    def forward(self, x):
        x = functional.conv1d(x.unsqueeze(1), self.conv.weight, self.conv.bias, padding=1).squeeze(1)
        return functional.linear(x, self.project.weight, self.project.bias)


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2)

    def forward(self, x):
        return self.attention(x, x, x)[0]


OWNERS = {
    "ParameterDict": lambda: Scaled(dict),
    "ParameterList": lambda: Scaled(list),
    "a parameter beside a child": Passing,
    "weights without a call": Borrowing,
    "attention": Attending,
}


@pytest.mark.parametrize("owner", OWNERS)
def test_every_parameter_is_in_a_row(owner):
    torch.manual_seed(0)
    model = nn.Sequential(OWNERS[owner](), nn.Linear(6, 2))
    optimizer = sgd(model)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    for step in range(2):
        assert adds_up(recorder, step)
    assert recorder.steps["gradient_norm"][1] == pytest.approx(gradient_norm(model))
    rows = recorder.rows().filter(step=1)
    of_owner = rows.filter(rows["module"].str.starts_with("0"))["parameter_gradient_norm"]
    expected = norm(*(p.grad for p in model[0].parameters() if p.grad is not None))
    assert (of_owner**2).sum() == pytest.approx(expected**2, rel=1e-6)


def test_a_module_that_is_put_in_place_while_it_trains():
    model = network()
    optimizer = sgd(model)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for step in range(3):
            if step == 1:
                model[0] = nn.Linear(6, 8)
                optimizer.add_param_group({"params": list(model[0].parameters())})
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
    assert adds_up(recorder, 2)
    assert recorder.steps["gradient_norm"][2] == pytest.approx(gradient_norm(model))
    assert value(recorder, "0", "weight_gradient_norm") == pytest.approx(norm(model[0].weight.grad))
