"""What other tools' thresholds say of a training that they could have watched.

Gradients and weights are taken from the tensors before each step, what concerns activations from hooks, the loss and
the inputs from gradlab's rows. The checks and where their numbers come from stand in `diagnosis_tools.py`; besides
those:

    UMLAUT        Schoop et al. 2021 and its heuristics: inputs outside of −1 … 1, a learning rate above 0.01 or below
                  1e-7, a loss that is NaN. A softmax that is missing is looked for in Keras models only.
    DeepLocalize  Wardat et al. 2021: NaN or infinity in a loss, a weight or a gradient

AutoTrainer's gate, an accuracy below 0.6, is open where the training reached less than it could: it is told so.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import diagnosis_tools as tools
import numpy as np
import torch
from diagnosis_runs import SAGEMAKER_RANGE, Trace, Units
from torch import Tensor, nn
from torch.optim import Optimizer

from gradlab.tables import Tables

SHARES = ("idle", "non_positive", "tiny", "beyond_5", "beyond_range")


class Watcher:
    """Collects what other tools look at, beside a watch.

    Args:
        model: the model.
        optimizers: what updates it.
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self._rows: dict[int, list[np.ndarray]] = defaultdict(list)
        self._units: dict[str, dict[str, float]] = {"ReLU": defaultdict(float), "Tanh": defaultdict(float)}
        self.rate = float(optimizers[0].param_groups[0]["lr"])
        self._handles = [
            each.register_step_pre_hook(lambda optimizer, *_, number=number: self._before_step(number, optimizer))
            for number, each in enumerate(optimizers)
        ]
        self._handles += [
            module.register_forward_hook(self._after_activation)
            for module in model.modules()
            if isinstance(module, nn.ReLU | nn.Tanh | nn.Sigmoid)
        ]

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    @torch.no_grad()
    def _before_step(self, number: int, optimizer: Optimizer) -> None:
        weights = [each for group in optimizer.param_groups for each in group["params"] if each.ndim > 1]
        self._rows[number].append(np.array([_of_weight(each) for each in weights]).T)

    @torch.no_grad()
    def _after_activation(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not isinstance(inputs[0], Tensor) or output.ndim < 2:
            return
        low, high = SAGEMAKER_RANGE.get(type(module).__name__.lower(), (-np.inf, np.inf))
        x_BN, h = output.detach().flatten(1).float(), inputs[0].float()
        shares = (
            ((x_BN != 0).float().mean(0) < 0.01).float().mean(),
            (x_BN <= 0).float().mean(),
            (x_BN.abs().quantile(0.95, dim=0) < 1e-5).float().mean(),
            (h.abs() >= 5).float().mean(),
            ((h < low) | (h > high)).float().mean(),
        )
        found = self._units["ReLU" if isinstance(module, nn.ReLU) else "Tanh"]
        for name, share in zip(SHARES, shares, strict=True):
            found[name] = max(found[name], float(share))

    def traces(self, losses: Sequence[float], accuracy: float) -> list[Trace]:
        """A trace for each optimizer and each kind of activation.

        Args:
            losses: of the steps.
            accuracy: of the trained network, or 0 and 1 for a training that failed and one that worked.
        """
        made = []
        for rows in self._rows.values():
            table_NTL = np.array([row for row in rows if row.shape == rows[0].shape]).transpose(1, 0, 2)
            with_gradient_L = ~np.isnan(table_NTL[1]).all(0)
            table_NTL = table_NTL[:, :, with_gradient_L]
            if not table_NTL.size:
                continue
            mean_TL, norm_TL, zeros_TL, weight_TL, variance_TL = table_NTL
            made += [
                Trace(
                    kind, mean_TL, norm_TL, zeros_TL, weight_TL, variance_TL, self.rate, tuple(losses), accuracy, units
                )
                for kind, units in (("relu", self._as_units("ReLU")), ("tanh", self._as_units("Tanh")))
            ]
        return made

    def _as_units(self, kind: str) -> tuple[Units, Units]:
        found = self._units[kind]
        known = {name: (found[name],) for name in SHARES}
        units = Units(dead=(0.0,), flat=(0.0,), rho=(0.0,), std=(1.0,), distinct=(1.0,), **known)
        return units, units


def _of_weight(weight: Tensor) -> tuple[float, ...]:
    """Mean |∂W|, ‖∂W‖ and its share of zeros, ‖W‖ and the variance of W; NaN without a gradient."""
    w = weight.detach().double()
    rest = float(w.norm()), float(w.var(correction=0))
    if weight.grad is None:
        return float("nan"), float("nan"), float("nan"), *rest
    g = weight.grad.double()
    return float(g.abs().mean()), float(g.norm()), float((g == 0).double().mean()), *rest


def alarms(traces: Iterable[Trace], tables: Iterable[Tables], rate: float) -> Mapping[str, set[str]]:
    """What each tool reports, by gradlab's names for the troubles.

    Args:
        traces: what was collected.
        tables: gradlab's tables of the same training.
        rate: the learning rate at the start.
    """
    with np.errstate(all="ignore"):
        found: dict[str, set[str]] = {tool: set() for tool in tools.TOOLS}
        not_finite = False
        for trace in traces:
            not_finite |= not np.isfinite([*trace.losses, *trace.weight_norm_TL.ravel()]).all()
            not_finite |= not np.isfinite(np.nan_to_num(trace.gradient_norm_TL, nan=0.0)).all()
            for tool, said in tools.verdicts(trace).items():
                found[tool] |= {rule for rule, fired in said.items() if fired}
    for said in found.values():
        if "exploding-gradient" in said and not_finite:
            said.add("diverged")
    found["DeepLocalize"] = {"diverged"} if not_finite else set()
    found["UMLAUT"] = _umlaut(tables, rate)
    return found


def _umlaut(all_tables: Iterable[Tables], rate: float) -> set[str]:
    said = {"learning-rate-too-high"} if rate > 0.01 else {"updates-too-small"} if rate < 1e-7 else set()
    for tables in all_tables:
        size = (tables.layers["input_mean"] ** 2 + tables.layers["input_std"] ** 2).drop_nulls().to_list()
        if any(square > 1 for square in size):  # then some entry is larger than 1 in size
            said.add("unscaled-inputs")
        if any(loss != loss for loss in tables.steps["loss"].drop_nulls()):
            said.add("diverged")
    return said
