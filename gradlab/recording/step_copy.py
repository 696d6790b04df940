"""Copies of the numbers of a recorded step, made on the devices where they are, to be read when somebody asks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from gradlab.recording.calls import Call
from gradlab.recording.page_memory import PageMemory
from gradlab.recording.parameters import Parameters
from gradlab.recording.step import Step
from gradlab.recording.transfer import Numbers


class StepCopy(NamedTuple):
    """The numbers of a step.

    Attributes:
        step: its number.
        calls: every call, device by device.
        delta_sizes: entries of the gradient that each of them received.
        starts: where forward passes of the whole model begin among the calls.
        flags: for each device, which parameters had a gradient, and of which Σ w² is known, as bytes.
        call_sums: the sums of the calls of each device.
        parameter_sums: the sums of the parameters of each device.
        losses: what backward was called on; None for what was not one number.
        scale: what the loss was multiplied with.
        reduction: over how many ranks the gradients are added up, and by what their sum is divided.
        histograms: module, quantity and histogram.
        full_pass: what a full pass and a close look have found, by number of module.
        phases: steps that each optimizer has done.
        learning_rate: that of the last optimizer's first group.
        parameters: the parameters.
        names: the names of the modules.
        notes: columns of the table `steps`.
    """

    step: int
    calls: Sequence[Call]
    delta_sizes: Sequence[int]
    starts: Sequence[int]
    flags: Sequence[tuple[bytes, bytes]]
    call_sums: Sequence[Numbers]
    parameter_sums: Sequence[Numbers]
    losses: Sequence[Tensor | float | None]
    scale: Tensor | float
    reduction: tuple[int, float]
    histograms: Sequence[tuple[int, str, Numbers]]
    full_pass: Mapping[int, Mapping[str, float]]
    phases: Sequence[int]
    learning_rate: float
    parameters: Parameters
    names: Sequence[str]
    notes: Mapping[str, Tensor | float]


class StepCopier:
    """Copies the numbers of a step. Lists that did not change since the last step are shared, not copied."""

    def __init__(self) -> None:
        self._memory = PageMemory()
        self._last: dict[str, list[Any]] = {}

    def copy(self, step: Step, learning_rate: float, names: Sequence[str]) -> StepCopy:
        """Copy the numbers of a step that has ended."""
        on_devices = step.calls.values()
        devices = step.parameters.devices
        out = step.passes.left_out(step.calls)
        rows = [
            [row for row in range(len(calls.calls)) if row not in out.get(calls, ())] if out else ()
            for calls in on_devices
        ]
        return StepCopy(
            step=step.number,
            calls=self._shared("calls", _chosen(out, rows, [calls.calls for calls in on_devices])),
            delta_sizes=self._shared("delta_sizes", _chosen(out, rows, [calls.delta_sizes for calls in on_devices])),
            starts=step.passes.starts(step.calls, out),
            flags=self._shared("flags", [(d.has_gradient.tobytes(), d.has_weight.tobytes()) for d in devices]),
            call_sums=[
                self._memory.copy(calls.sums()[chosen] if out else calls.sums())
                for calls, chosen in zip(on_devices, rows, strict=True)
            ],
            parameter_sums=[self._memory.copy(device.sums) for device in devices],
            losses=step.passes.losses,
            scale=step.passes.scale,
            reduction=step.passes.reduction,
            histograms=[
                (of.module, of.quantity, self._memory.copy(x))
                for of, x in (step.histograms or {}).items()
                if of.calls is None or of.row not in out.get(of.calls, ())
            ],
            full_pass=step.found(),
            phases=step.phases,
            learning_rate=learning_rate,
            parameters=step.parameters,
            names=names,
            notes=step.notes.numbers(),
        )

    def _shared(self, name: str, now: list[Any]) -> list[Any]:
        """The list of the step before, if it is equal to that of now."""
        if self._last.get(name) != now:
            self._last[name] = now
        return self._last[name]


def _chosen(out: Any, rows: Sequence[Sequence[int]], lists: Sequence[list[Any]]) -> list[Any]:
    """Some entries of lists, as one list: all of them where nothing is left out."""
    if not out:
        return [entry for entries in lists for entry in entries]
    return [entries[row] for entries, chosen in zip(lists, rows, strict=True) for row in chosen]
