"""Config ─► run folder: the only place where data, network, recorder, training, theory and diagnosis meet."""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch

from gradlab import interrupts, run_folder, training, user_code
from gradlab.choices import MEASURED_TRAITS, PythonActivation, PythonModel
from gradlab.config import Config
from gradlab.config.files import load_config
from gradlab.environment import environment
from gradlab.errors import RunFolderError, RunInterrupted, UserError
from gradlab.networks import activations
from gradlab.networks.random_state import kept_random_state, own_random_state
from gradlab.preparation import Experiment, prepare
from gradlab.recording.close_look import CloseLook
from gradlab.recording.recorder import Recorder
from gradlab.recording.step_record import StepRecord
from gradlab.results import Run, conclude, load_run
from gradlab.seeding import stream
from gradlab.views import PlotFormat
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
    plot_format: PlotFormat = "png",
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
        plot_format: `png`, `svg` or `pdf`.
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
    plots: PlotFormat | Literal[False],
    progress: bool,
    fit_threads: bool,
    notify: Callable[[str], None],
) -> Run:
    """Train and record a run, with global random states that may be moved."""
    experiment = prepare(config)
    if fit_threads and experiment.largest_product < WORTH_SHARING:
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


# ----------------------------------------------------------------------------------------------------------- training


def spread(times: int, steps: int) -> frozenset[int]:
    """Up to `times` steps, evenly spread from the first, 0, to the last, `steps` − 1."""
    return frozenset(np.linspace(0, steps - 1, times).round().astype(int).tolist())


def _train(experiment: Experiment, writer: run_folder.RunWriter, *, progress: bool) -> None:
    """Train to the end, to divergence or to Ctrl-C, and leave the run folder with all rows and a status."""
    begun = perf_counter()
    known = _known(experiment.config)
    totals: dict[str, Any] = {"steps": 0, "step_seconds": 0.0, "record_seconds": 0.0}
    try:
        with live(experiment.steps, progress) as view, _own_output(experiment.config):
            status = _steps(experiment, writer, view, totals)
        _evaluate(experiment, writer, int(totals["steps"]))
    except KeyboardInterrupt:  # the second one: do not even end the step
        status = "interrupted"
    except (Exception, SystemExit) as error:  # code of the user may want to end the process
        with suppress(RunFolderError):  # a full disk would hide what went wrong first
            writer.flush()
        with suppress(RunFolderError):
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
    """`file:line` of the innermost frame of an error that is in code which the config names; empty where none is.

    A module of the user's own may be made of modules of PyTorch alone; then its factory is named.
    """
    lines = [line for reference in config.code if (line := user_code.line_in(error, reference))]
    factory = [user_code.place(config.model.factory)] if isinstance(config.model, PythonModel) else []
    return next(iter([*lines, *factory]), "")


@dataclass(frozen=True)
class _Moments:
    """The steps in which something is done beside training.

    A network of the user's own is recorded as one that is watched: batches are looked at instead of the whole training
    split, as one more pass might change what the network keeps for itself.
    """

    every: int
    last: int
    evaluations: frozenset[int]
    full_passes: frozenset[int]
    histograms: frozenset[int]

    @classmethod
    def of(cls, config: Config, steps: int) -> "_Moments":
        """Those of a run of so many steps."""
        return cls(
            config.record.every,
            steps - 1,
            spread(EVALUATIONS, steps + 1),
            frozenset() if _is_own(config) else spread(config.record.dead_units, steps),
            spread(config.record.histograms, steps),
        )

    def records(self, step: int) -> bool:
        """Whether a step is recorded."""
        return step % self.every == 0 or step in {0, self.last} | self.full_passes | self.histograms


def _is_own(config: Config) -> bool:
    return config.model.hidden_widths is None


def _steps(experiment: Experiment, writer: run_folder.RunWriter, view: Live, totals: dict[str, Any]) -> str:
    """The steps of a run; counts into `totals` and returns the status."""
    records: list[StepRecord] = []
    moments = _Moments.of(experiment.config, experiment.steps)
    recorder = Recorder(
        experiment.model,
        experiment.optimizers,
        emit=records.append,
        records=moments.records,
        histograms=moments.histograms.__contains__,
        look=CloseLook(units=_is_own(experiment.config)),
    )
    walks = 0
    loop = training.train(experiment.model, experiment.optimizers, experiment.data, experiment.config)
    with recorder, interrupts.first_one_remembered() as interrupted, _graph_of(recorder, experiment.config, totals):
        for number in range(experiment.steps):
            if number in moments.evaluations:
                _evaluate(experiment, writer, number)
            start = perf_counter()
            if number in moments.full_passes:
                recorder.look_at_units(experiment.data.train.x)
            step = next(loop)
            seconds = perf_counter() - start
            record = records.pop() if records else None
            _append(writer, step, record, seconds)
            view.update(step.step, step.loss, _delta_rms(record))
            totals["steps"] = number + 1
            totals["step_seconds"] += seconds
            totals["record_seconds"] += record.record_seconds if record else 0.0
            if recorder.walks > walks:
                walks = recorder.walks
                writer.write_modules(recorder.module_rows())
                if _is_own(experiment.config):
                    writer.write_summary({"status": "running", **totals, "graph": recorder.graph})
            if not isfinite(step.loss):
                return "diverged"
            if interrupted.is_set():
                return "interrupted"
    return "completed"


@contextmanager
def _graph_of(recorder: Recorder, config: Config, totals: dict[str, Any]) -> Iterator[None]:
    """Keep, at the end, what the graph of the steps says of a network of the user's own, as for one that is watched."""
    try:
        yield
    finally:
        if _is_own(config):
            totals["graph"] = recorder.graph


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


def _evaluate(experiment: Experiment, writer: run_folder.RunWriter, step: int) -> None:
    model, data, loss = experiment.model, experiment.data, experiment.config.train.loss
    with kept_random_state():  # a network of the user's own may draw from it
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
