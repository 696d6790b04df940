"""The step that is going on: all that is known of it, in one object that is replaced with the step."""

import weakref
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from gradlab.networks.activations import Intervals
from gradlab.recording.calls import Calls, Device
from gradlab.recording.close_look import CloseLook
from gradlab.recording.notes import Notes, count_not_finite
from gradlab.recording.parameters import Parameters
from gradlab.recording.passes import Passes


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


class HistogramOf(NamedTuple):
    """What a histogram is of.

    Attributes:
        module: the module, by number.
        quantity: see the table `histograms`.
        calls: of an output or its gradient, the calls of its device, …
        row: … and the row of the call.
    """

    module: int
    quantity: str
    calls: Calls | None = None
    row: int = 0


class Step:
    """A step that is going on. There is a new object for each step, and for each new attempt at one.

    Args:
        number: its number.
        cpu: what is kept for main memory.
        parameters: the parameters.

    Attributes:
        recorded: whether the step is recorded.
        phases: the steps that each optimizer has done within this step.
        calls: the calls on each device.
        fields: what hooks need of the step.
        listening: whether what modules do is recorded now.
        full_pass: what a full pass over the training split has found, by number of module.
        passes: the passes of the step.
        parameters: the parameters.
        histograms: each histogram that was taken, by what it is of; None where none are.
        inputs: inputs of activations that wait for the output, by number of module.
        outputs: every output so far, by `id`, while there are modules that may only return another module's output.
        notes: what is noted of the step besides.
        look: looks at tensors in this step; None in most.
    """

    def __init__(
        self,
        number: int,
        cpu: Device,
        parameters: Parameters,
    ) -> None:
        self.number = number
        self.recorded = self.listening = False
        self.phases: list[int] = []
        self.calls = {cpu.device: Calls(cpu)}
        self.fields = self.calls[cpu.device].fields
        self.full_pass: Mapping[int, Mapping[str, float]] = {}
        self.passes = Passes()
        self.parameters = parameters
        self.histograms: dict[HistogramOf, Tensor] | None = None
        self.inputs: dict[int, KeptInput] = {}
        self.outputs: dict[int, weakref.ref[Tensor]] = {}
        self.notes = Notes()
        self.look: CloseLook | None = None

    def record(self, phases: Sequence[int], *, histograms: bool, look: CloseLook | None) -> None:
        """This step is recorded, from here on.

        Args:
            phases: the steps that each optimizer has done within it.
            histograms: whether histograms are taken.
            look: looks at tensors in this step; None in most.
        """
        self.look = look
        self.recorded = True
        self.phases = list(phases)
        self.histograms = {} if histograms else None
        self.listen(True)

    def listen(self, listening: bool) -> None:
        """Record what modules do from now on, or do not; native hooks help where nothing is unusual."""
        self.listening = self.recorded and listening
        looks = self.histograms is not None or self.look is not None or self.notes.graph is not None
        unusual = looks or len(self.phases) != 1
        self.fields.open = self.listening and not unusual

    def found(self) -> Mapping[int, Mapping[str, float]]:
        """What a full pass, a close look and a look at sequences have found, by number of module."""
        looks = [self.full_pass, *(each.found() for each in (self.look, self.notes.sequences) if each is not None)]
        found: dict[int, dict[str, float]] = {}
        for index, values in (pair for look in looks for pair in look.items()):
            found.setdefault(index, {}).update(values)
        return found

    def has_given_up(self) -> bool:
        """Whether the gradients are gone that the last backward pass has left, and no optimizer has used them."""
        return self.passes.phases == tuple(self.phases) and self.parameters.gradients_are_gone()

    def give_up(self) -> None:
        """The gradients that were seen are gone, and no optimizer has used them."""
        self.notes.given_up.append(self.parameters.seen_squares())
        self.parameters.forget_gradients()

    def unfinished(self) -> Mapping[str, float]:
        """Backward passes that no optimizer has used so far, and how many of them had a gradient that is not finite."""
        now = [self.parameters.seen_squares()] if self.passes.accumulated and self.passes.losses else []
        skipped = count_not_finite([*self.notes.given_up, *now])
        return {"passes": len(self.notes.given_up) + len(self.passes.losses), "skipped": float(skipped)}

    def take_histogram(self, device: Device, of: "HistogramOf", x: Tensor) -> None:
        """Take a histogram, in a step in which they are taken; one of the same thing is replaced."""
        if self.histograms is not None:
            self.histograms[of] = device.backend.histogram(x)
