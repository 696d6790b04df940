"""Where the first number arose that is not finite, against networks in which a test put it there."""

import pytest
import torch
from torch import nn

import gradlab
from gradlab.measures.origin import origin
from gradlab.tables import Tables

NAN, INF = float("nan"), float("inf")


class Net(nn.Module):
    """Two layers and a head; `spoil` is given each stage, by name, and may return something else."""

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil
        self.first, self.second, self.head = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x):
        x = self.spoil("input", x)
        x = self.spoil("first", self.first(x).relu())
        x = self.spoil("second", self.second(x).relu())
        return self.spoil("head", self.head(x))


class Spoiled(torch.autograd.Function):
    """The identity, whose derivative is not finite."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, delta):
        return delta * NAN


def trained(at=None, how=None, *, bad_step=3, steps=6, every=1, loss_of=None, update=None):
    now = [0]
    model = Net(lambda stage, x: how(x) if stage == at and now[0] == bad_step else x)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with gradlab.watch(model, optimizer, every=every, strict=True) as recorder:
        for step in range(steps):
            now[0] = step
            optimizer.zero_grad()
            out = model(torch.randn(4, 3))
            loss = out.square().mean() if loss_of is None or step != bad_step else loss_of(out)
            loss.backward()
            if update is not None and step == bad_step:
                update(optimizer)
            optimizer.step()
    return recorder.tables


def nan(x):
    return x * NAN


def test_input():
    found = origin(trained("input", nan))
    assert (found.step, found.phase, found.modules) == (3, "input", ("first",))


def test_forward():
    found = origin(trained("first", nan))
    assert (found.step, found.phase, found.modules[0]) == (3, "forward", "second")
    assert found.modules[1].startswith(("first", ":relu"))


@pytest.mark.parametrize("how", [nan, lambda out: (out - INF).square(), lambda out: (out * 0).log()])
def test_loss(how):
    found = origin(trained(loss_of=lambda out: how(out).mean()))
    assert (found.step, found.phase, found.modules) == (3, "loss", ("head",))


def test_the_derivative_of_a_finite_loss():
    found = origin(trained(loss_of=lambda out: (out - out.detach()).abs().sqrt().mean()))
    assert (found.step, found.phase, found.modules, found.at_output) == (3, "backward", ("head",), True)


def test_backward():
    found = origin(trained("first", Spoiled.apply))
    assert (found.step, found.phase, found.at_output) == (3, "backward", False)
    assert found.modules[0] in ("first", ":relu")


def test_update():
    def huge(optimizer):
        optimizer.param_groups[0]["lr"] = INF

    found = origin(trained(update=huge))
    assert (found.step, found.phase) == (3, "update")
    assert "head" in found.modules


def test_between_two_records():
    found = origin(trained("first", nan, every=5, steps=10))
    assert (found.step, found.since, found.phase) == (4, 0, "update")


def test_weights_that_are_not_finite_at_the_start():
    model = nn.Linear(3, 1)
    nn.init.constant_(model.weight, NAN)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        model(torch.randn(4, 3)).mean().backward()
        optimizer.step()
    found = origin(recorder.tables)
    assert (found.step, found.phase, found.modules) == (0, None, ("",))


def test_a_recurrence_that_grows_is_no_bad_input():
    model = nn.Linear(4, 4, bias=False)
    nn.init.eye_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(3):
            x = torch.ones(2, 4)
            for _ in range(40):
                x = model(x)
            x.square().mean().backward()
            optimizer.step()
    found = origin(recorder.tables)
    assert found.phase == "forward"


def test_a_mask_of_minus_infinity_is_sound():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(3, 5)
            self.mask = nn.Threshold(0.0, -INF)

        def forward(self, x):
            return self.mask(self.score(x)).softmax(-1).nan_to_num()

    model = Masked()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(5):
            x = torch.randn(64, 3)
            x = x[(model.score(x) > 0).any(1)]
            (model(x)[:, 0]).mean().backward()
            optimizer.step()
    assert origin(recorder.tables) is None


def test_nothing_is_not_finite():
    assert origin(trained()) is None
    assert origin(Tables()) is None
