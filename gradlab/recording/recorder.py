"""Hooks ─► rows: watches a network while somebody else trains it.

    with Recorder(model, [optimizer], records=every_tenth, emit=rows.append):
        … the training loop, unchanged …

One way: a forward hook takes the statistics of a module's output and leaves a hook on that tensor; the tensor's hook
takes those of δ; a parameter's hook takes its gradient as soon as it is accumulated, before anybody clips it; the
optimizer's hooks take the weights before and after the update, which ends the step and emits its rows.

Statistics stay in one buffer on the device, which is read once a recorded step. Nothing is written to the model, no
random number is drawn, and no tensor of the training is changed: training is bit-identical with and without.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gradlab.columns import LAYER_STATISTICS, StepRows
from gradlab.recording.full_pass import full_pass
from gradlab.recording.layout import layout
from gradlab.recording.statistics import Statistics, accumulator, histogram

# What the buffer holds for each module, in order. The first five are those of `Statistics.output`.
_MEAN, _SQUARES, _MINIMUM, _MAXIMUM, _ZEROS, _SATURATED, _DELTA, _WEIGHT, _UPDATE = range(9)
_SLOTS = 9
_COLUMN = {name: index for index, name in enumerate(LAYER_STATISTICS)}


@dataclass(frozen=True)
class StepRecord:
    """What was seen of one step.

    Attributes:
        rows: a row a module.
        histograms: rows of the table `histograms`; empty on most steps.
        gradient_norm: norm of the gradient of all parameters together, before clipping.
        record_seconds: what recording this step cost.
    """

    rows: StepRows
    histograms: Sequence[dict[str, Any]]
    gradient_norm: float
    record_seconds: float


class Recorder:
    """Records the steps of a training loop for as long as its context lasts.

    Args:
        model: the network. Its passes are recorded in training mode with gradients enabled, others are not.
        optimizers: whoever updates its weights; the last one to step ends a step.
        records: whether to record a step, by its 0-based number.
        histograms: whether to take histograms in a recorded step.
        emit: receives each recorded step, once it has ended.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        emit: Callable[[StepRecord], None],
        records: Callable[[int], bool] = lambda step: True,
        histograms: Callable[[int], bool] = lambda step: False,
    ) -> None:
        self.places = layout(model)
        self.step = 0
        self._model = model
        self._optimizers = tuple(optimizers)
        self._emit = emit
        self._records = records
        self._histograms = histograms
        self._handles: list[RemovableHandle] = []
        self._recording = False
        self._paused = False
        self._seconds = 0.0

        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        weights = [getattr(place.module, "weight", None) for place in self.places]
        self._weights = [weight if isinstance(weight, nn.Parameter) else None for weight in weights]
        device = parameters[0].device if parameters else torch.device("cpu")
        dtype = accumulator(device)
        self._statistics = Statistics(device)
        modules = len(self.places)
        # One flat buffer: a row of slots for each module, then a slot for each parameter's gradient.
        self._buffer = torch.zeros(modules * _SLOTS + len(parameters), dtype=dtype, device=device)
        slots = list(self._buffer.unbind())
        self._slots = [slots[i * _SLOTS : (i + 1) * _SLOTS] for i in range(modules)]
        self._parameters = list(zip(parameters, slots[modules * _SLOTS :], strict=True))
        self._before = [None if w is None else torch.empty(w.shape, dtype=dtype, device=device) for w in self._weights]
        self._output_sizes = np.zeros(modules)
        self._delta_sizes = np.zeros(modules)
        self._input_sizes = np.zeros(modules)
        self._gradient_index = [_index_of(weight, parameters) for weight in self._weights]
        self._full_pass: Mapping[int, Mapping[str, float]] = {}
        self._pictures: list[tuple[int, str, Tensor]] = []
        self._taking_histograms = False

    # ------------------------------------------------------------------------------------------------- the context

    def __enter__(self) -> Self:
        """Place the hooks."""
        for index, place in enumerate(self.places):
            self._handles.append(place.module.register_forward_hook(partial(self._on_output, index)))
        for parameter, slot in self._parameters:
            hook = partial(self._on_gradient, slot)
            self._handles.append(parameter.register_post_accumulate_grad_hook(hook))
        self._handles.append(self._optimizers[0].register_step_pre_hook(self._on_update))
        self._handles.append(self._optimizers[-1].register_step_post_hook(self._on_updated))
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove every hook."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def look_at_units(self, x: Tensor) -> None:
        """Pass all samples through the network, before the coming step; its rows will say which units are dead.

        Args:
            x: the training split, (samples, features).
        """
        start = perf_counter()
        self._full_pass = full_pass(self._model, x, self.places)
        self._seconds += perf_counter() - start

    # ------------------------------------------------------------------------------------------------- the hooks

    def _begin(self) -> None:
        self._recording = self._records(self.step)
        self._taking_histograms = self._recording and self._histograms(self.step)
        self._seconds = 0.0
        if self._recording:
            self._buffer.zero_()
            for sizes in (self._output_sizes, self._delta_sizes, self._input_sizes):
                sizes.fill(0)
            self._pictures.clear()
        self._full_pass = {}

    def _on_output(self, index: int, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not (self._recording and module.training and torch.is_grad_enabled()) or self._paused:
            return
        if not (isinstance(output, Tensor) and output.is_floating_point() and output.numel()):
            return
        start = perf_counter()
        slots = self._slots[index]
        values = output.detach()
        self._statistics.output(values, slots[:_SATURATED])
        self._output_sizes[index] = values.numel()
        saturation = self.places[index].saturation
        if saturation is not None:
            preactivation = inputs[0].detach()
            self._input_sizes[index] = preactivation.numel()
            if saturation:
                self._statistics.count_inside(preactivation, saturation, slots[_SATURATED])
        if self._taking_histograms:
            self._pictures.append((index, "activation", histogram(values)))
        if output.requires_grad:
            output.register_hook(partial(self._on_delta, index))
        self._seconds += perf_counter() - start

    def _on_delta(self, index: int, delta: Tensor) -> None:
        if self._paused:
            return
        start = perf_counter()
        self._statistics.sum_of_squares(delta.detach(), self._slots[index][_DELTA])
        self._delta_sizes[index] = delta.numel()
        if self._taking_histograms:
            self._pictures.append((index, "delta", histogram(delta)))
        self._seconds += perf_counter() - start

    def _on_gradient(self, slot: Tensor, parameter: Tensor) -> None:
        if not self._recording or self._paused or parameter.grad is None:
            return
        start = perf_counter()
        self._statistics.sum_of_squares(parameter.grad.detach(), slot)
        self._seconds += perf_counter() - start

    def _on_update(self, *_: Any) -> None:
        """The gradients are ready: remember the weights."""
        self._paused = True  # an optimizer that evaluates the loss again (LBFGS) is not seen
        if not self._recording:
            return
        start = perf_counter()
        for index, (weight, before) in enumerate(zip(self._weights, self._before, strict=True)):
            if weight is None or before is None:
                continue
            before.copy_(weight.detach())
            self._statistics.sum_of_squares(before, self._slots[index][_WEIGHT])
            if self._taking_histograms:
                self._pictures.append((index, "weight", histogram(before)))
                if weight.grad is not None:
                    self._pictures.append((index, "weight_gradient", histogram(weight.grad)))
        self._seconds += perf_counter() - start

    def _on_updated(self, *_: Any) -> None:
        """The step is over: measure the update, read the buffer, emit the rows."""
        if self._recording:
            start = perf_counter()
            for index, (weight, before) in enumerate(zip(self._weights, self._before, strict=True)):
                if weight is not None and before is not None:
                    torch.sub(weight.detach(), before, out=before)
                    self._statistics.sum_of_squares(before, self._slots[index][_UPDATE])
            record = self._read(start)
            self._emit(record)
        self._paused = False
        self.step += 1
        self._begin()

    # ------------------------------------------------------------------------------------------------- the rows

    def _read(self, start: float) -> StepRecord:
        pictures = [picture for _, _, picture in self._pictures]
        numbers = torch.cat([self._buffer, *pictures]).cpu().double().numpy()  # the one synchronization of the step
        modules = len(self.places)
        gradients = numbers[modules * _SLOTS : self._buffer.numel()]
        gradient_squares = np.array([np.nan if i is None else gradients[i] for i in self._gradient_index])
        rows = self._rows(numbers[: modules * _SLOTS].reshape(modules, _SLOTS), gradient_squares)
        histograms = self._histogram_rows(numbers[self._buffer.numel() :])
        seconds = self._seconds + perf_counter() - start
        return StepRecord(rows, histograms, float(np.sqrt(gradients.sum())), seconds)

    def _rows(self, slots_MS: NDArray[np.float64], gradient_squares_M: NDArray[np.float64]) -> StepRows:
        """Sums ─► statistics, for all modules at once."""
        values = np.zeros((len(self.places), len(LAYER_STATISTICS)))
        applies = np.zeros_like(values, dtype=bool)

        def put(name: str, value: NDArray[np.float64], where: NDArray[np.bool_]) -> None:
            values[:, _COLUMN[name]] = value
            applies[:, _COLUMN[name]] = where

        seen = self._output_sizes > 0
        activated = self._input_sizes > 0
        differentiated = self._delta_sizes > 0
        weighted = np.array([weight is not None for weight in self._weights])
        trained = np.array([weight is not None and weight.grad is not None for weight in self._weights])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            mean = slots_MS[:, _MEAN]
            variance = slots_MS[:, _SQUARES] / self._output_sizes
            put("activation_mean", mean, seen)
            put("activation_std", np.sqrt(variance), seen)
            put("activation_rms", np.sqrt(variance + mean**2), seen)
            put("activation_min", slots_MS[:, _MINIMUM], seen)
            put("activation_max", slots_MS[:, _MAXIMUM], seen)
            numbers = np.where(np.isnan(mean), np.nan, 1.0)  # nothing can be counted among what is no number
            put("zero_fraction", numbers * slots_MS[:, _ZEROS] / self._output_sizes, seen)
            put("saturated_fraction", numbers * slots_MS[:, _SATURATED] / self._input_sizes, activated)
            put("delta_rms", np.sqrt(slots_MS[:, _DELTA] / self._delta_sizes), differentiated)
            weight_norm = np.sqrt(slots_MS[:, _WEIGHT])
            put("weight_norm", weight_norm, weighted)
            put("weight_gradient_norm", np.sqrt(gradient_squares_M), trained)
            put("update_ratio", np.sqrt(slots_MS[:, _UPDATE]) / weight_norm, trained & (weight_norm > 0))
        for index, units in self._full_pass.items():
            for name, value in units.items():
                values[index, _COLUMN[name]] = value
                applies[index, _COLUMN[name]] = True
        return StepRows(
            self.step,
            [place.layer for place in self.places],
            [place.name for place in self.places],
            [place.kind for place in self.places],
            values,
            applies,
        )

    def _histogram_rows(self, numbers: NDArray[np.float64]) -> list[dict[str, Any]]:
        rows = []
        for number, (index, quantity, _) in enumerate(self._pictures):
            size = len(numbers) // len(self._pictures)
            low, high, non_finite, *counts = numbers[number * size : (number + 1) * size]
            place = self.places[index]
            rows.append(
                {
                    "step": self.step,
                    "layer": place.layer,
                    "module": place.name,
                    "quantity": quantity,
                    "low": float(low) if low <= high else None,
                    "high": float(high) if low <= high else None,
                    "counts": [int(count) for count in counts],
                    "non_finite": int(non_finite),
                }
            )
        return rows


def _index_of(weight: Tensor | None, parameters: Sequence[Tensor]) -> int | None:
    return next((index for index, parameter in enumerate(parameters) if parameter is weight), None)
