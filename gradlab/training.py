"""The training loop, readable on one screen.

`train` is a generator: it does a step and hands it out. Whoever consumes it writes, shows and stops.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import LBFGS, Optimizer

from gradlab.choices import Choice
from gradlab.config import Config
from gradlab.datasets import Dataset
from gradlab.datasets.dataset import Samples
from gradlab.networks.evaluation import CHUNK, batch_statistics, samples_at_once
from gradlab.seeding import stream

ENTRIES = 2**20
"""Entries of samples that are no rows, such as images, that go through the network at once in an evaluation."""


@dataclass(frozen=True)
class Split:
    """One split on the device: x (samples, …), y class numbers (samples, …) or numbers to predict (samples, outputs).

    Training that need not see a sample twice has `draw`: a batch's number and size ─► its x and y.
    """

    x: Tensor
    y: Tensor
    draw: Callable[[int, int], tuple[Tensor, Tensor]] | None = None

    @property
    def at_once(self) -> int:
        """Samples that go through the network at once in an evaluation: fewer where they are large."""
        return max(1, min(CHUNK, ENTRIES // max(1, self.x[0].numel()))) if self.x.ndim > 2 else CHUNK

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Data:
    """Both splits on the device."""

    train: Split
    test: Split

    @classmethod
    def on(cls, device: torch.device, dtype: torch.dtype, dataset: Dataset) -> "Data":
        """Move a dataset to where the network is."""

        def tensors(samples: Samples) -> tuple[Tensor, Tensor]:
            return of(samples.x), of(samples.y)

        def of(numbers: NDArray[Any]) -> Tensor:
            whole = numbers.dtype.kind == "i"
            return torch.tensor(numbers, dtype=torch.int64 if whole else dtype, device=device)

        draw = dataset.draw
        return cls(
            Split(
                *tensors(dataset.train),
                draw=None if draw is None else lambda number, size: tensors(draw(number, size)),
            ),
            Split(*tensors(dataset.test)),
        )


Evaluation = dict[str, float | None]
"""The mean loss over a split; and its accuracy, None where numbers are predicted."""


@dataclass(frozen=True)
class Step:
    """One finished step.

    Attributes:
        step: its number, from 0.
        epoch: the epoch it belongs to, from 0.
        loss: mean over its batch, before the update.
        learning_rate: that of its update.
    """

    step: int
    epoch: int
    loss: float
    learning_rate: float


def _cross_entropy(output: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Mean over the samples, or over the positions of all samples, or the sum over the samples of their means."""
    if y.ndim == 1:
        return functional.cross_entropy(output, y, reduction=reduction)
    loss = functional.cross_entropy(output.flatten(0, -2), y.flatten(), reduction=reduction)
    return loss if reduction == "mean" else loss * len(y) / y.numel()


