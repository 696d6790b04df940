"""What is noted of a step besides sums, in loops that clear gradients in all the ways there are, and in none."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gradlab


def two_parts():
    return nn.ModuleDict({"g": nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)), "d": nn.Linear(3, 1)})


def recorded(loop, *, models=None, steps=6, optimizers=1):
    model = models or two_parts()
    if optimizers == 1:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    else:
        optimizer = [torch.optim.SGD(model[part].parameters(), lr=0.01) for part in ("d", "g")]
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for step in range(steps):
            loop(model, optimizer, step)
    return recorder


def plain(clear):
    def loop(model, optimizer, step):
        clear(model, optimizer, step, "before")
        model["d"](model["g"](torch.randn(5, 3))).square().mean().backward()
        optimizer.step()
        clear(model, optimizer, step, "after")

    return loop


CLEARS = {
    "to None": lambda model, optimizer, step, when: when == "before" and optimizer.zero_grad(),
    "to zero": lambda model, optimizer, step, when: when == "before" and optimizer.zero_grad(set_to_none=False),
    "after the step": lambda model, optimizer, step, when: when == "after" and optimizer.zero_grad(),
    "by the model": lambda model, optimizer, step, when: when == "before" and model.zero_grad(),
}


@pytest.mark.parametrize("clear", CLEARS.values(), ids=CLEARS)
def test_cleared(clear):
    left = recorded(plain(clear)).steps["gradients_left"]
    assert left.to_list() == [None, 0.0, 0.0, 0.0, None, None]


def test_never_cleared():
    assert recorded(plain(lambda *_: None)).steps["gradients_left"].to_list()[1:4] == [1.0, 1.0, 1.0]


def test_gradients_that_are_added_up_before_a_step_are_cleared():
    def loop(model, optimizer, step):
        optimizer.zero_grad(set_to_none=False)
        for _ in range(3):
            model["d"](model["g"](torch.randn(5, 3))).square().mean().backward()
        optimizer.step()

    assert recorded(loop).steps["gradients_left"].drop_nulls().to_list() == [0.0] * 3


def adversarial(forgotten=(), order=("d", "g")):
    """The generator's pass leaves gradients on the discriminator, which are cleared before its own pass only."""

    def turn(part, model, optimizers):
        optimizer = optimizers[("d", "g").index(part)]
        if part not in forgotten:
            optimizer.zero_grad(set_to_none=False)
        fake = model["g"](torch.randn(5, 3))
        loss = model["d"](fake.detach() if part == "d" else fake).mean() * (1 if part == "d" else -1)
        loss.backward()
        optimizer.step()

    def loop(model, optimizers, step):
        for part in order:
            turn(part, model, optimizers)

    return loop


@pytest.mark.parametrize("order", [("d", "g"), ("g", "d")])
def test_two_optimizers_that_clear_their_own(order):
    recorder = recorded(adversarial(order=order), optimizers=2)
    assert recorder.steps["gradients_left"].drop_nulls().to_list() == [0.0] * 3


def test_two_optimizers_one_of_which_forgets():
    left = recorded(adversarial(forgotten=("g",)), optimizers=2).steps["gradients_left"].drop_nulls()
    assert all(0.25 <= share < 1 for share in left[1:])


# ------------------------------------------------------------------------------------------------ attempts given up


def skipping(bad_steps, clear_first=True):
    """A loop that skips a step whose gradient is not finite, as a `GradScaler` does."""

    def loop(model, optimizer, step):
        if clear_first:
            optimizer.zero_grad()
        loss = model["d"](model["g"](torch.randn(5, 3))).square().mean()
        (loss * (float("nan") if step in bad_steps else 1.0)).backward()
        if step not in bad_steps:
            optimizer.step()
        if not clear_first:
            optimizer.zero_grad()

    return loop


@pytest.mark.parametrize("clear_first", [True, False])
def test_skipped_attempts_are_counted_with_the_step_that_follows(clear_first):
    recorder = recorded(skipping({1, 2, 4}, clear_first), steps=7)
    assert recorder.steps["skipped"].to_list() == [0.0, 2.0, 1.0, 0.0]
    assert recorder.summary["unfinished"] == {"passes": 0, "skipped": 0.0}


def test_attempts_that_no_step_follows():
    recorder = recorded(skipping(set(range(2, 9))), steps=9)
    assert recorder.steps["skipped"].to_list() == [0.0, 0.0]
    assert recorder.summary["unfinished"] == {"passes": 7, "skipped": 7.0}


def test_a_batch_that_the_loop_does_not_like_is_given_up_and_not_skipped():
    def loop(model, optimizer, step):
        optimizer.zero_grad()
        model["d"](model["g"](torch.randn(5, 3))).square().mean().backward()
        if step % 2:
            optimizer.step()

    assert recorded(loop).steps["skipped"].to_list() == [0.0, 0.0, 0.0]


# ---------------------------------------------------------------------------------------------------------- the mode


def test_the_share_of_modules_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.1), nn.Dropout(0.0), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for modes in ((), (1,), (1, 2)):
            model.train()
            for index in modes:
                model[index].eval()
            F.mse_loss(model(torch.randn(5, 3)), torch.zeros(5, 2)).backward()
            optimizer.step()
    assert recorder.steps["evaluating"].to_list() == [0.0, 0.5, 1.0]


def test_a_model_without_modes_is_in_none():
    assert recorded(plain(CLEARS["to None"]), steps=2).steps["evaluating"].to_list() == [None, None]
