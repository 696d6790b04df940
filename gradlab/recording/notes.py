"""What is noted of a step besides sums: attempts that were given up, gradients that were not cleared, the mode."""

import weakref
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from gradlab.recording.device_parameters import is_zero
from gradlab.recording.shards import local
from gradlab.recording.step_graph import StepGraph
from gradlab.recording.through_time import Sequences
from gradlab.recording.torch_private import NormBase, version

LOOKS = frozenset((1, 2, 3, *(10**power for power in range(1, 10))))
"""Records, by number, in which it is looked whether gradients were cleared: a loop clears them every time or never."""
WITNESSES = 4
"""Parameters of each optimizer whose gradients are looked at."""
WITH_MODES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
"""Modules that compute another thing in training than in evaluation, besides batch normalization."""


class Notes:
    """What is noted of one step.

    Attributes:
        given_up: Σ g² of each attempt that was given up before an optimizer used its gradients.
        left: gradients of the step before; None where they are not looked at.
        evaluating: share of the modules with two modes that were in evaluation mode; None where there are none.
        graph: walks the graph of this step; None in most.
        sequences: looks at δ through time in the same steps.
    """

    def __init__(self) -> None:
        self.given_up: list[Tensor | float] = []
        self.left: LeftGradients | None = None
        self.evaluating: float | None = None
        self.graph: StepGraph | None = None
        self.sequences: Sequences | None = None

    def numbers(self) -> Mapping[str, Tensor | float]:
        """Columns of the table `steps`; those of which nothing is known, or that are 0, are left out."""
        known: dict[str, Tensor | float] = {}
        if self.given_up:
            known["skipped"] = count_not_finite(self.given_up)
        if self.left is not None:
            known["gradients_left"] = self.left.share()
        if self.evaluating is not None:
            known["evaluating"] = self.evaluating
        return known


def count_not_finite(numbers: Sequence[Tensor | float]) -> Tensor | float:
    """How many of some numbers are NaN or infinite, without waiting for a device."""
    return sum(~torch.isfinite(torch.as_tensor(number)) for number in numbers)


class LeftGradients:
    """Gradients that the last step has left, and whether backward passes add to them.

    A gradient that is set to None or to zero before a backward pass adds to it is cleared. That a pass adds to it is
    seen by its version, which PyTorch counts up with each change of a tensor in its place.

    Args:
        parameters: some parameters of each optimizer.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._left = {
            number: weakref.ref(parameter.grad)
            for number, parameter in enumerate(self._parameters)
            if parameter.grad is not None
        }
        self._versions: dict[int, int] = {}
        self._added: set[int] = set()

    def pass_begins(self) -> None:
        """A backward pass begins: some gradients have been cleared by now."""
        for number, left in list(self._left.items()):
            gradient = self._parameters[number].grad
            if gradient is None or left() is not gradient or is_zero(gradient):
                del self._left[number]
                self._added.discard(number)
            else:
                self._versions[number] = version(local(gradient))

    def pass_ends(self) -> None:
        """A backward pass has ended: it has added to some gradients."""
        for number, before in self._versions.items():
            gradient = self._parameters[number].grad
            if gradient is None or number not in self._left or gradient is not self._left[number]():
                continue
            if version(local(gradient)) > before:
                self._added.add(number)
        self._versions.clear()

    def share(self) -> float:
        """The share of the parameters to whose gradient was added what the last step had used already."""
        return len(self._added) / len(self._parameters) if self._parameters else 0.0


def witnesses(groups: Sequence[Sequence[nn.Parameter]]) -> list[nn.Parameter]:
    """Some parameters of each optimizer, those that have a gradient.

    Args:
        groups: the parameters of each optimizer.
    """
    return [each for group in groups for each in [one for one in group if one.grad is not None][:WITNESSES]]


def modules_with_modes(model: nn.Module) -> list[nn.Module]:
    """The modules that compute another thing in evaluation: dropout and batch normalization."""
    return [
        module
        for module in model.modules()
        if (isinstance(module, WITH_MODES) and module.p > 0)
        or (isinstance(module, NormBase) and getattr(module, "track_running_stats", False))
    ]


def share_evaluating(modules: Sequence[nn.Module]) -> float | None:
    """The share of some modules that are in evaluation mode."""
    return sum(not module.training for module in modules) / len(modules) if modules else None