def _squared_error(output: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Mean over the outputs of the squared difference; over the samples the mean or the sum.

    The target is a number for each output; of classes, a one-hot vector.
    """
    target = y.reshape(output.shape) if y.is_floating_point() else functional.one_hot(y, output.shape[-1]).to(output)
    loss = functional.mse_loss(output, target, reduction=reduction)
    return loss if reduction == "mean" else loss / (output.numel() // len(output))


LOSSES: Mapping[str, Callable[..., Tensor]] = {"cross_entropy": _cross_entropy, "mse": _squared_error}
"""Outputs, targets and a reduction ─► the loss. Outputs are (samples, …, classes) for class numbers (samples, …), and
(samples, outputs) for numbers of that shape; with one output, (samples,) will do."""


def checked_loss(name: str, output: object, *, y: Tensor, classes: int) -> Tensor:
    """The loss of what somebody's network has returned.

    Args:
        name: a key of `LOSSES`.
        output: what the network has returned for a batch.
        y: the targets of the batch.
        classes: how many classes there are, or numbers to predict.

    Raises:
        ValueError: the loss cannot be computed of it.
    """
    if not isinstance(output, Tensor):
        raise ValueError(f"the module returns {type(output).__name__}; the loss needs one tensor")
    numbers = y.is_floating_point()
    shape = tuple(y.shape) if numbers else (*y.shape, classes)
    fitting = [shape, shape[:-1]] if numbers and classes == 1 else [shape]
    if tuple(output.shape) not in fitting or not output.is_floating_point():
        raise ValueError(
            f"the module returns a tensor of shape {tuple(output.shape)}, {output.dtype}; the loss needs numbers of "
            f"the shape {shape}, one for each {'number to predict' if numbers else 'class'}"
        )
    return LOSSES[name](output, y)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Whole batches in an epoch; the incomplete last one is dropped, so that all steps average over equally many."""
    return max(1, samples // batch_size)


def total_steps(config: Config, samples: int) -> int:
    """Steps of a run on a training split of `samples`."""
    if config.train.epochs is not None:
        return config.train.epochs * steps_per_epoch(samples, config.data.samples_per_step(samples))
    assert config.train.steps is not None  # the config's validator sees to it
    return config.train.steps


def build_optimizers(model: nn.Module, choice: Choice, learning_rate: float) -> list[Optimizer]:
    """The configured optimizer; for Muon, which takes matrices only, AdamW for all other parameters beside it."""
    options: dict[str, Any] = choice.model_dump(exclude={"name"})
    optimizer: Callable[..., Optimizer] = getattr(torch.optim, type(choice).__name__)
    parameters = list(model.parameters())
    if choice.name != "muon":
        return [optimizer(parameters, lr=learning_rate, **options)]
    matrices = [parameter for parameter in parameters if parameter.ndim == 2]
    others = [parameter for parameter in parameters if parameter.ndim != 2]
    return [optimizer(matrices, lr=learning_rate, **options), torch.optim.AdamW(others, lr=learning_rate)]


def batches(split: Split, batch_size: int | Literal["full"], seed: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Endless `(epoch, x, y)` batches from the seed alone: new samples, or a permutation of the split an epoch.

    Args:
        split: what is trained on.
        batch_size: samples of a batch; where it is the full split, no order is drawn, and all steps add up alike.
        seed: the config's.
    """
    size = len(split) if batch_size == "full" else min(batch_size, len(split))
    if split.draw is not None:
        for number in count():
            yield number // steps_per_epoch(len(split), size), *split.draw(number, size)
    generator = torch.Generator().manual_seed(stream(seed, "order"))
    epoch = 0
    while batch_size == "full":
        yield epoch, split.x, split.y
        epoch += 1
    while True:
        order = torch.randperm(len(split), generator=generator).to(split.x.device)
        for index in order.split(size)[: len(split) // size]:
            yield epoch, split.x[index], split.y[index]
        epoch += 1


def train(model: nn.Module, optimizers: list[Optimizer], data: Data, config: Config) -> Iterator[Step]:
    """Train for ever, a step at a time; the learning rate's schedule is that of a run as long as the config says.

    Args:
        model: in training mode, on the data's device.
        optimizers: step in their order.
        data: both splits.
        config: batch size, seed, loss, schedule and clipping.

    Yields:
        each step when it is done; whatever is not finite in it is the consumer's to judge.
    """
    clip, loss_of, schedule = config.train.clip_gradient_norm, LOSSES[config.train.loss], config.train.schedule
    steps, rate = total_steps(config, len(data.train)), config.train.learning_rate

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss: Tensor = loss_of(model(x), y)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        return loss

    for step, (epoch, x, y) in enumerate(batches(data.train, config.data.batch_size, config.seed)):
        factor = schedule.factor(step, steps)
        for optimizer in optimizers if factor != 1 or step else ():
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        loss = gradient(x, y)
        for optimizer in optimizers:
            if isinstance(optimizer, LBFGS):
                optimizer.step(_after(loss, partial(gradient, x, y)))
            else:
                optimizer.step()
        yield Step(step, epoch, loss.item(), rate * factor)


def _after(loss: Tensor, evaluate: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """A closure for LBFGS that does not repeat the evaluation which has just been done, and recorded."""
    first = [loss]
    return lambda: first.pop() if first else evaluate()


def evaluate(model: nn.Module, split: Split, loss: str = "cross_entropy") -> Evaluation:
    """Mean loss and accuracy over a split, in evaluation mode; where numbers are predicted, no accuracy.

    Args:
        model: the network.
        split: on the network's device.
        loss: a key of `LOSSES`.
    """
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _evaluate(model, split, loss)
    finally:
        model.train(mode)


def evaluate_with_batch_statistics(model: nn.Module, split: Split, loss: str = "cross_entropy") -> Evaluation:
    """The same with the statistics of the split itself in place of BatchNorm's running ones; leaves no trace."""
    with batch_statistics(model):
        return _evaluate(model, split, loss)


def _evaluate(model: nn.Module, split: Split, name: str) -> Evaluation:
    loss = torch.zeros((), dtype=torch.float64)
    correct = torch.zeros((), dtype=torch.int64)
    numbers = split.y.is_floating_point()
    chunks = -(-len(split) // min(samples_at_once(model), split.at_once))
    for x, y in zip(split.x.tensor_split(chunks), split.y.tensor_split(chunks), strict=True):
        output = model(x)
        loss += LOSSES[name](output, y, reduction="sum").cpu()
        if not numbers:
            correct += (output.argmax(-1) == y).sum().cpu()
    return {"loss": float(loss) / len(split), "accuracy": None if numbers else float(correct) / split.y.numel()}
