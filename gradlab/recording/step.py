"""The step that is going on: all that is known of it, in one object that is replaced with the step."""

import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from gradlab.networks.activations import Intervals
from gradlab.recording.calls import Calls, Device


class KeptInput(NamedTuple):
    """The input of an activation, kept until the activation has made its output of it.

    Attributes:
        h: the input, or a copy where it is overwritten.
        saturation: intervals of `h` in which the activation is saturated.
        output: the output, where it is known already.
    """

    h: Tensor
    saturation: Intervals | None
    output: weakref.ref[Tensor] | None = None


class Backward:
    """The backward passes of a step.

    Attributes:
        began: whether there has been one that met a recorded module.
        losses: what `backward` was called on, a number each.
        root: the tensor of the last of them.
        witness: a parameter that had a gradient when the last pass ended, and the steps that each optimizer had done
            then. Where the gradient is gone and the optimizers have done no more, the attempt at the step was given up.
        in_closure: whether an optimizer is stepping that calls a closure, which computes the model again (LBFGS).
    """

    def __init__(self) -> None:
        self.began = False
        self.losses: list[Tensor | float] = []
        self.root: weakref.ref[Tensor] | None = None
        self.witness: tuple[nn.Parameter, Sequence[int]] | None = None
        self.in_closure = False


class Step:
    """A step that is going on. There is a new object for each step, and for each new attempt at one.

    Args:
        number: its number.
        cpu: what is kept for main memory.
        phases: the steps that each optimizer has done within this step.
        recorded: whether the step is recorded.
        histograms: whether histograms are taken.

    Attributes:
        calls: the calls on each device.
        fields: what hooks need of the step.
        listening: whether what modules do is recorded now.
        full_pass: what a full pass over the training split has found, by number of module.
        scale: what the loss was multiplied with.
        backward: the backward passes.
        histograms: module, quantity and histogram, for each one that was taken; None where none are.
        inputs: inputs of activations that wait for the output, by number of module.
        outputs: every output so far, by `id`, while there are modules that may only return another module's output.
    """

    def __init__(
        self, number: int, cpu: Device, phases: Sequence[int], *, recorded: bool = False, histograms: bool = False
    ) -> None:
        self.number = number
        self.recorded = recorded
        self.phases = list(phases)
        self.calls = {cpu.device: Calls(cpu)}
        self.fields = self.calls[cpu.device].fields
        self.full_pass: Mapping[int, Mapping[str, float]] = {}
        self.scale: Tensor | float = 1.0
        self.backward = Backward()
        self.histograms: list[tuple[int, str, Tensor]] | None = [] if histograms else None
        self.inputs: dict[int, KeptInput] = {}
        self.outputs: dict[int, weakref.ref[Tensor]] = {}
        self.listen(True)

    def listen(self, listening: bool) -> None:
        """Record what modules do from now on, or do not; native hooks help where nothing is unusual."""
        self.listening = self.recorded and listening
        self.fields.open = self.listening and self.histograms is None and len(self.phases) == 1

    def take_histogram(self, device: Device, module: int, quantity: str, x: Tensor) -> None:
        """Take a histogram, in a step in which they are taken."""
        if self.histograms is not None:
            self.histograms.append((module, quantity, device.backend.histogram(x)))
