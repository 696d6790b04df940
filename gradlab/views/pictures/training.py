"""Pictures of the training: size of the updates, loss and accuracy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view

from gradlab.diagnosis.outputs import loss_names
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
from gradlab.views.pictures.depth import WEIGHTS, depth_lines, step_legend, weight_profile
from gradlab.views.pictures.labels import layer_label
from gradlab.views.pictures.sheet import colour_ramp, picture_title, some_layers, write_instead

GUIDE = 1e-3
"""A common rule of thumb for the update ratio; Karpathy's notebooks call it about right."""
SMOOTH = 50
"""A line is smoothed over this fraction of the records: one in so many."""
NOISE = 20
"""The same of the loss, which is that of a batch and noisier."""
LOSSES = {"cross_entropy": "cross-entropy, nats", "mse": "mean squared error"}
"""Losses that have a longer name than that in a config."""
NO_RATIO = "no update ratio was recorded (it does not apply to weights that are all 0)"
GUIDE_STYLE: dict[str, Any] = {"color": "black", "ls": "--", "lw": 1.1, "zorder": 3, "label": "10⁻³ guide"}
SPLITS = {"train": ("tab:blue", "-", "o"), "test": ("black", "--", "s")}


# ----------------------------------------------------------------------------------------------------------- updates


def updates(figure: Figure, run: Tables) -> None:
    """Update ratio against depth at some steps, and of some layers over time."""
    left, right = figure.subplots(1, 2)
    ratio = weight_profile(run, "update_ratio")
    left.set_ylabel("update ratio ‖ΔW‖ / ‖W‖")
    if ratio:
        depth_lines(left, run, ratio, np.array([GUIDE]))
        left.plot(left.get_xlim(), [GUIDE, GUIDE], **GUIDE_STYLE)
        step_legend(left, ratio)
    else:
        write_instead(left, NO_RATIO)
    update_lines(right, run)
    picture_title(figure, updates_finding(run))


def update_lines(axes: Axes, run: Tables) -> None:
    """Draw ‖ΔW‖ / ‖W‖ of some layers over time, smoothed."""
    ratio = profiles(run.layers, "update_ratio", WEIGHTS)
    axes.set_ylabel("update ratio ‖ΔW‖ / ‖W‖")
    if not ratio:
        return write_instead(axes, NO_RATIO)
    chosen = some_layers(ratio.layers)
    log_axis(axes, np.append(ratio.values_TL[:, chosen].ravel(), GUIDE))
    step_axis(axes, int(ratio.steps[0]), int(ratio.steps[-1]))
    lines = []
    window = max(1, len(ratio.steps) // SMOOTH)
    for colour, index in zip(colour_ramp(len(chosen))[::-1], chosen, strict=True):
        values_T = _running(np.median, ratio.values_TL[:, index], window)
        log_line(axes, ratio.steps, values_T, color=colour, lw=1.1, marker="." if len(ratio.steps) < 3 else "")
        lines.append((shortened(layer_label(run, ratio.layers[index]), NAME), colour, values_T))
    mark_bad_step(axes, run.bad_step)
    axes.plot(axes.get_xlim(), [GUIDE, GUIDE], **GUIDE_STYLE)
    name_lines(axes, ratio.steps, lines)
    if window > 1:
        axes.set_xlabel(f"step (lines: median of {window} records)")
    return legend(axes, ratio.values_TL[:, chosen], ncols=2, **LEGEND_ABOVE)


def _running(middle: Callable[..., Floats], values_T: Floats, window: int) -> Floats:
    """The mean or median of a window around each value."""
    padded_T = np.pad(values_T, (window // 2, (window - 1) // 2), mode="edge")
    return np.asarray(middle(sliding_window_view(padded_T, window), axis=1))


def updates_finding(run: Tables) -> str:
    """The title: the size of the updates at the end, and how many layers are near the guide."""
    ratio = profiles(run.layers, "update_ratio", WEIGHTS)
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
    """Loss and, where it was measured, accuracy over time."""
    measured = bool(evaluated(run, "accuracy"))
    panels = figure.subplots(1, 1 + measured, squeeze=False)[0]
    loss(panels[0], run)
    if measured:
        accuracy(panels[1], run)
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
        marker, window = "." if table.height < 3 else "", max(1, table.height // NOISE)
        steps_T, losses_T = table["step"].to_numpy(), table["loss"].to_numpy()
        axes.plot(steps_T, losses_T, color="0.8" if window > 1 else "0.6", lw=0.8, marker=marker, label="batch")
        if window > 1:
            mean_T = _running(np.mean, losses_T, window)
            axes.plot(steps_T, mean_T, color="0.35", lw=1.4, label=f"mean of {window} batches")
    _split_lines(axes, splits, "loss")
    constant = constant_loss(run.config)
    if constant is not None:
        label = f"constant guess, {constant:.2f}"
        axes.plot(axes.get_xlim(), [constant, constant], color="black", ls=":", lw=1.2, label=label)
    axes.legend(loc="best")
    mark_bad_step(axes, run.bad_step)
    return None


def _loss_title(run: Tables) -> str:
    """The loss by its name, where the config or the graph of a step tells it."""
    if run.config is not None:
        return f"loss ({LOSSES[run.config.train.loss]})"
    names = loss_names(run)
    return f"loss ({', '.join(LOSSES.get(name, name) for name in names)})" if 0 < len(names) <= 2 else "loss"


def accuracy(axes: Axes, run: Tables) -> None:
    """Accuracy of both splits."""
    axes.set_title("accuracy")
    axes.set_ylabel("accuracy, %")
    splits = evaluated(run, "accuracy")
    _steps(axes, run)
    axes.set_ylim(-2, 102)
    _split_lines(axes, splits, "accuracy", 100)
    axes.legend(loc="best")
    mark_bad_step(axes, run.bad_step)


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
