"""All parameters of a model: where they are, which optimizer updates them, which modules' rows they are in."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from gradlab.recording.dense import readable
from gradlab.recording.device_parameters import GRADIENT, LARGE, DeviceParameters
from gradlab.recording.devices import Devices
from gradlab.recording.guard import Guard
from gradlab.recording.hooks import Hook
from gradlab.recording.modules import RecordedModule
from gradlab.recording.parameter_rows import ParameterRows
from gradlab.recording.python_hooks import Current
from gradlab.recording.structure import is_lazy
from gradlab.recording.torch_private import bare_name
from gradlab.statistics import PARAMETER_SUMS, Flags, Floats

Owned = list[tuple[DeviceParameters, tuple[int, ...]]]
CHANGE = PARAMETER_SUMS.index("change_squares")


class Parameters:
    """The parameters of a model, on however many devices.

    Args:
        model: the model.
        modules: its recorded modules.
        optimizers: who updates it.
        devices: the devices.
        guard: what becomes of errors.
        makes_rows: see `ParameterRows`.

    Attributes:
        devices: the parameters by device.
    """

    def __init__(
        self,
        model: nn.Module,
        modules: Sequence[RecordedModule],
        optimizers: Sequence[Optimizer],
        devices: Devices,
        guard: Guard,
        *,
        makes_rows: bool,
    ) -> None:
        self._model = model
        self._optimizers = optimizers
        self._guard = guard
        shown = {weight for module in modules for weight in module.weights}
        by_device: dict[torch.device, list[nn.Parameter]] = {}
        for parameter in model.parameters():
            by_device.setdefault(parameter.device, []).append(parameter)
        self._owners = self._find_owners()
        names = {parameter: bare_name(name) for name, parameter in model.named_parameters()}
        self.devices = [
            DeviceParameters(
                devices[device],
                parameters,
                [self._is_readable(names[parameter], parameter) for parameter in parameters],
                [self._is_moved(parameter) for parameter in parameters],
                [parameter in shown for parameter in parameters],
                several_optimizers=len(optimizers) > 1,
            )
            for device, parameters in by_device.items()
        ]
        self._number: dict[nn.Parameter, tuple[DeviceParameters, int, int]] = {}
        for device in self.devices:
            for number, parameter in enumerate(device.weights.parameters):
                self._number[parameter] = device, number, len(self._number)
        self._members = _Members(modules, {weight: number for weight, (_, _, number) in self._number.items()})
        self._rows = ParameterRows(model, modules, list(self._number), makes_rows=makes_rows)
        self._owned: dict[tuple[int, int], Owned] = {}
        self._without_owner: Owned | None = None

    def _is_readable(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether a parameter can be read; says so where it cannot, and that is not because it is empty or lazy."""
        try:
            if readable(parameter):
                return True
            reason = f"it is a {type(parameter).__name__}"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if not is_lazy(parameter) and parameter.requires_grad and parameter.numel():
            self._guard.warn(f"gradlab cannot read the parameter {name!r}: {reason}. Its numbers are null.")
        return False

    def _is_moved(self, parameter: nn.Parameter) -> bool:
        """Whether a parameter may be updated. One that was frozen is, while its gradient is there, and by LBFGS."""
        owner = self._owners.get(parameter)
        return (
            parameter.requires_grad
            or (not is_lazy(parameter) and parameter.grad is not None)
            or (owner is not None and isinstance(self._optimizers[owner], LBFGS))
        )

    def begin_step(self) -> None:
        """A step begins."""
        for device in self.devices:
            device.begin_step()

    def is_read(self, parameter: nn.Parameter) -> bool:
        """Whether something is known of a parameter."""
        device, number, _ = self._number.get(parameter, (None, 0, 0))
        return device is not None and number in device.trainable

    def has(self, thing: Any) -> bool:
        """Whether something is one of the parameters."""
        return isinstance(thing, nn.Parameter) and thing in self._number

    # ------------------------------------------------------------------------------------------------------ gradients

    def read_gradients(self, *, every: bool) -> None:
        """A backward pass has ended: take the gradients of the small parameters, or of every one."""
        for device in self.devices:
            device.read_gradients(device.trainable if every else device.small)
            device.note_gradients()

    def read_changed_gradients(self, optimizer: int, scale: Tensor | float) -> None:
        """An optimizer begins: take those gradients that backward passes have not left as they are now."""
        for device, numbers in self.updated_by(optimizer):
            device.read_changed_gradients(numbers, scale)

    def read_gradient(self, parameter: nn.Parameter) -> None:
        """Take the gradient of one parameter."""
        found = self._number.get(parameter)
        if found is not None:
            found[0].read_gradient(found[1])

    def seen_squares(self) -> Tensor | float:
        """Σ g² of all gradients that were seen so far."""
        return sum(device.seen_squares().to("cpu", non_blocking=True) for device in self.devices)

    def forget_gradients(self) -> None:
        """The gradients that were seen are gone."""
        for device in self.devices:
            device.forget_gradients()

    def gradients_are_gone(self) -> bool:
        """Whether no gradient is left of those that the last backward pass has left."""
        return all(device.gradients_are_gone() for device in self.devices)

    def gradient_hooks(self, current: Current, on_gradient: Any, *, every: bool) -> Iterator[tuple[nn.Parameter, Any]]:
        """A hook for each large parameter, which takes its gradient when the gradient is there.

        Args:
            current: holds the step that is going on.
            on_gradient: what the hook calls that takes any gradient.
            every: a hook for every parameter, because no other hook will see a backward pass.
        """
        trained = {device.weights.parameters[number] for device in self.devices for number in device.trainable}
        for parameter, (device, number, _) in self._number.items():
            if parameter in trained and (every or parameter.numel() >= LARGE):
                hook = Hook(on_gradient, parameter, self._guard, "the gradient of a parameter")
                yield parameter, hook if every else device.gradient_hook(current, number, hook)

    # ------------------------------------------------------------------------------------------------------ optimizers

    def updated_by(self, optimizer: int) -> Owned:
        """The parameters that an optimizer updates, by device; groups may be added to it at any time."""
        key = optimizer, sum(len(group["params"]) for group in self._optimizers[optimizer].param_groups)
        if key not in self._owned:
            self._owners = self._find_owners()
            self._without_owner = None
            self._owned[key] = self._where(optimizer)
        return self._owned[key]

    def owner(self, parameter: nn.Parameter) -> int | None:
        """The optimizer that updates a parameter, if any does."""
        return self._owners.get(parameter)

    def owner_of(self, module: nn.Module) -> int | None:
        """The optimizer that updates a module, or else the smallest part of the model around it; None for several."""
        if len(self._optimizers) == 1:
            return 0
        around = [part for part in self._model.modules() if any(inner is module for inner in part.modules())]
        for part in sorted(around, key=lambda part: sum(1 for _ in part.modules())):
            owners = {self._owners[parameter] for parameter in part.parameters() if parameter in self._owners}
            if owners:
                return owners.pop() if len(owners) == 1 else None
        return None

    def read_without_owner(self) -> None:
        """A step has ended: read the weights that no optimizer updates."""
        if self._without_owner is None:
            self._without_owner = [(device, numbers) for device, numbers in self._where(None) if numbers]
        for device, numbers in self._without_owner:
            device.read_weights(numbers)

    def _where(self, optimizer: int | None) -> Owned:
        def numbers(device: DeviceParameters) -> tuple[int, ...]:
            return tuple(n for n in device.trainable if self._owners.get(device.weights.parameters[n]) == optimizer)

        return [(device, numbers(device)) for device in self.devices]

    def _find_owners(self) -> dict[nn.Parameter, int]:
        return {
            parameter: index
            for index, optimizer in enumerate(self._optimizers)
            for group in optimizer.param_groups
            for parameter in group["params"]
        }

    # ------------------------------------------------------------------------------------------------------ by module

    def by_module(
        self, sums: Sequence[Floats], has_gradient: Flags, has_weight: Flags, ran: tuple[int, ...], modules: int
    ) -> tuple[dict[str, Floats], dict[str, Flags], list[int]]:
        """What statistics of parameters are made of, module by module.

        Args:
            sums: (parameters, `PARAMETER_SUMS`) of each device, in their order.
            has_gradient: which parameters had a gradient, device by device.
            has_weight: of which of them Σ w² is known.
            ran: the modules that have computed something in the step, in that order.
            modules: how many modules are recorded by now.

        Returns:
            The sums of each module, by name; which modules have them; and the modules that get a row though they have
            not computed anything.
        """
        sums_PG = np.concatenate([*sums, np.zeros((0, len(PARAMETER_SUMS)))])
        sums_PG[:, CHANGE] /= self._shares
        sums_MG, weighted, trained = self._members.total(sums_PG, has_gradient, has_weight, modules)
        rows_P, silent = self._rows.assign(ran, has_gradient)
        in_row_P = has_gradient & (rows_P >= 0)
        squares = np.bincount(rows_P[in_row_P], sums_PG[in_row_P, GRADIENT], minlength=modules)
        having = np.bincount(rows_P[in_row_P], minlength=modules) > 0
        exists = {"gradient_squares": trained, "weight_squares": weighted, "change_squares": trained}
        return (
            {**dict(zip(PARAMETER_SUMS, sums_MG.T, strict=True)), "parameter_gradient_squares": squares},
            {**exists, "parameter_gradient_squares": having},
            silent,
        )

    def gradient_squares(self, sums: Sequence[Floats], has_gradient: Flags) -> float:
        """Σ g² of all parameters."""
        sums_PG = np.concatenate([*sums, np.zeros((0, len(PARAMETER_SUMS)))])
        return float(sums_PG[has_gradient, GRADIENT].sum())

    @functools.cached_property
    def _shares(self) -> NDArray[np.float64]:
        return np.concatenate([*(device.weights.sampled_share() for device in self.devices), np.zeros(0)])


