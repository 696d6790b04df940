"""All parameters of a model: where they are, which optimizer updates them, which modules' rows they are in."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from gradlab.recording.hooks import Hook
from gradlab.recording.layout import Place
from gradlab.recording.state import State
from gradlab.recording.weights import CHANGE, Weights

Owned = list[tuple[Weights, tuple[int, ...]]]


class Parameters:
    """The parameters of a model, on however many devices.

    Args:
        model: the model.
        places: its recorded modules.
        optimizers: who updates it.
    """

    def __init__(self, model: nn.Module, places: Sequence[Place], optimizers: Sequence[Optimizer]) -> None:
        self._model = model
        self._optimizers = optimizers
        shown = {weight for place in places for weight in place.weights}
        by_device: dict[torch.device, list[nn.Parameter]] = {}
        for parameter in model.parameters():
            by_device.setdefault(parameter.device, []).append(parameter)
        self.devices = {
            device: Weights(
                device,
                parameters,
                [parameter.requires_grad and parameter in shown for parameter in parameters],
                apart=len(optimizers) > 1,
            )
            for device, parameters in by_device.items()
        }
        self._number: dict[nn.Parameter, tuple[Weights, int, int]] = {}
        for weights in self.devices.values():
            for index, parameter in enumerate(weights.parameters):
                self._number[parameter] = weights, index, len(self._number)
        self._pairs: tuple[int, NDArray[np.intp], NDArray[np.intp]] | None = None
        self._one_each = False
        self._owned: dict[tuple[int, int], Owned] = {}
        self._rest: Owned | None = None
        self._owners = self._find_owners()

    def __iter__(self) -> Iterator[nn.Parameter]:
        return iter(self._number)

    def forget(self) -> None:
        """A step begins."""
        for weights in self.devices.values():
            weights.forget()

    def read_gradients(self, *, small: bool) -> nn.Parameter | None:
        """Take the gradients of the small parameters, or of all; returns one that has a gradient."""
        for weights in self.devices.values():
            weights.gradients(weights.small if small else weights.trainable)
        found = (weights.with_gradient() for weights in self.devices.values())
        return next((parameter for parameter in found if parameter is not None), None)

    def gradient_hook(self, parameter: nn.Parameter, state: State, on_gradient: Hook) -> Any:
        """A hook that takes the gradient of one parameter when it is there."""
        weights, index, _ = self._number[parameter]
        return weights.gradient_hook(index, state, on_gradient)

    def read_gradient(self, parameter: nn.Parameter) -> None:
        """Take the gradient of one parameter."""
        weights, index, _ = self._number[parameter]
        weights.gradient(index)

    def updated_by(self, optimizer: int) -> Owned:
        """The parameters that an optimizer updates, by device; groups may be added to it at any time."""
        key = optimizer, sum(len(group["params"]) for group in self._optimizers[optimizer].param_groups)
        if key not in self._owned:
            self._owners = self._find_owners()
            self._rest = None
            self._owned[key] = self._where(optimizer)
        return self._owned[key]

    def owner(self, parameter: nn.Parameter) -> int | None:
        """The optimizer that updates a parameter, if any does."""
        return self._owners.get(parameter)

    def owner_of(self, module: nn.Module) -> int | None:
        """The optimizer that updates a module, or else the smallest part of the model around it; None for several."""
        if len(self._optimizers) == 1:
            return 0
        inside = [
            candidate for candidate in self._model.modules() if any(part is module for part in candidate.modules())
        ]
        for candidate in sorted(inside, key=lambda candidate: sum(1 for _ in candidate.modules())):
            owners = {self._owners[parameter] for parameter in candidate.parameters() if parameter in self._owners}
            if owners:
                return owners.pop() if len(owners) == 1 else None
        return None

    def keep_the_rest(self) -> None:
        """A step has ended: look at what no optimizer updates."""
        if self._rest is None:
            self._rest = [(weights, numbers) for weights, numbers in self._where(None) if numbers]
        for weights, numbers in self._rest:
            weights.look_at(numbers)

    def _where(self, optimizer: int | None) -> Owned:
        return [
            (
                weights,
                tuple(
                    i for i, p in enumerate(weights.parameters) if p.requires_grad and self._owners.get(p) == optimizer
                ),
            )
            for weights in self.devices.values()
        ]

    def _find_owners(self) -> dict[nn.Parameter, int]:
        return {
            parameter: index
            for index, optimizer in enumerate(self._optimizers)
            for group in optimizer.param_groups
            for parameter in group["params"]
        }

    def sums(
        self,
        buffers: Sequence[NDArray[np.float64]],
        has_gradient: NDArray[np.bool_],
        has_weight: NDArray[np.bool_],
        places: Sequence[Place],
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], float]:
        """What was read of every device, by module.

        Args:
            buffers: the buffer of each device, in their order.
            has_gradient: which parameters had a gradient, device by device.
            has_weight: which of them were looked at.
            places: the modules.

        Returns:
            sums of squares, (modules, 3); which modules have weights; which of them have gradients; Σ g² of all.
        """
        sums = np.concatenate([*buffers, np.zeros((0, 3))])
        sums[:, CHANGE] /= self._shares
        modules, numbers = self._members(places)
        count = len(places)
        by_module = np.zeros((count, 3))
        if self._one_each:
            by_module[modules] = sums[numbers]
            weighted, trained = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
            weighted[modules], trained[modules] = has_weight[numbers], has_gradient[numbers]
        else:
            np.add.at(by_module, modules, sums[numbers])
            members = np.bincount(modules, minlength=count)
            weighted = (members > 0) & (np.bincount(modules, has_weight[numbers], minlength=count) == members)
            trained = np.bincount(modules, has_gradient[numbers], minlength=count) > 0
        return by_module, weighted, trained, float(sums[has_gradient, 0].sum())

    @functools.cached_property
    def _shares(self) -> NDArray[np.float64]:
        return np.concatenate([*(w.sampled_share() for w in self.devices.values()), np.zeros(0)])

    def _members(self, places: Sequence[Place]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of a module and a parameter in its row, by their numbers."""
        if self._pairs is None or self._pairs[0] != len(places):
            pairs = [
                (index, self._number[weight][2])
                for index, place in enumerate(places)
                for weight in place.weights
                if weight in self._number
            ]
            modules, numbers = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
            self._pairs = len(places), modules, numbers
            self._one_each = len(set(modules.tolist())) == len(modules)
        return self._pairs[1:]
