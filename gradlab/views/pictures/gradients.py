"""Gradients against depth and over time: the pictures that show them vanish or explode."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradlab.measures.profiles import Floats, Profiles, profiles
from gradlab.measures.slopes import decades_per_layer
from gradlab.tables import Tables
from gradlab.text import three_digits
from gradlab.views.pictures.axes import (
    LEGEND_ABOVE,
    depth_axis,
    fans_out,
    legend,
    log_axis,
    log_line,
    mark_bad_step,
    name_lines,
)
from gradlab.views.pictures.heatmaps import BROKEN_CELLS, ZERO_CELLS, columns_in_time, fill_cells, layer_heat_map
from gradlab.views.pictures.labels import column_label, layer_label
from gradlab.views.pictures.sheet import THEORY_STYLE, colour_ramp, picture_title, some_steps, write_instead

WEIGHTS = ("weight", "output")
LEVEL = 0.5
"""A profile that changes by fewer decades over the whole depth is called level."""


def gradient_flow(figure: Figure, run: Tables) -> None:
    """RMS δ and the norm of the weight gradient against depth, early to late."""
    left, right = figure.subplots(1, 2)
    delta_flow(left, run)
    weight_gradient_flow(right, run)
    picture_title(figure, flow_finding(run))


def delta_flow(axes: Axes, run: Tables) -> None:
    """RMS δ against depth, with the prediction for step 0."""
    delta = profiles(run.layers, "delta_rms", WEIGHTS)
    axes.set_title("signal δ")
    _depth_lines(axes, run, delta, "RMS of ∂L/∂(pre-activation)", predicted_delta(run, delta))


def weight_gradient_flow(axes: Axes, run: Tables) -> None:
    """The norm of the weight gradient against depth."""
    axes.set_title("weight gradient")
    _depth_lines(axes, run, profiles(run.layers, "weight_gradient_norm", WEIGHTS), column_label("weight_gradient_norm"))


def _depth_lines(axes: Axes, run: Tables, values: Profiles, label: str, predicted: Floats | None = None) -> None:
    axes.set_ylabel(label)
    if not values:
        return write_instead(axes, "no gradient was recorded")
    bad = run.bad_step
    chosen = some_steps(values.steps)
    if bad is not None and len(values.steps) > 1:
        chosen = sorted({*chosen, len(values.steps) - 2})  # the last record before the run diverged
    output = bool((run.layers["kind"] == "output").any())
    shown = values.values_TL[chosen]
    log_axis(axes, shown if predicted is None else np.concatenate([shown.ravel(), predicted]))
    depth_axis(axes, values.layers, output=output)
    lines = []
    for colour, index in zip(colour_ramp(len(chosen)), chosen, strict=True):
        step = int(values.steps[index])
        name = f"step {step}" + (" (bad)" if step == bad else "")
        lines.append((name, colour, values.values_TL[index]))
        log_line(axes, values.layers, values.values_TL[index], color=colour, marker="o", ms=2.2)
    name_lines(axes, values.layers, lines, left=fans_out(shown[:, 0], shown[:, -1]))
    if predicted is not None:
        label = "theory, step 0" if _within_blocks(run) else "theory, block outputs"
        axes.plot(values.layers, predicted, label=label, **THEORY_STYLE)
    legend(axes, shown, ncols=2, **LEGEND_ABOVE)
    return None


def predicted_delta(run: Tables, delta: Profiles) -> Floats | None:
    """Predicted RMS δ of each layer of `delta`, scaled so that it equals the measured δ of the last hidden layer.

    Where δ is predicted to be 0 within residual blocks, it is that at their outputs.
    """
    column = "delta_relative" if _within_blocks(run) else "output_delta_relative"
    measured = delta if _within_blocks(run) else profiles(run.layers, "delta_rms", ("block",))
    theory = dict(run.theory.select("layer", column).drop_nulls().iter_rows())
    common = [index for index, layer in enumerate(measured.layers) if int(layer) in theory] if measured else []
    if not (common and delta):
        return None
    last = common[-1]
    at_last = theory[int(measured.layers[last])]
    scale = measured.values_TL[0, last] / at_last if at_last > 0 else np.nan
    scaled = scale * np.array([theory.get(int(layer), np.nan) for layer in delta.layers])
    return scaled if np.isfinite(scaled).any() else None


def _within_blocks(run: Tables) -> bool:
    """Whether δ within the hidden layers is predicted; it is not where residual blocks start at scale 0."""
    return "output_delta_relative" not in run.theory.columns or bool(run.theory["delta_relative"].is_not_null().any())


def flow_finding(run: Tables) -> str:
    """The title: what happens to δ on its way to the input."""
    delta = profiles(run.layers, "delta_rms", ("weight",))
    if not delta:
        return "No gradient was recorded"
    if len(delta.layers) == 1:
        return heatmap_finding(run)
    first, last = int(delta.steps[0]), int(delta.steps[-1])
    words = f"RMS δ {_slope(run, first, len(delta.layers))} at step {first}"
    zeros = int((delta.values_TL[-1] == 0).sum())
    broken = int((~np.isfinite(delta.values_TL[-1])).sum())
    if zeros or broken:
        what = "exactly 0" if zeros else "NaN or infinite"
        return f"{words}; {what} in {zeros or broken} of {len(delta.layers)} hidden layers at step {last}"
    if last == first:
        return words
    early, late = (decades_per_layer(run.layers, step) for step in (first, last))
    steep = [abs(fit.range_decades) >= LEVEL for fit in (early, late)]
    if not any(steep):
        slopes = ", ".join(three_digits(round(fit.value, 3)) for fit in (early, late))
        return f"RMS δ is level at steps {first} and {last} ({slopes} decades per layer)"
    if early.value * late.value > 0 and all(steep):
        return f"{words}, {abs(late.value):.2g} at step {last}"
    return f"{words} and {_slope(run, last, len(delta.layers))} at step {last}"


def _slope(run: Tables, step: int, layers: int) -> str:
    fit = decades_per_layer(run.layers, step)
    if len(fit.zeros) == layers:
        return "is exactly 0 in every layer"
    if not np.isfinite(fit.value):
        return "has no slope"
    if abs(fit.range_decades) < LEVEL:
        return f"is level ({three_digits(round(fit.value, 3))} decades per layer)"
    verb = "falls" if fit.value < 0 else "grows"
    return f"{verb} {abs(fit.value):.2g} decades per layer toward the input"


# --------------------------------------------------------------------------------------------------------- over time


def gradient_heatmap(figure: Figure, run: Tables) -> None:
    """RMS δ of every layer over time."""
    axes = figure.subplots()
    delta_heatmap(axes, run)
    picture_title(figure, heatmap_finding(run))


def delta_heatmap(axes: Axes, run: Tables) -> None:
    """log10 RMS δ, layer × step; what is 0 or not finite is hatched."""
    delta = profiles(run.layers, "delta_rms", WEIGHTS)
    if not delta:
        return write_instead(axes, "no gradient was recorded")
    columns, edges = columns_in_time(delta.steps)
    values_LC = delta.values_TL[columns].T
    drawable = np.isfinite(values_LC) & (values_LC > 0)
    logs_LC = np.log10(values_LC, out=np.full(values_LC.shape, np.nan), where=drawable)
    low, high = (float(np.nanmin(logs_LC)), float(np.nanmax(logs_LC))) if drawable.any() else (-1.0, 0.0)
    margin = max(0.0, 2 - (high - low)) / 2  # the scale spans two decades at least, so that noise does not fill it
    output = bool((run.layers["kind"] == "output").any())
    image = layer_heat_map(axes, logs_LC, delta.layers, edges, output=output, vmin=low - margin, vmax=high + margin)
    fill_cells(axes, values_LC == 0, delta.layers, edges, label="exactly 0", **ZERO_CELLS)
    fill_cells(axes, ~np.isfinite(values_LC), delta.layers, edges, label="NaN or infinite", **BROKEN_CELLS)
    legend(axes, ncols=2, **LEGEND_ABOVE)
    mark_bad_step(axes, run.bad_step)
    axes.figure.colorbar(image, ax=axes, label="log10 of RMS δ", pad=0.015, fraction=0.06)
    return None


def heatmap_finding(run: Tables) -> str:
    """The title: how much of the gradient reaches the first layer, at the start and at the end."""
    delta = profiles(run.layers, "delta_rms", ("weight",))
    if not delta:
        return "No gradient was recorded"
    one = len(delta.layers) == 1
    words = []
    for index in sorted({0, len(delta.steps) - 1}):
        near, far = delta.values_TL[index, [0, -1]].tolist()
        ratio = near / far if far > 0 and not one else math.nan
        words.append(
            f"{f'{three_digits(ratio)} ×' if math.isfinite(ratio) else three_digits(near)} at step {delta.steps[index]}"
        )
    relative = "" if one else f", relative to {layer_label(run, delta.layers[-1])}"
    return f"RMS δ in {layer_label(run, delta.layers[0])}{relative}: " + ", ".join(words)
