"""Train one network of the diagnosis benchmark and write down what rules, other tools and labels need.

gradlab's recorder watches a loop of this file's own, because gradlab always averages the loss over the batch and this
benchmark must not. What other tools look at and gradlab does not record is taken here, from the tensors themselves:
mean |∂W| of each weight layer in every step, its share of exact zeros, the variance of the weights, and the units.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
import torch
from diagnosis_grid import Case
from torch import Tensor, nn
from torch.nn import functional

from gradlab import datasets, theory, training
from gradlab.experiment import spread
from gradlab.networks.evaluation import batch_statistics
from gradlab.networks.mlp import build_mlp
from gradlab.recording.recorder import Recorder
from gradlab.tables import Tables, layers_frame, rows_frame

RECORDS = 25
"""Recorded steps of a run."""
FULL_PASSES = 5
EVALUATIONS = 6
SAMPLES = 512
"""Training samples on which the statistics of other tools are taken; dead units are counted on all."""


@dataclass(frozen=True)
class Units:
    """Hidden layers in a pass over the training split, a number a layer.

    Attributes:
        dead: share of units that are 0 on every sample.
        idle: share of units that are 0 on more than 99 % of the samples.
        non_positive: share of outputs ≤ 0.
        tiny: share of units whose 95th percentile of |x| is below 1e-5.
        flat: share of outputs at which |φ'| is below 1 % of its largest value, by autograd.
        beyond_5: share of pre-activations with |h| ≥ 5.
        beyond_range: the same outside SageMaker's range of the activation.
        rho: ρ_B of Rakitianskaia & Engelbrecht 2015 with ten bins, averaged over units.
        std: standard deviation of all outputs.
        distinct: variation from sample to sample relative to the size of the activations.
    """

    dead: tuple[float, ...]
    idle: tuple[float, ...]
    non_positive: tuple[float, ...]
    tiny: tuple[float, ...]
    flat: tuple[float, ...]
    beyond_5: tuple[float, ...]
    beyond_range: tuple[float, ...]
    rho: tuple[float, ...]
    std: tuple[float, ...]
    distinct: tuple[float, ...]


@dataclass(frozen=True)
class Trace:
    """What other tools look at; T steps, L weight layers with the output layer.

    Attributes:
        activation: name of the activation function.
        gradient_mean_TL: mean |∂W|.
        gradient_norm_TL: ‖∂W‖.
        gradient_zeros_TL: share of exact zeros in ∂W.
        weight_norm_TL: ‖W‖.
        weight_variance_TL: variance of W.
        learning_rate: as the optimizer had it.
        losses: mean cross-entropy of each step's batch.
        accuracy: training accuracy at the end.
        units: at the start and at the end.
    """

    activation: str
    gradient_mean_TL: np.ndarray
    gradient_norm_TL: np.ndarray
    gradient_zeros_TL: np.ndarray
    weight_norm_TL: np.ndarray
    weight_variance_TL: np.ndarray
    learning_rate: float
    losses: tuple[float, ...]
    accuracy: float
    units: tuple[Units, Units]


@dataclass(frozen=True)
class Trained:
    """A trained network: what the rules see, what other tools see, and what it is labelled by.

    Attributes:
        tables: for the rules.
        trace: for other tools.
        prediction: of theory, for the network that was really built.
        accuracy: best training accuracy in any evaluation.
        last_accuracy: median of the last three, by running or by batch statistics, whichever is better.
        test_gap: test accuracy at the end with the statistics of the split, minus that with running ones.
        chance: share of the most frequent class.
        samples: size of the training split.
        underflowed: whether some weight gradient of step 0 is all zero in float32 and not in float64.
    """

    tables: Tables
    trace: Trace
    prediction: theory.Prediction
    accuracy: float
    last_accuracy: float
    test_gap: float
    chance: float
    samples: int
    underflowed: bool


def train(case: Case) -> Trained:
    """Train a case's network for its steps, or until the loss is not finite."""
    config = case.config
    dataset = datasets.load(config.data, config.seed)
    data = training.Data.on(torch.device("cpu"), torch.float32, dataset)
    batches = training.batches(data.train, config.data.batch_size, config.seed)
    built = config.model_copy(
        update={"model": config.model.model_validate({**config.model.model_dump(), **dict(case.built)})}
    )
    model = build_mlp(
        built.model,
        features=dataset.features,
        classes=dataset.classes,
        seed=config.seed,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    told = theory.predict_on(config, dataset)
    divisor = case.scale * (config.data.batch_size if case.reduction == "sum" else 1)
    learning_rate = config.train.learning_rate / divisor
    optimizers = training.build_optimizers(model, config.train.optimizer, learning_rate)

    start, underflowed = look(model, data.train.x), _underflows(model, case, *next(batches)[1:])
    diary = _Diary()
    status = _loop(case, model, optimizers, data, diary)
    final = training.evaluate(model, data.test)["accuracy"]
    tables = Tables(
        layers=layers_frame([record.rows for record in diary.records]),
        steps=rows_frame("steps", diary.steps),
        evaluations=rows_frame("evaluations", diary.evaluations),
        theory=rows_frame("theory", told.rows()),
        config=config,
        status=status,
    )
    accuracies = [row["accuracy"] for row in diary.evaluations if row["split"] != "test"]
    trace = Trace(
        str(built.model.activation.name),
        *(np.array(column) for column in zip(*diary.weights, strict=True)),
        learning_rate=learning_rate,
        losses=tuple(row["loss"] for row in diary.steps),
        accuracy=accuracies[-1],
        units=(start, look(model, data.train.x)),
    )
    return Trained(
        tables,
        trace,
        theory.predict_on(built, dataset),
        accuracy=max(accuracies[1:]),
        last_accuracy=max(_last(diary.evaluations, split) for split in ("train", "train_batch_statistics")),
        test_gap=training.evaluate_with_batch_statistics(model, data.test)["accuracy"] - final,
        chance=float(np.bincount(dataset.train.y).max() / len(dataset.train.y)),
        samples=len(dataset.train.y),
        underflowed=underflowed,
    )


def _last(evaluations: Sequence[dict], split: str) -> float:
    """Median accuracy of the last three evaluations of a split; 0 without any."""
    accuracies = [row["accuracy"] for row in evaluations if row["split"] == split]
    return float(np.median(accuracies[-3:])) if accuracies else 0.0


@dataclass
class _Diary:
    """What a loop writes down."""

    records: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    evaluations: list = field(default_factory=list)
    weights: list = field(default_factory=list)


def _loop(case: Case, model: nn.Module, optimizers: Sequence, data: training.Data, diary: _Diary) -> str:
    config = case.config
    steps = config.train.steps
    recorded, passes, evaluated = spread(RECORDS, steps), spread(FULL_PASSES, steps), spread(EVALUATIONS, steps + 1)
    recorder = Recorder(
        model,
        optimizers,
        emit=diary.records.append,
        records=lambda step: step in recorded or step in passes,
    )
    batches = training.batches(data.train, config.data.batch_size, config.seed)
    status = "completed"
    with recorder:
        for step, (epoch, x, y) in zip(range(steps), batches, strict=False):
            if step in evaluated:
                _evaluate(config, model, data, step, diary)
            if step in passes:
                recorder.look_at_units(data.train.x)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y, reduction=case.reduction)
            (loss * case.scale).backward()
            diary.weights.append(_weights(model))
            for optimizer in optimizers:
                optimizer.step()
            mean = loss.item() / (len(y) if case.reduction == "sum" else 1)
            diary.steps.append(
                {"step": step, "epoch": epoch, "loss": mean, "learning_rate": config.train.learning_rate}
            )
            if not isfinite(mean):
                status = "diverged"
                break
    _evaluate(config, model, data, step + 1, diary)
    return status


