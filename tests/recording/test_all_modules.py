"""PyTorch's own sample inputs of all its modules: training them is the same with and without, and rows add up."""

import copy
import importlib.util
import sys
import types
import unittest
import warnings

import pytest
import torch

import gradlab

pytestmark = pytest.mark.slow
if importlib.util.find_spec("expecttest") is None:  # PyTorch's test library wants it; nothing here does
    sys.modules["expecttest"] = types.SimpleNamespace(TestCase=unittest.TestCase)
common = pytest.importorskip("torch.testing._internal.common_modules", exc_type=ImportError)
SAMPLES = 3
"""Inputs of each module at most."""


def samples(info):
    """(constructor, inputs) of a module, as PyTorch's own tests have them."""
    for training in (True, False):
        given = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=training)
        for number, each in enumerate(given):
            if number == SAMPLES:
                break
            if each.forward_input is not None:
                yield training, each


def build(info, sample, training):
    torch.manual_seed(0)
    arguments = sample.constructor_input
    return info.module_cls(*arguments.args, **arguments.kwargs).train(training)


def numbers(output):
    """A number to differentiate, of whatever a module returns."""
    if isinstance(output, torch.Tensor):
        if output.requires_grad and (output.is_floating_point() or output.is_complex()):
            return [output.abs().double().sum() if output.is_complex() else output.double().sum()]
        return []
    if isinstance(output, dict):
        output = list(output.values())
    return [number for part in output for number in numbers(part)] if isinstance(output, list | tuple) else []


def train(model, sample, watch):
    optimizer = torch.optim.SGD([*model.parameters()] or [torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    arguments = copy.deepcopy(sample.forward_input)
    recorder = None
    if watch:
        recorder = gradlab.watch(model, optimizer, strict=True)
        recorder.__enter__()
    trained = False
    try:
        for _ in range(2):
            optimizer.zero_grad()
            torch.manual_seed(1)
            total = numbers(model(*arguments.args, **arguments.kwargs))
            if total:
                sum(total).backward()
                trained = True
            optimizer.step()
    finally:
        if recorder is not None:
            recorder.__exit__(None, None, None)
    return recorder, trained


@pytest.mark.parametrize("info", common.module_db if common else [], ids=lambda info: info.name)
def test_module(info):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for training, sample in samples(info):
            alone, watched = (build(info, sample, training) for _ in range(2))
            try:
                train(alone, sample, False)
            except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
                if "gradlab" in str(error):
                    raise
                continue  # PyTorch itself cannot train it so
            recorder, trained = train(watched, sample, True)
            for one, other in zip(alone.parameters(), watched.parameters(), strict=True):
                assert torch.equal(one.detach().nan_to_num(0.5), other.detach().nan_to_num(0.5))
            rows, steps = recorder.rows(), recorder.steps
            assert not trained or steps.height == 2 or not list(watched.parameters())
            for step, norm in zip(steps["step"], steps["gradient_norm"], strict=True):
                squares = (rows.filter(step=step)["parameter_gradient_norm"] ** 2).sum()
                assert squares == pytest.approx(norm**2, rel=1e-6, nan_ok=True)
