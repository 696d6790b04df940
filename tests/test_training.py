import inspect

import numpy as np
import pytest
import torch
from torch import nn

from gradlab import choices, training
from gradlab.config import Config


def split(samples=10, features=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, features, generator=generator)
    return training.Split(x, torch.randint(2, (samples,), generator=generator))


def test_every_optimizer_of_torch_is_there_or_refused_on_purpose():
    in_torch = {
        name.lower()
        for name, value in vars(torch.optim).items()
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
    }
    refused = {"optimizer", "sparseadam"}  # the base class; and one that takes sparse gradients only
    assert set(choices.OPTIMIZERS) == in_torch - refused


@pytest.mark.parametrize("name", choices.OPTIMIZERS)
def test_every_option_of_a_choice_is_one_of_the_optimizers_and_has_its_default(name):
    choice = choices.OPTIMIZERS[name]
    signature = inspect.signature(getattr(torch.optim, choice.__name__)).parameters
    for option, field in choice.model_fields.items():
        if option != "name":
            assert field.default == signature[option].default, option


@pytest.mark.parametrize("name", choices.OPTIMIZERS)
def test_every_optimizer_takes_steps(name):
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizers = training.build_optimizers(model, choices.OPTIMIZERS[name](), 0.01)
    loop = training.train(model, optimizers, training.Data(split(64), split()), Config())
    losses = [next(loop).loss for _ in range(5)]
    assert np.isfinite(losses).all()
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert not torch.equal(parameter, old)


def test_an_epoch_is_a_permutation_without_its_incomplete_batch():
    data = training.Split(torch.arange(10.0).reshape(10, 1), torch.zeros(10, dtype=torch.long))
    stream = training.batches(data, 4, seed=0)
    drawn = [next(stream) for _ in range(6)]
    assert [epoch for epoch, _, _ in drawn] == [0, 0, 1, 1, 2, 2]
    for first, second in zip(drawn[::2], drawn[1::2], strict=True):
        samples = torch.cat([first[1], second[1]]).flatten().tolist()
        assert len(set(samples)) == 8
    assert drawn[0][1].tolist() != drawn[2][1].tolist()


def test_the_order_depends_on_the_seed_alone():
    def order(seed):
        return [
            batch.flatten().tolist()
            for _, (_, batch, _) in zip(range(5), training.batches(split(), 4, seed), strict=False)
        ]

    first = order(1)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert order(1) == first != order(2)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("samples", "batch_size", "epochs", "steps"), [(100, 32, 2, 6), (10, 32, 3, 3), (64, 32, 1, 2)]
)
def test_steps_of_epochs(samples, batch_size, epochs, steps):
    config = Config.model_validate({"data": {"name": "digits", "batch_size": batch_size}, "train": {"epochs": epochs}})
    assert training.total_steps(config, samples) == steps


