"""The torch module of an activation that `torch.nn` does not have: made of its φ and φ' in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlab.choices import Activation

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


class Elementwise(nn.Module):
    """Computes φ in float64 on the CPU, whatever the format and the device of its input.

    Args:
        choice: the activation, by which the recorder recognizes the module.
        function: φ.
        derivative: φ'.
    """

    def __init__(self, choice: Activation, function: Function, derivative: Function) -> None:
        super().__init__()
        self.choice = choice
        self.function = function
        self.derivative = derivative

    def forward(self, h: Tensor) -> Tensor:
        """φ(h), of the shape of h; its gradient is φ'(h)."""
        x: Tensor = _Apply.apply(h, self.function, self.derivative)  # type: ignore[no-untyped-call]
        return x


class _Apply(torch.autograd.Function):
    """φ, with the derivative that is written down for it."""

    @staticmethod
    def forward(context: Any, h: Tensor, function: Function, derivative: Function) -> Tensor:
        context.save_for_backward(h)
        context.derivative = derivative
        return _in_numpy(function, h)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (h,) = context.saved_tensors
        return gradients[0] * _in_numpy(context.derivative, h), None, None


def _in_numpy(function: Function, h: Tensor) -> Tensor:
    return torch.as_tensor(function(h.detach().cpu().double().numpy())).to(h)
