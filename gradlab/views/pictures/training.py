"""Pictures of the training: size of the updates, loss and accuracy."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.lib.stride_tricks import sliding_window_view

from gradlab.measures.constant import constant_loss
from gradlab.measures.profiles import Floats, profiles
from gradlab.tables import Tables
from gradlab.text import shortened, three_digits
from gradlab.views.pictures.axes import (
    LEGEND_ABOVE,
    NAME,
    legend,
    log_axis,
    log_line,
    mark_bad_step,
    name_lines,
    step_axis,
)
from gradlab.views.pictures.labels import layer_label
from gradlab.views.pictures.sheet import colour_ramp, picture_title, some_layers, write_instead

GUIDE = 1e-3
"""A common rule of thumb for the update ratio; Karpathy's notebooks call it about right."""
SMOOTH = 50
"""A line is smoothed over this fraction of the records: one in so many."""
SPLITS = {"train": ("tab:blue", "-", "o"), "test": ("black", "--", "s")}


# ----------------------------------------------------------------------------------------------------------- updates


def updates(figure: Figure, run: Tables) -> None:
    """Update ratio by layer over time."""
    axes = figure.subplots()
    update_lines(axes, run, wide=True)
    picture_title(figure, updates_finding(run))


def update_lines(axes: Axes, run: Tables, *, wide: bool = False) -> None:
    """Draw ‖ΔW‖ / ‖W‖ of some layers over time, smoothed, and a grey band from the smallest layer to the largest."""
    ratio = profiles(run.layers, "update_ratio", ("weight", "output"))
    axes.set_ylabel("update ratio ‖ΔW‖ / ‖W‖")
    if not ratio:
        return write_instead(axes, "no update ratio was recorded (it does not apply to weights that are all 0)")
    log_axis(axes, np.append(ratio.values_TL.ravel(), GUIDE))
    step_axis(axes, int(ratio.steps[0]), int(ratio.steps[-1]))
    usable_TL = np.where(np.isfinite(ratio.values_TL) & (ratio.values_TL > 0), ratio.values_TL, np.nan)
    known_T = ~np.isnan(usable_TL).all(axis=1)
    band = np.nanmin(usable_TL[known_T], axis=1), np.nanmax(usable_TL[known_T], axis=1)
    axes.fill_between(ratio.steps[known_T], *band, color="0.9", lw=0)
    chosen = some_layers(ratio.layers)
    lines = []
    window = max(1, len(ratio.steps) // SMOOTH)
    for colour, index in zip(colour_ramp(len(chosen))[::-1], chosen, strict=True):
        values_T = _running_median(ratio.values_TL[:, index], window)
        log_line(axes, ratio.steps, values_T, color=colour, lw=1.1, marker="." if len(ratio.steps) < 3 else "")
        lines.append((shortened(layer_label(run, ratio.layers[index]), NAME), colour, values_T))
    mark_bad_step(axes, run.bad_step)
    axes.plot(axes.get_xlim(), [GUIDE, GUIDE], color="black", ls="--", lw=1.1, zorder=3, label="10⁻³ guide")
    name_lines(axes, ratio.steps, lines, wide=wide)
    smoothed = Line2D([], [], color="0.3", lw=1.1, label=f"median of {window} records; grey: all layers")
    legend(axes, ratio.values_TL[:, chosen], extra=[smoothed] if window > 1 and wide else [], ncols=4, **LEGEND_ABOVE)
    return None


def _running_median(values_T: Floats, window: int) -> Floats:
    padded_T = np.pad(values_T, (window // 2, (window - 1) // 2), mode="edge")
    return np.asarray(np.median(sliding_window_view(padded_T, window), axis=1))


def updates_finding(run: Tables) -> str:
    """The title: the size of the updates at the end, and how many layers are near the guide."""
    ratio = profiles(run.layers, "update_ratio", ("weight", "output"))
    if not ratio:
        return "No update ratio was recorded"
    finite_T = np.flatnonzero(np.isfinite(ratio.values_TL).any(axis=1))
    last = int(finite_T[-1]) if len(finite_T) else -1
    last_L = ratio.values_TL[last]
    near = int(((last_L > GUIDE / 10) & (last_L < GUIDE * 10)).sum())
    still = int((last_L == 0).sum())
    ends = (
        f"{three_digits(last_L[0])} in {layer_label(run, ratio.layers[0])}, "
        f"{three_digits(last_L[-1])} in {layer_label(run, ratio.layers[-1])}"
    )
    counts = f"{near} of {len(last_L)} layers within a decade of 10⁻³" + (
        f", {still} do not move at all" if still else ""
    )
    return f"Update ratio at step {ratio.steps[last]}: {ends}; {counts}"


# ---------------------------------------------------------------------------------------------------------- training


def training(figure: Figure, run: Tables) -> None:
    """Loss and accuracy over time."""
    left, right = figure.subplots(1, 2)
    loss(left, run)
    accuracy(right, run)
    picture_title(figure, training_finding(run))


def loss(axes: Axes, run: Tables) -> None:
    """Loss of each step's batch and of both splits, with that of a constant predictor where it is known."""
    axes.set_title(_loss_title(run))
    axes.set_ylabel("loss")
    table = run.steps.filter(pl.col("loss").is_finite())
    splits = evaluated(run, "loss")
    values = np.concatenate([table["loss"].to_numpy(), *(frame["loss"].to_numpy() for frame in splits.values())])
    if not values.size:
        return write_instead(axes, "no finite loss was recorded")
    _steps(axes, run)
    if values.min() > 0 and (values.max() > 30 * np.median(values) or values.max() > 1e4):
        log_axis(axes, values)
    if table.height:
        marker = "." if table.height < 3 else ""
        axes.plot(table["step"].to_numpy(), table["loss"].to_numpy(), color="0.72", lw=1, marker=marker, label="batch")
    _split_lines(axes, splits, "loss")
    constant = constant_loss(run.config)
    if constant is not None:
        label = f"constant guess, {constant:.2f}"
        axes.plot(axes.get_xlim(), [constant, constant], color="black", ls=":", lw=1.2, label=label)
    axes.legend(loc="best")
    mark_bad_step(axes, run.bad_step)
    return None


def _loss_title(run: Tables) -> str:
    """The loss by its name, where the config tells it."""
    names = {"cross_entropy": "loss (cross-entropy, nats)", "mse": "loss (mean squared error)"}
    return "loss" if run.config is None else names[run.config.train.loss]


def accuracy(axes: Axes, run: Tables) -> None:
    """Accuracy of both splits."""
    axes.set_title("accuracy")
    axes.set_ylabel("accuracy, %")
    splits = evaluated(run, "accuracy")
    if not splits:
        return write_instead(axes, "no evaluation was recorded")
    _steps(axes, run)
    axes.set_ylim(-2, 102)
    _split_lines(axes, splits, "accuracy", 100)
    axes.legend(loc="best")
    mark_bad_step(axes, run.bad_step)
    return None


def training_finding(run: Tables) -> str:
    """The title: loss, test accuracy, and where the run diverged."""
    table = run.steps.filter(pl.col("loss").is_finite())
    words = []
    if table.height:
        ends = [three_digits(table["loss"][index]) for index in sorted({0, table.height - 1})]
        words.append(f"Loss {' → '.join(ends)} in {run.steps.height} step{'s' if run.steps.height > 1 else ''}")
    tests = evaluated(run, "accuracy").get("test")
    if tests is not None:
        words.append(f"test accuracy {tests['accuracy'][-1]:.1%}")
    bad = run.bad_step
    if bad is not None:
        words.append(f"diverged at step {bad}")
    return ", ".join(words) or "No loss was recorded"


def evaluated(run: Tables, column: str) -> dict[str, pl.DataFrame]:
    """The finite evaluations of each split that has any."""
    frames = {
        split: run.evaluations.filter((pl.col("split") == split) & pl.col(column).is_finite()).sort("step")
        for split in SPLITS
    }
    return {split: frame for split, frame in frames.items() if frame.height}


def _split_lines(axes: Axes, splits: dict[str, pl.DataFrame], column: str, scale: float = 1) -> None:
    for split, frame in splits.items():
        colour, line, marker = SPLITS[split]
        values = scale * frame[column].to_numpy()
        axes.plot(frame["step"].to_numpy(), values, color=colour, ls=line, marker=marker, ms=3.5, label=split)


def _steps(axes: Axes, run: Tables) -> None:
    steps = [step for table in (run.steps, run.evaluations) for step in (table["step"].min(), table["step"].max())]
    known = [int(step) for step in steps if isinstance(step, int)]
    step_axis(axes, min(known, default=0), max(known, default=0))
