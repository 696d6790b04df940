"""Copies of the numbers of a recorded step, made on the devices where they are, to be read when somebody asks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from gradlab.recording.calls import Call
from gradlab.recording.device_parameters import DeviceParameters
from gradlab.recording.page_memory import PageMemory
from gradlab.recording.step import Step
from gradlab.recording.transfer import Numbers


class StepCopy(NamedTuple):
    """The numbers of a step.

    Attributes:
        step: its number.
        calls: every call, device by device.
        delta_sizes: entries of the gradient that each of them received.
        flags: for each device, which parameters had a gradient, and of which Σ w² is known, as bytes.
        call_sums: the sums of the calls of each device.
        parameter_sums: the sums of the parameters of each device.
        losses: what backward was called on.
        scale: what the loss was multiplied with.
        histograms: module, quantity and histogram.
        full_pass: what a full pass has found, by number of module.
        phases: steps that each optimizer has done.
        learning_rate: that of the last optimizer's first group.
    """

    step: int
    calls: Sequence[Call]
    delta_sizes: Sequence[int]
    flags: Sequence[tuple[bytes, bytes]]
    call_sums: Sequence[Numbers]
    parameter_sums: Sequence[Numbers]
    losses: Sequence[Tensor | float]
    scale: Tensor | float
    histograms: Sequence[tuple[int, str, Numbers]]
    full_pass: Mapping[int, Mapping[str, float]]
    phases: Sequence[int]
    learning_rate: float


class StepCopier:
    """Copies the numbers of a step. Lists that did not change since the last step are shared, not copied."""

    def __init__(self) -> None:
        self._memory = PageMemory()
        self._last: dict[str, list[Any]] = {}

    def copy(self, step: Step, devices: Sequence[DeviceParameters], learning_rate: float) -> StepCopy:
        """Copy the numbers of a step that has ended, and those of the parameters of each device."""
        on_devices = step.calls.values()
        return StepCopy(
            step=step.number,
            calls=self._shared("calls", [call for calls in on_devices for call in calls.calls]),
            delta_sizes=self._shared("delta_sizes", [size for calls in on_devices for size in calls.delta_sizes]),
            flags=self._shared("flags", [(d.has_gradient.tobytes(), d.has_weight.tobytes()) for d in devices]),
            call_sums=[self._memory.copy(calls.sums()) for calls in on_devices],
            parameter_sums=[self._memory.copy(device.sums) for device in devices],
            losses=step.backward.losses,
            scale=step.scale,
            histograms=[(m, quantity, self._memory.copy(x)) for m, quantity, x in step.histograms or ()],
            full_pass=step.full_pass,
            phases=step.phases,
            learning_rate=learning_rate,
        )

    def _shared(self, name: str, now: list[Any]) -> list[Any]:
        """The list of the step before, if it is equal to that of now."""
        if self._last.get(name) != now:
            self._last[name] = now
        return self._last[name]
