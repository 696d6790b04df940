"""Config ─► data, network and optimizers on their device, checked before anything is written."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from gradlab import datasets, theory, training
from gradlab.choices import CNN, PythonModel
from gradlab.config import Config
from gradlab.errors import ConfigError, Problem
from gradlab.memory import require_memory
from gradlab.networks.building import build
from gradlab.networks.python import try_out


@dataclass(frozen=True)
class Experiment:
    """All that a run needs, checked, with nothing written yet."""

    config: Config
    device: torch.device
    data: training.Data
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    steps: int
    prediction: theory.Prediction

    @property
    def largest_product(self) -> int:
        """Multiplications in the largest matrix product of a step."""
        batch = self.config.data.samples_per_step(len(self.data.train))
        return int(batch * max(parameter.numel() for parameter in self.model.parameters()))


def prepare(config: Config) -> Experiment:
    """Make all that a run needs, and write nothing.

    Raises:
        ConfigError: this machine does not have the device.
        DatasetError: the data cannot be read or do not fit.
        UserError: the network does not fit into memory, or code of the user does not do what it should.
    """
    device = _device(config)
    dtype = {"float32": torch.float32, "float64": torch.float64}[config.dtype]
    dataset = datasets.load_for(config)
    shape = datasets.input_shape(config.model, config.data, dataset)
    _require_memory(config, device, dtype, dataset)
    data = training.Data.on(device, dtype, dataset)
    _, x, y = next(training.batches(data.train, config.data.batch_size, config.seed))
    model = build(
        config.model,
        features=shape,
        classes=dataset.classes,
        seed=config.seed,
        dtype=dtype,
        device=device,
        batch=x,
    )
    if isinstance(config.model, PythonModel):
        loss_of = partial(training.checked_loss, config.train.loss, y=y, classes=dataset.classes)
        try_out(model, config.model, x, loss_of)
    optimizers = training.build_optimizers(model, config.train.optimizer, config.train.learning_rate)
    steps = training.total_steps(config, len(data.train))
    return Experiment(config, device, data, model, optimizers, steps, theory.predict_on(config, dataset))


def _require_memory(config: Config, device: torch.device, dtype: torch.dtype, dataset: datasets.Dataset) -> None:
    """Refuse a network whose weights, their gradients and the copies that updates are measured on cannot fit."""
    features = dataset.features
    count = None if isinstance(features, tuple) else config.model.parameter_count(features, dataset.classes)
    there = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None
    if count is not None:
        what = f"model: a network of {count:,} weights"
        require_memory(2 * count * dtype.itemsize, what, fix="Make it less wide or less deep.", most=there)
    if isinstance(config.model, CNN) and dataset.image is not None:
        batch = config.data.samples_per_step(len(dataset.train.y))
        kept = 2 * batch * config.model.entries(*dataset.image[1:])
        what = f"model: what {config.model.depth} layers of maps put out for a batch of {batch}"
        fix = "Make it less wide or less deep, or the batch smaller."
        require_memory(kept * dtype.itemsize, what, fix=fix, most=there)


def _device(config: Config) -> torch.device:
    """The device of a config.

    Raises:
        ConfigError: this machine does not have it, or it cannot compute in the config's dtype.
    """
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(config.device)
    problem = None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        problem = f"device: {config.device} is not on this machine; it has {_cuda_devices()}"
    elif device.type == "mps" and not torch.backends.mps.is_available():
        problem = "device: mps is not on this machine"
    elif device.type == "mps" and config.dtype == "float64":
        problem = "dtype: mps has no float64"
    if problem is not None:
        raise ConfigError([Problem(problem)], fix="device=auto takes what there is.")
    return device


def _cuda_devices() -> str:
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ", ".join(names) or "no CUDA device"
