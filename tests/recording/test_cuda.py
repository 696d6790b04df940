"""On a GPU: the same rows, the same training, and nothing waited for in a step."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import gradlab
from gradlab.statistics import LAYER_STATISTICS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def network(dtype=torch.float64):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 36, 32),
        nn.Tanh(),
        nn.Linear(32, 4),
    )
    return model.to(dtype), torch.randn(16, 3, 8, 8, dtype=dtype), torch.randint(4, (16,))


def train(model, optimizer, x, y, steps):
    for _ in range(steps):
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()


def watched(model, x, y, device, steps=3):
    model, x, y = copy.deepcopy(model).to(device), x.to(device), y.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer) as recorder:
        train(model, optimizer, x, y, steps)
    return recorder


def test_rows_are_those_of_the_cpu():
    model, x, y = network()
    here, there = (watched(model, x, y, device).rows() for device in ("cpu", "cuda"))
    assert here["module"].to_list() == there["module"].to_list()
    for column in LAYER_STATISTICS:
        np.testing.assert_allclose(there[column].to_numpy(), here[column].to_numpy(), rtol=1e-6, atol=1e-12)
    assert watched(model, x, y, "cuda").steps["loss"].null_count() == 0


def test_training_is_bit_identical():
    model, x, y = network(torch.float32)
    states = []
    for recording in (False, True):
        own = copy.deepcopy(model).cuda()
        optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
        if recording:
            with gradlab.watch(own, optimizer):
                train(own, optimizer, x.cuda(), y.cuda(), 5)
        else:
            train(own, optimizer, x.cuda(), y.cuda(), 5)
        states.append(own.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_nothing_is_waited_for_in_a_step():
    model, x, y = network(torch.float32)
    model, x, y = model.cuda(), x.cuda(), y.cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer) as recorder:
        train(model, optimizer, x, y, 2)
        torch.cuda.set_sync_debug_mode("error")
        try:
            train(model, optimizer, x, y, 3)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert recorder.rows()["step"].n_unique() == 5
