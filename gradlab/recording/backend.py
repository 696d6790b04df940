"""What takes the sums of tensors on one device: the interface that `plain.py` and `native/backend.py` implement.

A backend writes into tables (`SumTable`) that lie on the device. Nothing waits for the device.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from gradlab.networks.activations import Intervals
from gradlab.recording.hooks import OutputMethods
from gradlab.recording.modules import RecordedModule
from gradlab.recording.sum_table import SumTable
from gradlab.recording.weight_copies import WeightCopies


class Backend(Protocol):
    """Takes sums of tensors on one device."""

    @property
    def hooks(self) -> Any:
        """The module `gradlab.recording.python_hooks`, or the same in C."""

    def take_output(self, x: Tensor, h: Tensor | None, saturation: Intervals | None, table: SumTable, row: int) -> None:
        """Take the sums of an output, and of what entered.

        Args:
            x: the output.
            h: what entered, where the module is an activation.
            saturation: intervals of `h` in which it is saturated; None where that has no meaning.
            table: where to write, …
            row: … and into which row.
        """

    def take_squares(self, x: Tensor, table: SumTable, row: int, name: str) -> None:
        """Take the sum of squares of a dense tensor, as the sum `name` of a row."""

    def copy_weights(self, weights: WeightCopies, numbers: tuple[int, ...]) -> None:
        """Take Σ w² of the weights with these numbers, and copy them."""

    def compare_weights(self, weights: WeightCopies, numbers: tuple[int, ...]) -> Sequence[int]:
        """Take Σ (w − copy)²; returns the numbers of weights that no longer have the shape of their copy."""

    def histogram(self, x: Tensor) -> Tensor:
        """See `gradlab.recording.plain.histogram`."""

    def output_hook(
        self, current: Any, module: RecordedModule, methods: OutputMethods, *, has_own_outputs: bool
    ) -> Any:
        """A forward hook for a module.

        Args:
            current: holds the step that is going on.
            module: the module.
            methods: what the hook leaves to Python.
            has_own_outputs: whether it is known that the module does not just return what a module in it has returned.
                Until it is known, the hook leaves everything to `methods.on_output`; see `has_own_outputs` of the hook.
        """
