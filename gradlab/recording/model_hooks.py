"""All hooks on a model, placed and removed together."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from gradlab.recording.data_parallel import is_distributed
from gradlab.recording.evaluations import Evaluations, evaluated, is_evaluation
from gradlab.recording.functions import Functions
from gradlab.recording.gradients import Gradients
from gradlab.recording.hooks import Hook
from gradlab.recording.outputs import Outputs
from gradlab.recording.python_hooks import Current
from gradlab.recording.watched_model import WatchedModel


class ModelHooks:
    """The hooks that a recorded step needs.

    Args:
        watched: the model.
        current: holds the step that is going on.
        on_forward: called when the whole model is about to compute, with gradients.
        on_backward: called when a pass of autograd has begun.
    """

    def __init__(
        self,
        watched: WatchedModel,
        current: Current,
        on_forward: Callable[[], None],
        on_backward: Callable[[], None],
    ) -> None:
        self._watched = watched
        self._current = current
        self._on_forward = on_forward
        guard = watched.guard
        self._gradients = Gradients(current, watched, on_backward)
        self._outputs = Outputs(current, watched, self._gradients)
        self._functions = (
            Functions(watched.model, self._outputs.wants, self._outputs.on_function, guard)
            if watched.layers is None
            else None
        )
        self._evaluations = Evaluations(self._module_handles, guard)
        self._handles: list[RemovableHandle] = []
        self._parameter_handles: list[RemovableHandle] = []
        self._reduced = False

    @property
    def undecided(self) -> bool:
        """See `Outputs.undecided`."""
        return self._outputs.undecided

    @property
    def blind(self) -> bool:
        """Whether there are no hooks on modules: all are scripted, for example."""
        return self._outputs.blind

    def place(self) -> None:
        """Place the hooks, where they are not in place already."""
        if self._handles:
            if self._reduced != is_distributed():
                self._remove_from_parameters()
                self._place_on_parameters()
            return
        guard, model = self._watched.guard, self._watched.model
        self._outputs.place_hooks()
        if self._functions is not None:
            self._functions.start()
        for module in evaluated(model):
            hook = Hook(self._before, module is model, guard, "a forward pass of the model")
            self._handles.append(module.register_forward_pre_hook(hook))
        self._place_on_parameters()

    def _place_on_parameters(self) -> None:
        """Place those that take gradients as they come, where they are whole by then."""
        self._reduced = is_distributed()
        if self._reduced and not self.blind:
            return
        hooks = self._watched.parameters.gradient_hooks(self._current, self._gradients.on_gradient, every=self.blind)
        for parameter, hook in hooks:
            self._parameter_handles.append(parameter.register_post_accumulate_grad_hook(hook))

    def _before(self, whole: bool, module: nn.Module, inputs: Any) -> None:
        if is_evaluation():
            if not self._watched.has_wrappers:  # they warn of hooks for all modules, with which an end is waited for
                self._evaluations.begin(module)
        elif whole:
            self._on_forward()

    def _module_handles(self) -> Iterator[RemovableHandle]:
        functions = () if self._functions is None else self._functions.handles
        return chain(self._outputs.handles(), functions, self._handles)

    def remove(self) -> None:
        """Remove the hooks."""
        self._evaluations.remove()
        self._outputs.remove_hooks()
        if self._functions is not None:
            self._functions.stop()
        self._remove_from_parameters()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _remove_from_parameters(self) -> None:
        for handle in self._parameter_handles:
            handle.remove()
        self._parameter_handles.clear()

    def renew(self) -> None:
        """The model has changed while there are hooks on it: place those that are missing."""
        self._remove_from_parameters()
        self._outputs.remove_hooks()
        self._outputs.renew()
        self._outputs.place_hooks()
        self._place_on_parameters()
        if self._functions is not None:
            self._functions.renew()

    def forget(self) -> None:
        """Let go of the hooks, after they were removed for good."""
        self._outputs.forget_hooks()

    def step_ended(self) -> None:
        """A recorded step has ended."""
        if self._functions is not None:
            self._functions.step_ended()
