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
from gradlab.recording.device_parameters import GRADIENT, LARGE, DeviceParameters, is_zero
from gradlab.recording.devices import Devices
from gradlab.recording.guard import Guard
from gradlab.recording.hooks import Hook
from gradlab.recording.modules import RecordedModule
from gradlab.recording.parameter_rows import ParameterRows
from gradlab.recording.parameter_sums import ABSENT, KNOWN, OF_PARAMETERS, UNKNOWN, ParameterSums, ShardSums
from gradlab.recording.python_hooks import Current
from gradlab.recording.shards import Held, Shards, is_distributed_tensor
from gradlab.recording.structure import is_lazy
from gradlab.recording.torch_private_sharding import is_flat
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
        self._shards = Shards(model)
        self._optimizers = optimizers
        self._guard = guard
        self._unread: list[nn.Parameter] = []
        shown = {weight for module in modules for weight in module.weights}
        names = {parameter: name for name, parameter in self._shards.named_parameters().items()}
        by_device: dict[torch.device, list[nn.Parameter]] = {}
        for parameter in names:
            by_device.setdefault(parameter.device, []).append(parameter)
        self._owners = self._find_owners()
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
        stand_ins = self._shards.stand_ins()
        self._rows = ParameterRows(model, modules, list(self._number), stand_ins, makes_rows=makes_rows)
        self._held = Held(list(self._number), self._shards)
        self._owned: dict[tuple[int, int], Owned] = {}
        self._without_owner: Owned | None = None

    def _is_readable(self, name: str, parameter: nn.Parameter) -> bool:
        """Whether a parameter can be read; says so where it cannot, and that is not because it is empty or lazy."""
        if is_flat(parameter):
            self._unread.append(parameter)
            self._guard.warn(
                "gradlab cannot tell the parameters apart that FullyShardedDataParallel has joined. Their numbers are "
                "null; those of outputs, δ and the loss are not. With use_orig_params=True it can, and those of "
                "fully_shard (FSDP2).",
                once_for="flat parameters",
            )
            return False
        if is_distributed_tensor(parameter) and not self._shards.manages(parameter):
            self._unread.append(parameter)
            self._guard.warn(
                f"gradlab cannot read parameters like {name!r}: they are distributed tensors, and not managed by "
                "fully_shard in the watched model. Their numbers are null, and what their modules compute may be.",
                once_for="distributed tensors",
            )
            return False
        try:
            if readable(parameter):
                return True
            reason = f"it is a {type(parameter).__name__}"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if not is_lazy(parameter) and parameter.requires_grad and parameter.numel():
            self._unread.append(parameter)
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
            if every:
                device.forget_gradients()  # those that are there now are read, and no others are there
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
        gradients = (parameter.grad for parameter in self._unread)
        return (
            all(device.gradients_are_gone() for device in self.devices)
            and all(gradient is None or is_zero(gradient) for gradient in gradients)
            and not self._shards.hold_gradients()
        )

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
    ) -> tuple[ParameterSums, ShardSums | None, Sequence[int]]:
        """What statistics of parameters are made of, module by module.

        Args:
            sums: (parameters, `PARAMETER_SUMS`) of each device, in their order.
            has_gradient: which parameters had a gradient, device by device.
            has_weight: of which of them Σ w² is known.
            ran: the modules that have computed something in the step, in that order.
            modules: how many modules are recorded by now.

        Returns:
            The sums of each module, of the parameters that this rank has whole; those of shards, None where there are
            none; and the modules that get a row though they have not computed anything.
        """
        sums_PG = np.concatenate([*sums, np.zeros((0, len(PARAMETER_SUMS)))])
        sums_PG[:, CHANGE] /= self._shares
        rows_P, silent = self._rows.assign(ran, has_gradient)

        def of(part_P: Flags | None) -> ParameterSums:
            return self._sums_of(part_P, sums_PG, has_gradient, has_weight, rows_P, modules)

        held = self._held
        if not held.is_sharded:
            return of(None), None, silent
        return of(~held.sharded_P), ShardSums(of(held.sharded_P), of(held.counted_P)), silent

    def _sums_of(
        self,
        part_P: Flags | None,
        sums_PG: Floats,
        has_gradient: Flags,
        has_weight: Flags,
        rows_P: NDArray[np.intp],
        modules: int,
    ) -> ParameterSums:
        """The sums of each module, of all parameters or of a part of them."""
        if part_P is not None:
            has_gradient = has_gradient & part_P
        sums_MG, weight_states, trained = self._members.total(sums_PG, has_gradient, has_weight, part_P, modules)
        in_row_P = has_gradient & (rows_P >= 0)
        squares = np.bincount(rows_P[in_row_P], sums_PG[in_row_P, GRADIENT], minlength=modules).astype(np.float64)
        having = np.bincount(rows_P[in_row_P], minlength=modules) > 0
        return ParameterSums(
            {**dict(zip(PARAMETER_SUMS, sums_MG.T, strict=True)), "parameter_gradient_squares": squares},
            dict(zip(OF_PARAMETERS, (trained, weight_states, trained, having.view(np.int8)), strict=True)),
            float(sums_PG[has_gradient, GRADIENT].sum()) if not self._unread else None,
        )

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
        self, sums_PG: Floats, has_gradient: Flags, has_weight: Flags, part_P: Flags | None, modules: int
    ) -> tuple[Floats, NDArray[np.int8], NDArray[np.int8]]:
        """The sums of each module; the states of its weights; and the states of their gradients."""
        if modules != self.count:
            self._sizes = np.pad(self._sizes, (0, modules - self.count))
            self.count = modules
        sums_MG = np.zeros((self.count, sums_PG.shape[1]))
        sizes_M = self._sizes
        if part_P is not None:
            sums_PG, has_weight = sums_PG * part_P[:, None], has_weight & part_P
            sizes_M = np.bincount(self._modules, part_P[self._numbers], minlength=self.count)
        if self._one_each:
            known_M, trained_M = np.zeros(self.count, dtype=bool), np.zeros(self.count, dtype=bool)
            sums_MG[self._modules] = sums_PG[self._numbers]
            known_M[self._modules] = has_weight[self._numbers]
            trained_M[self._modules] = has_gradient[self._numbers]
        else:
            np.add.at(sums_MG, self._modules, sums_PG[self._numbers])
            known_M = np.bincount(self._modules, has_weight[self._numbers], minlength=self.count) == sizes_M
            trained_M = np.bincount(self._modules, has_gradient[self._numbers], minlength=self.count) > 0
        states_M = np.where(sizes_M > 0, np.where(known_M, KNOWN, UNKNOWN), ABSENT).astype(np.int8)
        return sums_MG, states_M, trained_M.view(np.int8)
