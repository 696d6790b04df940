"""Activations and initializers that a config brings along as functions of a tensor."""

import functools
import inspect
from collections.abc import Callable
from math import isqrt, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlab import user_code
from gradlab.choices import PythonActivation, PythonInitializer
from gradlab.errors import UserError
from gradlab.networks.random_state import own_random_state

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

SAMPLE = 2**20
"""Entries from which the variance of an initializer is measured: to 0.14 %, or less for distributions without tails."""


class OwnActivation(nn.Module):
    """Applies a function of the user.

    Args:
        choice: the activation, by which the recorder recognizes the module.
    """

    def __init__(self, choice: PythonActivation) -> None:
        super().__init__()
        self.choice = choice
        self.function = user_code.load(choice.function)

    def forward(self, h: Tensor) -> Tensor:
        """φ(h), of the shape of h."""
        x: Tensor = self.function(h)
        return x


# --------------------------------------------------------------------------------------------------------- activations


def in_numpy(reference: str) -> tuple[Function, Function]:
    """φ, and φ' by autograd, for arrays of any shape in float64.

    Raises:
        UserError: the function is no activation: it raises, changes the shape or the number format, looks at other
            numbers than its own, draws random numbers, or has no derivative.
    """
    phi = user_code.load(reference)
    if not callable(phi) or inspect.isclass(phi):
        raise UserError(f"{reference}: an activation is a function of a tensor, not {_kind(phi)}")
    with own_random_state(0):
        _check(reference, phi)

    def function(h: Array) -> Array:
        with torch.no_grad():
            return np.asarray(phi(torch.tensor(h, dtype=torch.float64)).numpy(), dtype=np.float64)

    def derivative(h: Array) -> Array:
        return np.asarray(_slope(phi, torch.tensor(h, dtype=torch.float64)).numpy(), dtype=np.float64)

    return function, derivative


def _slope(phi: Callable[..., Any], h: Tensor) -> Tensor:
    with torch.enable_grad():
        h.requires_grad_()
        (slope,) = torch.autograd.grad(phi(h).sum(), h)
    return slope.detach()


def _check(reference: str, phi: Callable[..., Any]) -> None:
    """See to it that a function is an activation."""
    with user_code.running(reference):
        for dtype in (torch.float32, torch.float64):
            h = torch.linspace(-3, 3, 12, dtype=dtype).reshape(3, 4)
            given = h.clone()
            x = phi(h)
            if not isinstance(x, Tensor) or x.shape != h.shape or x.dtype != dtype:
                found = f"{tuple(x.shape)} {x.dtype}" if isinstance(x, Tensor) else _kind(x)
                raise UserError(
                    f"{reference}: of a tensor of shape {tuple(h.shape)} and {dtype} it returns {found}; "
                    "an activation keeps the shape and the number format"
                )
            if not torch.equal(h, given):
                raise UserError(f"{reference}: it changes the tensor that it gets; an activation returns a new one")
        if not torch.equal(phi(h), x):
            raise UserError(f"{reference}: it gives other numbers when it is called again; it must not draw at random")
        alone = torch.stack([phi(value.reshape(1, 1)).reshape(()) for value in h.flatten()]).reshape(h.shape)
        if not torch.allclose(alone, x, rtol=1e-9, atol=1e-12):
            raise UserError(f"{reference}: its result for a number depends on the numbers beside it")
        if not x.isfinite().all():
            raise UserError(f"{reference}: its values between −3 and 3 are not all finite")
        if not phi(h.clone().requires_grad_()).requires_grad:
            raise UserError(f"{reference}: autograd cannot follow it, so that no gradient passes; use torch functions")


# -------------------------------------------------------------------------------------------------------- initializers


def fill(choice: PythonInitializer, weight: Tensor, seed: int) -> None:
    """Have the user's function fill a weight, with global random states from a seed.

    The function fills the tensor that it gets, or returns another one of its shape; where it takes `generator`, it gets
    one.

    Args:
        choice: the initializer.
        weight: (units, inputs) or (units, inputs, k, k), float64, on the CPU.
        seed: of the random states.

    Raises:
        UserError: the function raises, returns something else, or leaves numbers that are not finite.
    """
    function = user_code.load(choice.function)
    if not callable(function) or inspect.isclass(function):
        raise UserError(f"{choice.function}: an initializer is a function of a tensor, not {_kind(function)}")
    weight.fill_(float("nan"))
    with own_random_state(seed), user_code.running(choice.function), torch.no_grad():
        drawn = function(weight, **_generator(function, seed))
    if drawn is not None and drawn is not weight:
        if not isinstance(drawn, Tensor) or drawn.shape != weight.shape:
            found = f"a tensor of shape {tuple(drawn.shape)}" if isinstance(drawn, Tensor) else _kind(drawn)
            raise UserError(f"{choice.function}: of a weight of shape {tuple(weight.shape)} it returns {found}")
        weight.copy_(drawn)
    if not weight.isfinite().all():
        raise UserError(f"{choice.function}: it leaves entries of the weight that are not set, or not finite")


def _generator(function: Callable[..., Any], seed: int) -> dict[str, torch.Generator]:
    try:
        takes = "generator" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    return {"generator": torch.Generator().manual_seed(seed)} if takes else {}


def mean_and_variance(choice: PythonInitializer, inputs: int, units: int, taps: int = 1) -> tuple[float, float]:
    """E W and Var W of an entry, measured once; a mean that may be chance is 0.

    The entries of several weights are taken together, so that entries of one weight may depend on one another.

    Args:
        choice: the initializer.
        inputs: features, or channels, of the input.
        units: features, or channels, of the output.
        taps: k² of a convolution of k × k; 1 of a matrix.
    """
    user_code.load(choice.function)
    kernel = () if taps == 1 else (isqrt(taps),) * 2
    return _measured(choice, user_code.digest(choice.function), (units, inputs, *kernel))


@functools.lru_cache(maxsize=256)
def _measured(choice: PythonInitializer, content: str, shape: tuple[int, ...]) -> tuple[float, float]:
    weight = torch.empty(shape, dtype=torch.float64)
    times = min(max(SAMPLE // weight.numel(), 4), 200)
    sums = []
    for number in range(times):
        fill(choice, weight, number)
        sums.append((float(weight.mean()), float(weight.square().mean())))
    means, squares = np.array(sums).T
    mean, second_moment = float(means.mean()), float(squares.mean())
    chance = max(float(means.std(ddof=1)) / sqrt(times), sqrt(second_moment / (times * weight.numel())) / 10)
    mean = mean if abs(mean) > 6 * chance else 0.0
    return mean, max(second_moment - mean**2, 0.0)


def _kind(value: object) -> str:
    return "a class" if inspect.isclass(value) else f"a {type(value).__name__}"
