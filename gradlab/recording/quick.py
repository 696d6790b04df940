"""The two hooks that are called most, for what they are called with most: dense tensors that a native kernel reads.

They do what `Recorder._on_output` and `Recorder._on_delta` do, in one function each; whatever is out of the ordinary is
left to those. Of a step of twenty layers of a hundred units, this saves a tenth.
"""

from collections import OrderedDict
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from torch import Tensor, is_grad_enabled

from gradlab.recording.backward import current_pass
from gradlab.recording.calls import DELTA, ROW_BYTES, Call, Calls
from gradlab.recording.hooks import Hook, nothing
from gradlab.recording.layout import Place
from gradlab.recording.native import KERNELS, Kernels

if TYPE_CHECKING:
    from gradlab.recording.recorder import Recorder


class QuickOutput(Hook):
    """A forward hook of a weight layer, a norm or an activation.

    Args:
        recorder: who records.
        index: number of the place.
        place: the place.
        function: what does the same for anything.
    """

    __slots__ = ("_call", "_index", "_recorder", "_saturation")

    def __init__(self, recorder: "Recorder", index: int, place: Place, function: Callable[..., None]) -> None:
        super().__init__(function, index)
        self._recorder = recorder
        self._index = index
        self._saturation = place.saturation
        self._call: Call | None = None

    def __call__(self, module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Take the statistics of an output, and leave a hook on it."""
        recorder = self._recorder
        if not recorder.recording or not module.training or not is_grad_enabled():
            return
        start = perf_counter()
        kernels = KERNELS.get(output.dtype) if type(output) is Tensor else None
        if kernels is None or not recorder.ordinary or not output.is_cpu or current_pass() != -1:
            self._function(self._index, module, inputs, output)
            return
        size, node, saturation = output.numel(), output.grad_fn, self._saturation
        if not size or node is None or output._backward_hooks is not None or not output.is_contiguous():
            self._function(self._index, module, inputs, output)
            return
        calls = recorder.cpu
        row = calls.next_row()
        address = calls.base + row * ROW_BYTES
        entered = 0
        if saturation is None:
            kernels.output(output.data_ptr(), size, address)
        else:
            h = inputs[0]
            if type(h) is not Tensor or h.dtype is not output.dtype or not h.is_contiguous():
                self._function(self._index, module, inputs, output)
                return
            entered = h.numel()
            edges, count = calls.limits(output.dtype, saturation)
            kernels.activation(output.data_ptr(), size, h.data_ptr(), entered, edges, count, address)
        call = self._call
        if call is None or call[2] != size or call[3] != entered or call[4] is not output.dtype:
            call = self._call = Call(self._index, 0, size, entered, output.dtype)
            recorder.numbering.saw(self._index)
        calls.calls.append(call)
        calls.delta_sizes.append(0)
        output._backward_hooks = OrderedDict(((-1, QuickDelta(recorder, calls, row, kernels)),))
        node._register_hook_dict(output)
        recorder.seconds += perf_counter() - start


class QuickDelta:
    """A hook of an output's gradient.

    Args:
        recorder: who records.
        calls: the rows of the output's device.
        row: its row.
        kernels: those of its format.
    """

    __slots__ = ("_calls", "_kernels", "_recorder", "_row", "_step")

    def __init__(self, recorder: "Recorder", calls: Calls, row: int, kernels: Kernels) -> None:
        self._recorder = recorder
        self._calls = calls
        self._row = row
        self._kernels = kernels
        self._step = recorder.step

    def __call__(self, delta: Tensor) -> None:
        """Take Σ δ²."""
        recorder, calls, row = self._recorder, self._calls, self._row
        if not recorder.ordinary or not delta.is_contiguous() or current_pass() != recorder.backward_pass:
            recorder.on_delta(calls, row, self._step, delta)
            return
        start = perf_counter()
        if self._step == recorder.step and row < len(calls.calls):
            size = delta.numel()
            self._kernels.sum_of_squares(delta.data_ptr(), size, calls.base + row * ROW_BYTES + 8 * DELTA)
            calls.delta_sizes[row] = size
        recorder.seconds += perf_counter() - start

    def __deepcopy__(self, memo: Any) -> Callable[..., None]:
        return nothing
