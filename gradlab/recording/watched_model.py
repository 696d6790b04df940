"""What is known of a model that is watched, made anew when the model changes."""

from collections.abc import Sequence

from torch import nn
from torch.optim import Optimizer

from gradlab.recording.data_parallel import DataParallel
from gradlab.recording.devices import CPU, Devices
from gradlab.recording.guard import Guard
from gradlab.recording.modules import compiled_modules, find_modules
from gradlab.recording.notes import modules_with_modes
from gradlab.recording.numbering import Numbering
from gradlab.recording.parameters import Parameters
from gradlab.recording.step_graph import StepGraph
from gradlab.recording.structure import Structure


class WatchedModel:
    """A model, its recorded modules and its parameters.

    Args:
        model: the model.
        optimizers: what updates it.
        layers: patterns of the names of the modules to record; by default all that compute something.
        guard: what becomes of errors.

    Attributes:
        devices: where tensors may be.
        numbering: the recorded modules.
        parameters: the parameters.
        structure: what the model is made of.
        graph: what the graphs of some steps say.
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
        self.model = model
        self.layers = layers
        self.guard = guard
        self.devices = Devices()
        self._optimizers = tuple(optimizers)
        modules = find_modules(model, layers)
        self.structure = Structure(model, self.devices[CPU].backend.hooks)
        self.data_parallel = DataParallel(model)
        self.numbering = Numbering(model, modules, lambda module: None)
        self.parameters = self._parameters()
        self.numbering.renew(modules, self.parameters.owner_of)
        self._say_what_is_compiled()
        self.with_modes = modules_with_modes(model)
        self.graph = StepGraph(model, optimizers, self.numbering)

    def renew(self) -> None:
        """The model has changed."""
        self.structure = Structure(self.model, self.devices[CPU].backend.hooks)
        self.data_parallel = DataParallel(self.model)
        modules = find_modules(self.model, self.layers)
        self.numbering.renew(modules, lambda module: None)
        self.parameters = self._parameters()
        self.numbering.renew(modules, self.parameters.owner_of)
        self._say_what_is_compiled()
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

    def _say_what_is_compiled(self) -> None:
        for name in sorted(set(compiled_modules(self.model).values())):
            what = f"the module {name!r}" if name else "the model"
            self.guard.warn(
                f"gradlab cannot see into {what}: it is compiled, and compiled code calls no hooks. Its outputs have "
                "no rows; its parameters do. The gradients without torch.compile are the same."
            )
