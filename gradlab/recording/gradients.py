"""Going backward: the sums of δ and of the parameters' gradients, before anybody clips them."""

from collections.abc import Callable
from time import perf_counter

from torch import Tensor, nn

from gradlab.recording.call_stack import outermost_backward
from gradlab.recording.calls import Calls
from gradlab.recording.data_parallel import is_distributed
from gradlab.recording.devices import CPU
from gradlab.recording.eager import RAN_COMPILED
from gradlab.recording.passes import Mode
from gradlab.recording.python_hooks import Current, Fields
from gradlab.recording.step import HistogramOf, Step
from gradlab.recording.torch_private import after_backward, current_pass
from gradlab.recording.watched_model import WatchedModel


class Gradients:
    """Records the gradients of outputs and of parameters.

    Args:
        current: holds the step that is going on.
        watched: the model.
        on_begin: called when a pass has begun.
    """

    def __init__(self, current: Current, watched: WatchedModel, on_begin: Callable[[], None]) -> None:
        self._current = current
        self._watched = watched
        self._prepare = on_begin
        self._guard = watched.guard
        self._on_end_closed = self._guard.closed(self._on_end, "the gradients of a backward pass")

    def on_delta(self, calls: Calls, row: int, delta: Tensor) -> None:
        """The gradient of an output has come: that of a call of the current step, or of one long gone."""
        step: Step = self._current.step
        if not isinstance(delta, Tensor) or not step.listening or step.calls.get(calls.device.device) is not calls:
            return
        try:
            start = perf_counter()
            if current_pass() != step.passes.number:
                self._on_begin(step)
            if step.passes.mode is not Mode.IGNORE:
                whole = step.passes.add(calls, row, delta)
                calls.take_delta(row, whole)
                step.take_histogram(calls.device, HistogramOf(calls.calls[row].module, "delta", calls, row), whole)
            step.fields.seconds += perf_counter() - start
        except Exception as error:
            self._guard.failed("the gradient of an output", error)

    def on_native_delta(self, fields: Fields, row: int, delta: Tensor) -> None:
        """The same, from a native hook that has recorded the output in main memory."""
        calls = self._current.step.calls[CPU]
        if calls.fields is fields:
            self.on_delta(calls, row, delta)

    def _on_begin(self, step: Step) -> None:
        """The first gradient of a pass has come, or that of an outer pass that goes on."""
        passes = step.passes
        call = outermost_backward()
        if not passes.is_same(call):
            self._prepare()
            accumulates = call is None or call.accumulates
            trains = call is not None and any(step.parameters.has(each) for each in call.inputs)
            if step.notes.left is not None:
                step.notes.left.pass_begins()
            gone = passes.began and step.has_given_up()
            if gone:
                step.give_up()
            if gone or (passes.began and accumulates and not passes.accumulated):
                passes.give_up(step.calls)
                step.parameters.forget_gradients()
            passes.begin(call, trains=trains)
            if step.notes.graph is not None and call is not None and passes.mode is not Mode.IGNORE:
                self._guard.closed(step.notes.graph.walk, "the graph of the step")(step.number, call.roots)
                if step.notes.graph.has_compiled:
                    self._guard.warn(RAN_COMPILED)
        passes.number = current_pass()
        step.fields.backward_pass = passes.number if passes.mode is Mode.DIRECT else -1
        if not is_distributed():
            after_backward(self._on_end_closed)
            return
        passes.reduction = max(passes.reduction, self._watched.data_parallel.reduction())
        after_backward(self._queue_end)

    def _queue_end(self) -> None:
        """A pass has ended: wait until whoever averages gradients over ranks has done so, in a callback like this."""
        after_backward(self._on_end_closed)

    def _on_end(self) -> None:
        """All gradients of a pass are there: read those that were not read as they came."""
        start = perf_counter()
        step = self._current.step
        step.fields.backward_pass = step.passes.number = -1
        if step.notes.left is not None:
            step.notes.left.pass_ends()
        if step.listening and step.passes.accumulated and step.passes.mode is not Mode.IGNORE:
            step.parameters.read_gradients(every=is_distributed())
            step.passes.phases = tuple(step.phases)
        step.fields.seconds += perf_counter() - start

    def on_gradient(self, parameter: nn.Parameter, _: Tensor) -> None:
        """The gradient of a large parameter is there."""
        step = self._current.step
        if not step.listening or parameter.grad is None:
            return
        start = perf_counter()
        if current_pass() != step.passes.number:
            self._on_begin(step)
        if not is_distributed():
            step.parameters.read_gradient(parameter)
        step.fields.seconds += perf_counter() - start
