"""All hooks on a model, placed and removed together."""

from collections.abc import Callable, Sequence

from torch import nn
from torch.utils.hooks import RemovableHandle

from gradlab.recording.devices import Devices
from gradlab.recording.functions import Functions
from gradlab.recording.gradients import Gradients
from gradlab.recording.hooks import Hook
from gradlab.recording.modules import RecordedModule
from gradlab.recording.numbering import Numbering
from gradlab.recording.outputs import Outputs
from gradlab.recording.parameters import Parameters
from gradlab.recording.python_hooks import Current


class ModelHooks:
    """The hooks that a recorded step needs.

    Args:
        model: the model.
        modules: its modules that are recorded.
        current: holds the step that is going on.
        devices: the devices.
        parameters: the parameters.
        on_forward: called when the whole model is about to compute.
        functions: whether activation functions are recorded that modules call.

    Attributes:
        numbering: what is recorded.
    """

    def __init__(
        self,
        model: nn.Module,
        modules: Sequence[RecordedModule],
        current: Current,
        devices: Devices,
        parameters: Parameters,
        on_forward: Callable[..., None],
        *,
        functions: bool,
    ) -> None:
        self.numbering = Numbering(model, modules, parameters.owner_of)
        self._model = model
        self._current = current
        self._parameters = parameters
        self._on_forward = on_forward
        self._gradients = Gradients(current, parameters)
        self._outputs = Outputs(current, devices, self.numbering, self._gradients)
        self._functions = Functions(model, self._outputs.wants, self._outputs.on_function) if functions else None
        self._handles: list[RemovableHandle] = []

    @property
    def undecided(self) -> bool:
        """See `Outputs.undecided`."""
        return self._outputs.undecided

    def place(self) -> None:
        """Place the hooks, where they are not in place already."""
        if self._handles:
            return
        self._outputs.place_hooks()
        if self._functions is not None:
            self._functions.start()
        self._handles.append(self._model.register_forward_pre_hook(Hook(self._on_forward, None)))
        for parameter, hook in self._parameters.gradient_hooks(self._current, self._gradients.on_gradient):
            self._handles.append(parameter.register_post_accumulate_grad_hook(hook))

    def remove(self) -> None:
        """Remove the hooks."""
        self._outputs.remove_hooks()
        if self._functions is not None:
            self._functions.stop()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def forget(self) -> None:
        """Let go of the hooks, after they were removed for good."""
        self._outputs.forget_hooks()

    def step_ended(self) -> None:
        """A recorded step has ended."""
        if self._functions is not None:
            self._functions.step_ended()
