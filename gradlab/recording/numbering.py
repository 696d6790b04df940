"""The recorded modules and functions, and their layer numbers.

The first weight layer that computes something has number 0, each further one has one more. The order is that of the
first recorded step, not that in which a model registers its modules: a shortcut that is defined last may run first.
What computes something for the first time later comes last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

from torch import nn

from gradlab.networks.activations import Intervals
from gradlab.recording.modules import RecordedModule
from gradlab.recording.torch_private import bare_name


class Numbering:
    """Numbers and kinds of what is recorded of a model.

    Args:
        model: the model.
        modules: its recorded modules. Functions that modules call are added when they are first called.
        owner_of: tells the optimizer that updates a module, by number.

    Attributes:
        owners: the optimizer of each of the modules; None where there is none, or are several.
        names: their names, as they are now; another list when the model has changed.
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
        self._silent: dict[int, None] = {}
        self._place_of: dict[int, int] = {}
        self.names = [module.name for module in modules]
        self._activations: set[int] = set()
        self._numbered: dict[int, tuple[int, str]] = {}

    def renew(self, modules: Sequence[RecordedModule], owner_of: Callable[[nn.Module], int | None]) -> None:
        """Take up the modules of a model that has changed. Those that were there keep their numbers.

        Args:
            modules: the recorded modules that there are now.
            owner_of: tells the optimizer that updates a module, by number.
        """
        self._owner_of = owner_of
        present = {module.module for module in modules}
        gone: dict[str, int] = {}
        for index, module in enumerate(self.modules):
            if module.module not in present and not module.is_function:
                gone[module.name] = self._place_of.get(index, index)
                self._index.pop(module.module, None)
                self.modules[index] = replace(module, module=nn.Identity(), weights=())  # lets go of it
        for module in modules:
            index = self._index.setdefault(module.module, len(self.modules))
            if index < len(self.modules):
                self.modules[index] = module
                continue
            self.modules.append(module)
            if module.name in gone:
                self._place_of[index] = gone[module.name]
        self.owners[:] = [owner_of(module.module) for module in self.modules]
        self.names = [module.name for module in self.modules]
        self._numbered = {}

    def add_silent(self, indices: Sequence[int]) -> None:
        """Modules have rows though they have not computed anything."""
        if not self._silent.keys() >= set(indices):
            self._silent.update(dict.fromkeys(indices))
            self._numbered = {}

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
            path = next((bare_name(path) for path, part in self._model.named_modules() if part is caller), "")
            self._functions[key] = len(self.modules)
            self.modules.append(
                RecordedModule(f"{path}:{name}", "activation", caller, (), saturation, is_function=True)
            )
            self.names.append(self.modules[-1].name)
            self.owners.append(self._owner_of(caller))
        return self._functions[key]

    def unbounded(self) -> list[str]:
        """The activations that are flat on one side at most, such as ReLU, softplus and GELU, by name."""
        sides = {module.name: module.saturation for module in self.modules if module.saturation is not None}
        return [name for name, intervals in sides.items() if not any(high == inf for _, high in intervals)]

    def layers(self) -> Mapping[int, tuple[int, str]]:
        """Layer number and kind of each module that ever computed something, in order.

        Norms, activations and all else carry the number of the weight layer before them; the last weight layer of
        several is the output. What takes the place of a module, under its name, takes its number, too. What has a row
        but has not computed anything comes last.
        """
        if len(self._numbered) != len({**self.order, **self._silent}):
            place = {index: self._place_of.get(index, index) for index in self.order}
            weights = [place[index] for index in self.order if self.modules[index].kind == "weight"]
            numbers = {index: number for number, index in enumerate(dict.fromkeys(weights))}
            output = next(reversed(numbers)) if len(numbers) > 1 else None
            layer = 0
            self._numbered = {}
            for index in self.order:
                kind = "activation" if index in self._activations else self.modules[index].kind
                if kind == "weight":
                    layer = numbers[place[index]]
                self._numbered[index] = layer, "output" if kind == "weight" and place[index] == output else kind
            for index in self._silent:
                self._numbered.setdefault(index, (max(len(numbers) - 1, 0), "other"))
        return self._numbered
