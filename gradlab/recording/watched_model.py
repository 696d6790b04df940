"""What is known of a model that is watched, made anew when the model changes."""

from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

from gradlab.recording.call_stack import is_called_compiled
from gradlab.recording.data_parallel import DataParallel
from gradlab.recording.devices import CPU, Devices
from gradlab.recording.eager import MESSAGE
from gradlab.recording.guard import Guard
from gradlab.recording.modules import find_modules
from gradlab.recording.notes import modules_with_modes
from gradlab.recording.numbering import Numbering
from gradlab.recording.parameters import Parameters
from gradlab.recording.shards import may_be_shard
from gradlab.recording.step import HistogramOf, Step
from gradlab.recording.step_graph import StepGraph
from gradlab.recording.structure import Structure
from gradlab.recording.torch_private import is_compiled, is_compiled_wrapper, without_wrapper


class WatchedModel:
    """A model, its recorded modules and its parameters.

    Args:
        model: the model; what `torch.compile` has put around it is left out.
        optimizers: what updates it.
        layers: patterns of the names of the modules to record; by default all that compute something.
        guard: what becomes of errors.

    Attributes:
        devices: where tensors may be.
        numbering: the recorded modules.
        parameters: the parameters.
        structure: what the model is made of.
        graph: what the graphs of some steps say.
        has_wrappers: whether `torch.compile` has put anything around a module inside it.
        data_parallel: what averages its gradients over ranks.
        with_modes: its modules that compute another thing in evaluation.

    Raises:
        UserError: no module has a name like that.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        layers: str | Sequence[str] | None,
        guard: Guard,
    ) -> None:
        model = self.model = without_wrapper(model)
        self.layers = layers
        self.guard = guard
        self.devices = Devices()
        self._optimizers = tuple(optimizers)
        modules = find_modules(model, layers)
        self.structure = Structure(model, self.devices[CPU].backend.hooks)
        self.data_parallel = DataParallel(model)
        self.has_wrappers = _has_wrappers(model)
        self.numbering = Numbering(model, modules, lambda module: None)
        self.parameters = self._parameters()
        self.numbering.renew(modules, self.parameters.owner_of)
        self.with_modes = modules_with_modes(model)
        self.graph = StepGraph(model, optimizers, self.numbering)

    def renew(self) -> None:
        """The model has changed."""
        self.structure = Structure(self.model, self.devices[CPU].backend.hooks)
        self.data_parallel = DataParallel(self.model)
        self.has_wrappers = _has_wrappers(self.model)
        modules = find_modules(self.model, self.layers)
        self.numbering.renew(modules, lambda module: None)
        self.parameters = self._parameters()
        self.numbering.renew(modules, self.parameters.owner_of)
        self.with_modes = modules_with_modes(self.model)

    def _parameters(self) -> Parameters:
        return Parameters(
            self.model,
            self.numbering.modules,
            self._optimizers,
            self.devices,
            self.guard,
            makes_rows=self.layers is None,
        )

    def take_histograms(self, step: Step, optimizer: int) -> None:
        """Take histograms of the first weight of each module, and of its gradient, as an optimizer is to use it."""
        for index, module in enumerate(self.numbering.modules):
            for weight in module.weights[:1]:
                if may_be_shard(weight):
                    continue  # a histogram of a shard tells nothing of the weight
                if step.parameters.owner(weight) == optimizer and step.parameters.is_read(weight):
                    device = self.devices[weight.device]
                    step.take_histogram(device, HistogramOf(index, "weight"), weight.detach())
                    if weight.grad is not None:
                        gradient = weight.grad.detach().to_dense()
                        step.take_histogram(device, HistogramOf(index, "weight_gradient"), gradient)

    def say_if_compiled(self) -> None:
        """Say, once, what becomes of torch.compile, if the model, a part of it or what calls it now is compiled."""
        if any(is_compiled(module) for module in self.model.modules()) or is_called_compiled():
            self.guard.warn(MESSAGE)


def _has_wrappers(model: nn.Module) -> bool:
    return any(is_compiled_wrapper(module) for module in model.modules())
