"""The recorded modules and functions, and their layer numbers.

The first weight layer that computes something has number 0, each further one has one more. The order is that of the
first recorded step, not that in which a model registers its modules: a shortcut that is defined last may run first.
What computes something for the first time later comes last.
"""

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from gradlab.networks.activations import Intervals
from gradlab.recording.modules import RecordedModule


class Numbering:
    """Numbers and kinds of what is recorded of a model.

    Args:
        model: the model.
        modules: its recorded modules. Functions that modules call are added when they are first called.
        owner_of: tells the optimizer that updates a module, by number.

    Attributes:
        owners: the optimizer of each of the modules; None where there is none, or are several.
        order: the modules that have computed something, in that order.
    """

    def __init__(
        self, model: nn.Module, modules: Sequence[RecordedModule], owner_of: Callable[[nn.Module], int | None]
    ) -> None:
        self._model = model
        self._owner_of = owner_of
        self.modules = list(modules)
        self.owners = [owner_of(module.module) for module in modules]
        self.order: dict[int, None] = {}
        self._index = {module.module: index for index, module in enumerate(modules)}
        self._functions: dict[tuple[nn.Module, str], int] = {}
        self._activations: set[int] = set()
        self._numbered: dict[int, tuple[int, str]] = {}

    def saw(self, index: int) -> None:
        """A module has computed something."""
        self.order.setdefault(index)

    def activation_itself(self, caller: nn.Module) -> int | None:
        """The index of a module that calls an activation function, if it is one: without parameters and parts."""
        index = self._index.get(caller)
        if index is None or self.modules[index].kind != "other":
            return None
        if index not in self._activations:
            self._activations.add(index)
            self._numbered = {}
        return index

    def of_function(self, caller: nn.Module, name: str, saturation: Intervals | None) -> int:
        """The index of a function that a module calls."""
        key = caller, name
        if key not in self._functions:
            path = next((path for path, part in self._model.named_modules() if part is caller), "")
            self._functions[key] = len(self.modules)
            self.modules.append(
                RecordedModule(f"{path}:{name}", "activation", caller, (), saturation, is_function=True)
            )
            self.owners.append(self._owner_of(caller))
        return self._functions[key]

    def layers(self) -> Mapping[int, tuple[int, str]]:
        """Layer number and kind of each module that ever computed something, in order.

        Norms, activations and all else carry the number of the weight layer before them; the last weight layer of
        several is the output.
        """
        if len(self._numbered) != len(self.order):
            weights = [index for index in self.order if self.modules[index].kind == "weight"]
            output = weights[-1] if len(weights) > 1 else None
            layer = -1
            self._numbered = {}
            for index in self.order:
                kind = "activation" if index in self._activations else self.modules[index].kind
                layer += kind == "weight"
                self._numbered[index] = max(layer, 0), "output" if index == output else kind
        return self._numbered