def _evaluate(config, model: nn.Module, data: training.Data, step: int, diary: _Diary) -> None:
    splits = {"train": training.evaluate(model, data.train)}
    if config.model.normalization.where != "none":
        splits["train_batch_statistics"] = training.evaluate_with_batch_statistics(model, data.train)
    for split, numbers in splits.items():
        diary.evaluations.append({"step": step, "split": split, **numbers})


def _weights(model: nn.Module) -> tuple[list[float], ...]:
    """Mean |∂W|, ‖∂W‖, share of zeros in ∂W, ‖W‖ and variance of W, a list each over the weight layers."""
    linears = list(model.linears())
    with torch.no_grad():
        rows = [
            torch.stack(
                [
                    linear.weight.grad.abs().mean(dtype=torch.float64),
                    linear.weight.grad.double().norm(),
                    (linear.weight.grad == 0).double().mean(),
                    linear.weight.double().norm(),
                    linear.weight.double().var(correction=0),
                ]
            )
            for linear in linears
        ]
    return tuple(torch.stack(rows, dim=1).tolist())


def _underflows(model: nn.Module, case: Case, x: Tensor, y: Tensor) -> bool:
    """Whether a weight gradient is all zero in float32 while its twin in float64 is not."""
    zeros = []
    for dtype in (torch.float32, torch.float64):
        twin = copy.deepcopy(model).to(dtype)
        loss = functional.cross_entropy(twin(x.to(dtype)), y, reduction=case.reduction)
        (loss * case.scale).backward()
        zeros.append([not bool(linear.weight.grad.any()) for linear in twin.linears()])
    return any(single and not double for single, double in zip(*zeros, strict=True))


