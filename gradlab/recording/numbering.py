"""Layer numbers: 0 for the first weight layer that computes something, one more for each further one.

The order is that of the first recorded step, not that in which a model registers its modules: a shortcut that is
defined last may run first. What computes something for the first time later comes last.
"""

from collections.abc import Mapping, Sequence

from gradlab.recording.layout import Place


class Numbering:
    """Numbers and kinds of the modules of a model."""

    def __init__(self) -> None:
        self.order: dict[int, None] = {}
        self._activations: set[int] = set()
        self._numbered: dict[int, tuple[int, str]] = {}

    def saw(self, index: int) -> None:
        """A place has computed something."""
        self.order.setdefault(index)

    def is_activation_itself(self, places: Sequence[Place], index: int) -> bool:
        """Whether a module that calls an activation function is one: it has no parameters and no parts."""
        if places[index].kind != "other":
            return False
        if index not in self._activations:
            self._activations.add(index)
            self._numbered = {}
        return True

    def layers(self, places: Sequence[Place]) -> Mapping[int, tuple[int, str]]:
        """Layer number and kind of each place that ever computed something, in order.

        Norms, activations and all else carry the number of the weight layer before them; the last weight layer of
        several is the output.
        """
        if len(self._numbered) != len(self.order):
            weights = [index for index in self.order if places[index].kind == "weight"]
            output = weights[-1] if len(weights) > 1 else None
            layer = -1
            self._numbered = {}
            for index in self.order:
                kind = "activation" if index in self._activations else places[index].kind
                layer += kind == "weight"
                self._numbered[index] = max(layer, 0), "output" if index == output else kind
        return self._numbered
