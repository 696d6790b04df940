"""Config ─► run folder: the only place where data, network, recorder, training, theory and diagnosis meet."""

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from gradlab import datasets, interrupts, run_folder, theory, training, user_code
from gradlab.choices import MEASURED_TRAITS, PythonActivation
from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.environment import environment
from gradlab.errors import ConfigError, Problem, RunFolderError, RunInterrupted, UserError
from gradlab.memory import require_memory
from gradlab.networks import activations
from gradlab.networks.building import build
from gradlab.networks.random_state import own_random_state
from gradlab.recording.close_look import CloseLook
from gradlab.recording.recorder import Recorder
from gradlab.recording.step_record import StepRecord
from gradlab.results import Run, conclude, load_run
from gradlab.seeding import stream
from gradlab.views.progress import Live, live

EVALUATIONS = 11
"""Evaluations in a run, the first before the first step and the last after the last."""
WORTH_SHARING = 4_000_000
"""Multiplications in a matrix product from which on several threads help. Below, they wait for one another longer than
they compute; where other programs keep the cores busy, a hundred times longer."""


def run(
    source: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    runs: str | Path = "runs",
    rerun: bool = False,
    plots: bool = True,
    plot_format: Literal["png", "svg"] = "png",
    progress: bool = False,
    fit_threads: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> Run:
    """Train the configured network, record it, diagnose it, draw it, and return the finished run.

    A run that the folder `runs` already holds, completed or diverged, is returned as it is. The global random state is
    not touched, and the number of threads only if that is asked for.

    Args:
        source: a config file, a dict of the same form, or a Config.
        overrides: `["model.depth=50"]` or `{"model.depth": 50}`.
        runs: where run folders are.
        rerun: train again even if the run is there.
        plots: whether to draw the pictures.
        plot_format: `png` or `svg`.
        progress: show a progress bar, where there is a terminal.
        fit_threads: let layers that are too small to share run on one thread; for a process that does nothing else.
        notify: receives a line when something about the run should be said before it starts.

    Raises:
        ConfigError: the config is wrong; all its problems at once.
        DatasetError: the data cannot be read or does not fit.
        RunFolderError: the run folder cannot be written.
        RunBusyError: another process is writing this very run.
        RunInterrupted: Ctrl-C; carries the run as far as it went.
    """
    config = load_config(source, overrides)
    runs = Path(runs)
    path = run_folder.run_path(runs, config)
    if not rerun and _finished(path):
        notify(f"already done: {path} (--rerun trains it again)")
        return load_run(path)
    with own_random_state(stream(config.seed, "code")):  # the user's own code may draw from it
        return _run(config, runs, rerun, plots and plot_format, progress, fit_threads, notify)


def _run(
    config: Config,
    runs: Path,
    rerun: bool,
    plots: Literal["png", "svg", False],
    progress: bool,
    fit_threads: bool,
    notify: Callable[[str], None],
) -> Run:
    """Train and record a run, with global random states that may be moved."""
    experiment = _prepare(config)
    if fit_threads and _largest_product(experiment) < WORTH_SHARING:
        torch.set_num_threads(1)
    with run_folder.lock_run(runs, config) as writer:
        previous = writer.previous
        if previous is not None and not rerun:
            if previous.get("status", "damaged") in run_folder.FINISHED:  # by another process, while this one prepared
                return load_run(writer.path)
            notify(f"{writer.path}: an earlier attempt {_fate(previous['status'])}; starting afresh")
        writer.start(environment(experiment.device))
        writer.write_theory(experiment.prediction.rows())
        _train(experiment, writer, progress=progress)
        done = conclude(writer)
        if plots:
            done.save_plots(plots)
    if done.status == "interrupted":
        raise RunInterrupted(done)
    return done


def _finished(path: Path) -> bool:
    return run_folder.is_run(path) and run_folder.read_summary(path).get("status") in run_folder.FINISHED


def _fate(status: str) -> str:
    return {"running": "was cut off", "failed": "failed"}.get(status, f"was {status}")


# -------------------------------------------------------------------------------------------------------- preparation


@dataclass(frozen=True)
class _Experiment:
    """All that a run needs, checked, with nothing written yet."""

    config: Config
    device: torch.device
    data: training.Data
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    steps: int
    prediction: theory.Prediction


def _prepare(config: Config) -> _Experiment:
    device = _device(config)
    dtype = {"float32": torch.float32, "float64": torch.float64}[config.dtype]
    dataset = datasets.load(config.data, config.seed)
    _require_memory(config, device, dtype, dataset)
    data = training.Data.on(device, dtype, dataset)
    model = build(
        config.model,
        features=dataset.features,
        classes=dataset.classes,
        seed=config.seed,
        dtype=dtype,
        device=device,
        batch=next(training.batches(data.train, config.data.batch_size, config.seed))[1],
    )
    optimizers = training.build_optimizers(model, config.train.optimizer, config.train.learning_rate)
    steps = training.total_steps(config, len(data.train))
    return _Experiment(config, device, data, model, optimizers, steps, theory.predict_on(config, dataset))


def _largest_product(experiment: _Experiment) -> int:
    """Multiplications in the largest matrix product of a step."""
    batch = experiment.config.data.samples_per_step(len(experiment.data.train))
    return int(batch * max(parameter.numel() for parameter in experiment.model.parameters()))


def _require_memory(config: Config, device: torch.device, dtype: torch.dtype, dataset: datasets.Dataset) -> None:
    """Refuse a network whose weights, their gradients and the copies that updates are measured on cannot fit."""
    count = config.model.parameter_count(dataset.features, dataset.classes)
    if count is not None:
        there = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None
        what = f"model: a network of {count:,} weights"
        require_memory(2 * count * dtype.itemsize, what, fix="Make it less wide or less deep.", most=there)


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


# ----------------------------------------------------------------------------------------------------------- training


def spread(times: int, steps: int) -> frozenset[int]:
    """Up to `times` steps, evenly spread from the first, 0, to the last, `steps` − 1."""
    return frozenset(np.linspace(0, steps - 1, times).round().astype(int).tolist())


def _train(experiment: _Experiment, writer: run_folder.RunWriter, *, progress: bool) -> None:
    """Train to the end, to divergence or to Ctrl-C, and leave the run folder with all rows and a status."""
    begun = perf_counter()
    known = _known(experiment.config)
    totals = {"steps": 0, "step_seconds": 0.0, "record_seconds": 0.0}
    try:
        with live(experiment.steps, progress) as view, _own_output(experiment.config):
            status = _steps(experiment, writer, view, totals)
        _evaluate(experiment, writer, int(totals["steps"]))
    except KeyboardInterrupt:  # the second one: do not even end the step
        status = "interrupted"
    except Exception as error:
        with suppress(RunFolderError):  # a full disk would hide what went wrong first
            writer.write_summary({"status": "failed", **totals, **known, "traceback": traceback.format_exc()})
        if line := _line_of_own_code(error, experiment.config):
            fix = f"{writer.path / 'summary.json'} has the traceback."
            message = f"{line}: {type(error).__name__} in step {totals['steps']}: {error}"
            raise UserError(message, fix=fix) from error
        raise
    writer.flush()
    writer.write_summary({"status": status, **totals, **known, "seconds": perf_counter() - begun})


def _known(config: Config) -> dict[str, Any]:
    """What reading the run folder needs to know of the user's own functions, which reading never runs."""
    activation = config.model.hidden_activation
    if not isinstance(activation, PythonActivation):
        return {}
    traits = asdict(activations.traits(activation))
    return {"activation_traits": {name: traits[name] for name in MEASURED_TRAITS}}


def _own_output(config: Config) -> AbstractContextManager[object]:
    """What code of the user prints while it trains goes to the error stream, as the output may be read by a program."""
    return redirect_stdout(sys.stderr) if config.code else nullcontext()


def _line_of_own_code(error: BaseException, config: Config) -> str:
    """`file:line` of the innermost frame of an error that is in code which the config names; empty where none is."""
    lines = (user_code.line_in(error, reference) for reference in config.code)
    return next((line for line in lines if line), "")


def _steps(experiment: _Experiment, writer: run_folder.RunWriter, view: Live, totals: dict[str, float]) -> str:
    """The steps of a run; counts into `totals` and returns the status."""
    config, steps = experiment.config, experiment.steps
    full_passes, pictures = spread(config.record.dead_units, steps), spread(config.record.histograms, steps)
    always = {0, steps - 1} | full_passes | pictures
    evaluations = spread(EVALUATIONS, steps + 1)
    records: list[StepRecord] = []
    walks = 0
    recorder = Recorder(
        experiment.model,
        experiment.optimizers,
        emit=records.append,
        records=lambda step: step % config.record.every == 0 or step in always,
        histograms=lambda step: step in pictures,
        look=CloseLook(units=False),
    )
    loop = training.train(experiment.model, experiment.optimizers, experiment.data, config)
    with recorder, interrupts.first_one_remembered() as interrupted:
        for number in range(steps):
            if number in evaluations:
                _evaluate(experiment, writer, number)
            start = perf_counter()
            if number in full_passes:
                recorder.look_at_units(experiment.data.train.x)
            step = next(loop)
            seconds = perf_counter() - start
            record = records.pop() if records else None
            _append(writer, step, record, seconds)
            if recorder.walks > walks:
                walks = recorder.walks
                writer.write_modules(recorder.module_rows())
            view.update(step.step, step.loss, _delta_rms(record))
            totals["steps"] = number + 1
            totals["step_seconds"] += seconds
            totals["record_seconds"] += record.record_seconds if record else 0.0
            if not isfinite(step.loss):
                return "diverged"
            if interrupted.is_set():
                return "interrupted"
    return "completed"


def _append(writer: run_folder.RunWriter, step: training.Step, record: StepRecord | None, seconds: float) -> None:
    writer.append(
        "steps",
        {
            "step": step.step,
            "epoch": step.epoch,
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "gradient_norm": record.gradient_norm if record else None,
            "gradient_scale": record.gradient_scale if record else None,
            **(record.notes if record else {}),
            "step_seconds": seconds,
            "record_seconds": record.record_seconds if record else 0.0,
        },
    )
    if record:
        writer.append("layers", record.rows)
        for row in record.histograms:
            writer.append("histograms", row)


def _evaluate(experiment: _Experiment, writer: run_folder.RunWriter, step: int) -> None:
    model, data, loss = experiment.model, experiment.data, experiment.config.train.loss
    splits = {name: training.evaluate(model, getattr(data, name), loss) for name in ("train", "test")}
    normalization = experiment.config.model.hidden_normalization
    if normalization is not None and normalization.traits.uses_batch_statistics:
        splits["train_batch_statistics"] = training.evaluate_with_batch_statistics(model, data.train, loss)
    for split, numbers in splits.items():
        writer.append("evaluations", {"step": step, "split": split, **numbers})


def _delta_rms(record: StepRecord | None) -> list[float] | None:
    """RMS δ of the weight layers, first to last."""
    if record is None:
        return None
    rows = record.rows
    deltas = zip(rows.kind, rows.values("delta_rms"), strict=True)
    return [float(delta) for kind, delta in deltas if kind in ("weight", "output")]
