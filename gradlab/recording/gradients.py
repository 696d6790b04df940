"""Going backward: the sums of δ and of the parameters' gradients, before anybody clips them."""

import weakref
from time import perf_counter

from torch import Tensor, nn

from gradlab.recording.call_stack import roots
from gradlab.recording.calls import Calls
from gradlab.recording.devices import CPU
from gradlab.recording.parameters import Parameters
from gradlab.recording.python_hooks import Current, Fields
from gradlab.recording.step import Step
from gradlab.recording.torch_private import after_backward, current_pass


class Gradients:
    """Records the gradients of outputs and of parameters.

    Args:
        current: holds the step that is going on.
        parameters: the parameters.
    """

    def __init__(self, current: Current, parameters: Parameters) -> None:
        self._current = current
        self._parameters = parameters

    def on_delta(self, calls: Calls, row: int, delta: Tensor) -> None:
        """The gradient of an output has come: that of a call of the current step, or of one long gone."""
        step: Step = self._current.step
        if not isinstance(delta, Tensor) or not step.listening or step.calls.get(calls.device.device) is not calls:
            return
        start = perf_counter()
        if current_pass() != step.fields.backward_pass:
            self._on_begin(step)
        calls.take_delta(row, delta)
        step.take_histogram(calls.device, calls.calls[row].module, "delta", delta)
        step.fields.seconds += perf_counter() - start

    def on_native_delta(self, fields: Fields, row: int, delta: Tensor) -> None:
        """The same, from a native hook that has recorded the output in main memory."""
        calls = self._current.step.calls[CPU]
        if calls.fields is fields:
            self.on_delta(calls, row, delta)

    def _on_begin(self, step: Step) -> None:
        """The first gradient of a backward pass has come."""
        step.fields.backward_pass = current_pass()
        backward = step.backward
        backward.began = True
        after_backward(self._on_end)
        found = roots()
        root = found[0] if len(found) == 1 else None
        if isinstance(root, Tensor) and root.numel() == 1 and (backward.root is None or backward.root() is not root):
            backward.root = weakref.ref(root)  # a pass inside a pass has the same root
            backward.losses.append(float(root.detach()) if root.is_cpu else root.detach().reshape(1))

    def _on_end(self) -> None:
        """All gradients of a backward pass are there: read those that were not read as they came."""
        start = perf_counter()
        step = self._current.step
        step.fields.backward_pass = -1
        if step.listening:
            witness = self._parameters.read_gradients(small=True)
            step.backward.witness = None if witness is None else (witness, tuple(step.phases))
        step.fields.seconds += perf_counter() - start

    def on_gradient(self, parameter: nn.Parameter, _: Tensor) -> None:
        """The gradient of a large parameter is there."""
        step = self._current.step
        if not step.listening or parameter.grad is None:
            return
        start = perf_counter()
        self._parameters.read_gradient(parameter)
        step.fields.seconds += perf_counter() - start