def test_clipping_bounds_the_update():
    model = nn.Linear(3, 2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    config = Config.model_validate({"train": {"clip_gradient_norm": 1e-3}})
    loop = training.train(
        model, training.build_optimizers(model, choices.SGD(), 1.0), training.Data(split(), split()), config
    )
    next(loop)
    moved = sum(((p - old) ** 2).sum().item() for p, old in zip(model.parameters(), before, strict=True)) ** 0.5
    assert moved == pytest.approx(1e-3, rel=1e-3)


def test_evaluation_equals_numpy_and_keeps_the_mode():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    data = split(5000)
    result = training.evaluate(model, data)
    assert model.training
    weight, bias = (p.detach().double().numpy() for p in model.parameters())
    logits = data.x.double().numpy() @ weight.T + bias
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    y = data.y.numpy()
    assert result["loss"] == pytest.approx(-log_p[np.arange(5000), y].mean(), rel=1e-5)
    assert result["accuracy"] == (logits.argmax(1) == y).mean()


def test_batch_statistics_leave_no_trace():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    running, batch = training.evaluate(model, split()), training.evaluate_with_batch_statistics(model, split())
    assert running["loss"] != batch["loss"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_running_statistics_after_k_equal_batches():
    """running_mean = (1 − 0.9^k) μ and running_var = 0.9^k + (1 − 0.9^k) s², s² unbiased."""
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 1
    norm = nn.BatchNorm1d(4, dtype=torch.float64)
    k = 7
    for _ in range(k):
        norm(x)
    mu, s2 = x.numpy().mean(0), x.numpy().var(0, ddof=1)
    np.testing.assert_allclose(norm.running_mean.numpy(), (1 - 0.9**k) * mu, rtol=1e-12)
    np.testing.assert_allclose(norm.running_var.numpy(), 0.9**k + (1 - 0.9**k) * s2, rtol=1e-12)


# ------------------------------------------------------------------------------------ schedules, losses, full batches


def rates_of(scheduler_of, steps=50):
    """The learning rates that a scheduler of torch gives an optimizer of rate 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = scheduler_of(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


TORCH = torch.optim.lr_scheduler
SCHEDULED = {
    "constant": lambda optimizer: TORCH.ConstantLR(optimizer, 1.0),
    "cosine": lambda optimizer: TORCH.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1),
    "linear": lambda optimizer: TORCH.LinearLR(optimizer, 1.0, 0.1, total_iters=50),
    "step": lambda optimizer: TORCH.StepLR(optimizer, 20, 0.5),
}
OPTIONS = {"cosine": {"end": 0.1}, "linear": {"end": 0.1}, "step": {"every": 20, "gamma": 0.5}}


@pytest.mark.parametrize("name", choices.SCHEDULES)
def test_schedules_are_those_of_torch(name):
    schedule = choices.SCHEDULES[name](**OPTIONS.get(name, {}))
    factors = [schedule.factor(step, 50) for step in range(50)]
    np.testing.assert_allclose(factors, rates_of(SCHEDULED[name]), rtol=1e-9)


@pytest.mark.parametrize("name", choices.SCHEDULES)
def test_a_warmup_rises_in_a_straight_line_and_the_schedule_follows(name):
    options = OPTIONS.get(name, {})
    warmed = [choices.SCHEDULES[name](warmup=10, **options).factor(step, 60) for step in range(60)]
    risen = rates_of(lambda optimizer: TORCH.LinearLR(optimizer, 1 / 11, 1.0, total_iters=10), 10)
    np.testing.assert_allclose(warmed[:10], risen, rtol=1e-9)
    np.testing.assert_allclose(warmed[10:], [choices.SCHEDULES[name](**options).factor(step, 50) for step in range(50)])


def test_training_follows_the_schedule():
    """Plain gradient descent by hand, with the rates that the steps say."""
    model = nn.Linear(3, 2).double()
    data = training.Split(split(64).x.double(), split(64).y)
    config = Config.model_validate({
        "data": {"name": "digits", "batch_size": "full"},
        "train": {"learning_rate": 0.2, "steps": 12, "schedule": {"name": "cosine", "warmup": 3}},
    })  # fmt: skip
    by_hand = nn.Linear(3, 2).double()
    by_hand.load_state_dict(model.state_dict())
    optimizers = training.build_optimizers(model, choices.SGD(), 0.2)
    steps = [
        step
        for step, _ in zip(
            training.train(model, optimizers, training.Data(data, data), config), range(12), strict=False
        )
    ]
    assert [step.learning_rate for step in steps] == [0.2 * config.train.schedule.factor(k, 12) for k in range(12)]
    for step in steps:
        loss = nn.functional.cross_entropy(by_hand(data.x), data.y)
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(by_hand.parameters(), gradients, strict=True):
                parameter.sub_(step.learning_rate * gradient)
    torch.testing.assert_close(model.weight, by_hand.weight, rtol=1e-12, atol=0)


def test_both_optimizers_of_muon_follow_the_schedule():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    config = Config.model_validate({"train": {"learning_rate": 0.2, "steps": 10, "schedule": "linear"}})
    optimizers = training.build_optimizers(model, choices.Muon(), 0.2)
    loop = training.train(model, optimizers, training.Data(split(64), split()), config)
    for _ in range(6):
        next(loop)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    assert rates == [pytest.approx(0.1)] * 2


def test_a_full_batch_is_the_split_in_its_order():
    data = split(10)
    drawn = [next_ for _, next_ in zip(range(3), training.batches(data, "full", 0), strict=False)]
    assert [epoch for epoch, _, _ in drawn] == [0, 1, 2]
    assert all(x is data.x and y is data.y for _, x, y in drawn)
    config = Config.model_validate({"data": {"name": "digits", "batch_size": "full"}, "train": {"epochs": 7}})
    assert training.total_steps(config, 10) == 7


def test_squared_errors_equal_numpy():
    model, data = nn.Linear(3, 4).double(), split(5000)
    data = training.Split(data.x.double(), torch.arange(5000) % 4)
    difference = model(data.x).detach().numpy() - np.eye(4)[data.y.numpy()]
    assert training.evaluate(model, data, "mse")["loss"] == pytest.approx((difference**2).mean(), rel=1e-12)
    config = Config.model_validate({"data": {"name": "digits", "batch_size": "full"}, "train": {"loss": "mse"}})
    optimizers = training.build_optimizers(model, choices.SGD(), 0.1)
    assert next(training.train(model, optimizers, training.Data(data, data), config)).loss == pytest.approx(
        (difference**2).mean(), rel=1e-12
    )