class _Members:
    """Which parameters are the weights of which module."""

    def __init__(self, modules: Sequence[RecordedModule], numbers: dict[nn.Parameter, int]) -> None:
        self.count = len(modules)
        pairs = [
            (index, numbers[weight])
            for index, module in enumerate(modules)
            for weight in module.weights
            if weight in numbers
        ]
        self._modules, self._numbers = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        self._sizes = np.bincount(self._modules, minlength=self.count)
        self._one_each = self._sizes.max(initial=0) <= 1

    def total(
        self, sums_PG: Floats, has_gradient: Flags, has_weight: Flags, modules: int
    ) -> tuple[Floats, Flags, Flags]:
        """The sums of each module; which modules have weights, all of them known; and which have a gradient."""
        if modules != self.count:
            self._sizes = np.pad(self._sizes, (0, modules - self.count))
            self.count = modules
        sums_MG = np.zeros((self.count, sums_PG.shape[1]))
        if self._one_each:
            known_M, trained_M = np.zeros(self.count, dtype=bool), np.zeros(self.count, dtype=bool)
            sums_MG[self._modules] = sums_PG[self._numbers]
            known_M[self._modules] = has_weight[self._numbers]
            trained_M[self._modules] = has_gradient[self._numbers]
            return sums_MG, known_M, trained_M
        np.add.at(sums_MG, self._modules, sums_PG[self._numbers])
        known_M = np.bincount(self._modules, has_weight[self._numbers], minlength=self.count) == self._sizes
        trained_M = np.bincount(self._modules, has_gradient[self._numbers], minlength=self.count) > 0
        return sums_MG, (self._sizes > 0) & known_M, trained_M