# ------------------------------------------------------------------------------------------------------------- units

SAGEMAKER_RANGE = {"tanh": (-9.5, 9.5), "sigmoid": (-23.0, 17.0)}


def look(model: nn.Module, x: Tensor) -> Units:
    """Pass the training split through the network in training mode, without a trace, and look at each hidden layer."""
    rows: list[dict[str, float]] = []

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows.append(_layer(module, inputs[0].detach(), output.detach()))

    handles = [layer.activation.register_forward_hook(see) for layer in model.hidden]
    with batch_statistics(model):
        model(x)
    for handle in handles:
        handle.remove()
    return Units(**{name: tuple(row[name] for row in rows) for name in rows[0]})


def _layer(module: nn.Module, h_BN: Tensor, x_BN: Tensor) -> dict[str, float]:
    on_BN = x_BN != 0
    variation = x_BN.double().var(0, correction=0).mean().sqrt()
    distinct = variation / x_BN.double().square().mean().sqrt()
    few_h, few_x = h_BN[:SAMPLES], x_BN[:SAMPLES]
    low, high = SAGEMAKER_RANGE.get(type(module).__name__.lower(), (-np.inf, np.inf))
    shares = {
        "dead": ~on_BN.any(0),
        "idle": on_BN.double().mean(0) < 0.01,
        "non_positive": few_x <= 0,
        "tiny": few_x.abs().kthvalue(int(np.ceil(0.95 * len(few_x))), dim=0).values < 1e-5,
        "flat": _flat(module, few_h),
        "beyond_5": few_h.abs() >= 5,
        "beyond_range": (few_h < low) | (few_h > high),
    }
    return {
        **{name: share.double().mean().item() for name, share in shares.items()},
        "rho": _rho(few_x.double(), 0.0 if isinstance(module, nn.Sigmoid) else -1.0),
        "std": few_x.double().std(correction=0).item(),
        "distinct": distinct.item(),
    }


def _flat(module: nn.Module, h: Tensor) -> Tensor:
    """Where |φ'(h)| is below 1 % of its largest value."""
    if any(True for _ in module.parameters()):
        return torch.zeros(())
    grid = torch.linspace(-20, 20, 4001, dtype=torch.float64)
    return _slope(module, h.double()).abs() < 0.01 * _slope(module, grid).abs().max()


def _slope(module: nn.Module, h: Tensor) -> Tensor:
    with torch.enable_grad():
        h = h.clone().requires_grad_()
        (slope,) = torch.autograd.grad(type(module).forward(module, h).sum(), h)
    return slope


def _rho(x_BN: Tensor, low: float, bins: int = 10) -> float:
    """Σ_b |mean of bin b| · f_b / Σ f_b, outputs from `low` to 1 scaled to −1 … 1; mean over units.

    Only activations with these bounds are judged by it.
    """
    scaled = ((x_BN - low) / (1 - low) * 2 - 1).nan_to_num(0).clamp(-1, 1)
    index = ((scaled + 1) / 2 * bins).long().clamp(max=bins - 1)
    sums = torch.zeros(bins, x_BN.shape[1], dtype=torch.float64).scatter_add_(0, index, scaled)
    return float((sums.abs().sum(0) / len(x_BN)).mean())
