"""δ through time: how it changes from the last call of a recurrent module to the first, or over its output sequence.

Of a cell that is called once a time step there is a row of sums for each call (`over_calls`). `nn.RNN`, `nn.LSTM` and
`nn.GRU` are called once for a whole sequence, and what their output receives says nothing of what went on inside: where
the loss is made of the last output, all others receive 0. In the steps whose graph is walked, δ is therefore taken
where it can be seen:

- at the hidden state of each time step, where autograd's graph has them one by one, as on a CPU without fused kernels;
- else at the input of each time step, if it needs a gradient: ∂L/∂x_t = Wᵀ δ_t with the same W for all t.

A fused kernel on data that need no gradient shows neither, and nothing is said.

Suffixes: T time steps, C calls.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gradlab.operations import SHAPE_ONLY
from gradlab.recording.guard import Guard
from gradlab.recording.hooks import DeltaHook
from gradlab.recording.torch_private import operation
from gradlab.statistics import Floats

FEW_STEPS = 8
"""Over fewer time steps nothing is said."""
R_SQUARED = 0.5
"""A line that explains less of the variance of log10 RMS δ is none."""
SEQUENCES = ("Stack", "Cat")
"""Operations that put the hidden states of all time steps together."""
LONGEST = 6
"""Operations between an output and where it was put together, at most."""


def decades(rms_T: Floats) -> float | None:
    """By how many decades RMS δ changes from the last time step to the first: positive where it grows on its way back.

    Args:
        rms_T: RMS δ of each time step.

    Returns:
        the range of the straight line through log10 RMS δ; 0 where no line fits; None for fewer than `FEW_STEPS` steps
        with a finite δ that is not 0.
    """
    from gradlab.measures.slopes import fit_depth  # polars, which a model that is only watched need not load

    fits = fit_depth(np.arange(len(rms_T)), rms_T[None])
    if fits.n_T[0] < FEW_STEPS:
        return None
    return float(fits.range_T[0]) if fits.r_squared_T[0] >= R_SQUARED else 0.0


def over_calls(squares_C: Floats, sizes_C: Floats, pass_C: Sequence[int]) -> float | None:
    """The same over the calls of a module.

    Args:
        squares_C: Σ δ² of each call.
        sizes_C: the entries of δ of each call; 0 where none came, as in front of a detached state.
        pass_C: the forward pass of the model to which each call belongs.

    Returns:
        the median over forward passes; None where nothing can be said of any.
    """
    found = []
    for number in dict.fromkeys(pass_C):
        there = (np.asarray(pass_C) == number) & (sizes_C > 0)
        value = decades(np.sqrt(squares_C[there] / sizes_C[there]))
        if value is not None:
            found.append(value)
    return float(np.median(found)) if found else None


class Sequences:
    """Looks at the δ of each time step in the sequences of one step.

    Args:
        guard: what becomes of errors.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._sums: dict[int, dict[int, tuple[Tensor | float, int]]] = {}

    def at_output(self, index: int, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """A module has returned: place hooks, if it computes a sequence.

        Args:
            index: the module, by number.
            module: the module.
            inputs: what it has got.
            output: what it has returned.
        """
        if not isinstance(module, nn.RNNBase) or not isinstance(output, tuple):
            return
        states = _states(output[0].data if isinstance(output[0], PackedSequence) else output[0])
        for time, state in enumerate(states):
            state.register_prehook(self._guard.closed(_first(self._take, index, time), "δ through time"))
        if states or not inputs:
            return
        x = inputs[0].data if isinstance(inputs[0], PackedSequence) else inputs[0]
        if isinstance(x, Tensor) and x.grad_fn is not None:
            sizes = inputs[0].batch_sizes.tolist() if isinstance(inputs[0], PackedSequence) else None
            dimension = 1 if module.batch_first and sizes is None and x.ndim == 3 else 0
            hook = self._guard.closed(self._take_all, "δ through time")
            x.register_hook(DeltaHook(hook, index, dimension, sizes))

    def _take(self, index: int, time: int, delta: Tensor | None) -> None:
        """δ of one time step has come."""
        if delta is None:
            return
        before, size = self._sums.setdefault(index, {}).get(time, (0.0, 0))
        squares = delta.detach().double().square().sum() + before
        self._sums[index][time] = squares, size + delta.numel()

    def _take_all(self, index: int, dimension: int, sizes: Sequence[int] | None, delta: Tensor) -> None:
        """δ of all time steps has come."""
        parts = delta.unbind(dimension) if sizes is None else delta.split(sizes)
        for time, part in enumerate(parts):
            self._take(index, time, part)

    def found(self) -> Mapping[int, Mapping[str, float]]:
        """What was found, for each module by number; see `gradlab.statistics.STATISTICS`."""
        found = {}
        for index, sums in self._sums.items():
            squares = torch.stack([torch.as_tensor(squares) for _, (squares, _) in sorted(sums.items())]).cpu().numpy()
            sizes = np.array([size for _, (_, size) in sorted(sums.items())], dtype=float)
            value = decades(np.sqrt(squares / np.maximum(sizes, 1)))
            if value is not None:
                found[index] = {"delta_through_time": value}
        return found


def _first(function: Any, index: int, time: int) -> Any:
    """A hook of a node: it is given a tuple of gradients."""

    def hook(gradients: tuple[Tensor | None, ...]) -> None:
        function(index, time, gradients[0])

    return hook


def _states(output: Any) -> list[Any]:
    """The nodes of the hidden states of all time steps of which an output was put together; none where it was not."""
    node = getattr(output, "grad_fn", None)
    for _ in range(LONGEST):
        if node is None:
            return []
        following = [each for each, _ in node.next_functions if each is not None]
        if operation(node) in SEQUENCES and len(following) >= FEW_STEPS:
            return following
        passes_on = operation(node) in SEQUENCES or operation(node) in SHAPE_ONLY
        node = following[0] if following and passes_on else None
    return []
