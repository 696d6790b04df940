"""Trainings that failed as people have reported it, made again, small, and repaired: what is said of each."""

import sys
from pathlib import Path

import pytest
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from failing import forums, forums_numbers, forums_outputs, reported, reported_numbers
from failing.case import Failure
from failing.judging import look, verdict

REPORTED, FORUMS = (
    [case for module in modules for case in vars(module).values() if isinstance(case, Failure)]
    for modules in ((reported, reported_numbers), (forums, forums_numbers, forums_outputs))
)
CASES = {case.name: case for case in (*REPORTED, *FORUMS)}


def test_none_is_left_out():
    assert (len(REPORTED), len(FORUMS)) == (14, 29)
    assert all(case.seen for case in CASES.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_found_and_the_repaired_training_is_sound(name):
    case = CASES[name]
    broken, repaired = (look(case, repaired=repaired, seed=0) for repaired in (False, True))
    assert case.as_meant(broken.reached, repaired.reached), (broken.reached, repaired.reached)
    assert verdict(case, broken.serious) == "right", list(map(str, broken.findings))
    assert not [each for each in repaired.serious if each.rule not in case.tolerated]


def test_steps_that_were_never_done():
    """A loop without a step of the optimizer says so, in words."""

    def train(fixed, watch):
        import torch

        net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        with watch(net, optimizer):
            for _ in range(60):
                x = torch.randn(64, 3)
                optimizer.zero_grad()
                loss = F.mse_loss(net(x), x.sum(1, keepdim=True))
                loss.backward()
                if fixed:
                    optimizer.step()
        return loss.item()

    case = Failure("steps", "MLP", "no step", train, 0.3, ("no-steps",))
    broken = look(case, repaired=False, seed=0)
    assert [(each.rule, "no step of the optimizer" in each.message) for each in broken.serious] == [("no-steps", True)]
    assert look(case, repaired=True, seed=0).serious == []
