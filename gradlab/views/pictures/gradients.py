"""Gradients against depth and over time: the pictures that show them vanish or explode."""

import math

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradlab.measures.profiles import Floats, Profiles, profiles
from gradlab.measures.slopes import decades_per_layer
from gradlab.tables import Tables
from gradlab.text import three_digits
from gradlab.theory.width_noise import band
from gradlab.views.pictures.axes import LEGEND_ABOVE, legend, mark_bad_step
from gradlab.views.pictures.depth import backward_arrow, depth_lines, step_legend, weight_profile
from gradlab.views.pictures.heatmaps import BROKEN_CELLS, ZERO_CELLS, columns_in_time, fill_cells, layer_heat_map
from gradlab.views.pictures.labels import column_label, layer_label
from gradlab.views.pictures.sheet import THEORY_STYLE, picture_title, write_instead

DIVERGING = "RdBu_r"
"""Colours of the heat map: white is as large as in the last hidden layer, blue vanishes, red explodes."""
MOST_VARIANCE = 200.0
"""With a larger variance of ln δ², a band has no meaning: it would be 12 decades wide."""
LEVEL = 0.5
"""A profile that changes by fewer decades over the whole depth is called level."""


def gradient_flow(figure: Figure, run: Tables) -> None:
    """RMS δ and the norm of the weight gradient against depth, early to late."""
    left, right = figure.subplots(1, 2)
    delta_flow(left, run)
    weight_gradient_flow(right, run)
    picture_title(figure, flow_finding(run))


def delta_flow(axes: Axes, run: Tables) -> None:
    """RMS δ against depth, with the prediction for step 0 and how far networks of this width scatter around it."""
    delta = weight_profile(run, "delta_rms")
    axes.set_title("signal δ")
    axes.set_ylabel("RMS of ∂L/∂(pre-activation)")
    if not delta:
        return write_instead(axes, "no gradient was recorded")
    predicted = predicted_delta(run, delta)
    lowest, highest = _width_band(run, delta, predicted)
    depth_lines(axes, run, delta, np.concatenate([predicted, lowest, highest]))
    if np.isfinite(predicted).any():
        look = {"color": THEORY_STYLE["color"], "alpha": 0.15, "lw": 0}
        if np.isfinite(lowest).sum() > 1:
            axes.fill_between(delta.layers, lowest, highest, label="95 % band", **look)
        label = "theory, step 0" if _within_blocks(run) else "theory, block outputs"
        axes.plot(delta.layers, predicted, label=label, **THEORY_STYLE)
    backward_arrow(axes, delta)
    return step_legend(axes, delta)


def _width_band(run: Tables, delta: Profiles, predicted_L: Floats) -> tuple[Floats, Floats]:
    """Between what 95 of 100 networks of these widths lie, for one sample (`gradlab.theory.width_noise`)."""
    known = run.theory.select("layer", "delta_log_variance").drop_nulls()
    bands = {layer: band(variance) for layer, variance in known.iter_rows() if 0 <= variance < MOST_VARIANCE}
    unknown = (np.nan, np.nan)
    factors_L2 = np.array([bands.get(int(layer), unknown) for layer in delta.layers])
    return predicted_L * factors_L2[:, 0], predicted_L * factors_L2[:, 1]


def weight_gradient_flow(axes: Axes, run: Tables) -> None:
    """The norm of the weight gradient against depth."""
    gradient = weight_profile(run, "weight_gradient_norm")
    axes.set_title("weight gradient")
    axes.set_ylabel(column_label("weight_gradient_norm"))
    if not gradient:
        return write_instead(axes, "no gradient was recorded")
    depth_lines(axes, run, gradient)
    return step_legend(axes, gradient)


def predicted_delta(run: Tables, delta: Profiles) -> Floats:
    """Predicted RMS δ of each layer of `delta`, scaled so that it equals the measured δ of the last hidden layer.

    It is NaN where theory says nothing.

    Where δ is predicted to be 0 within residual blocks, it is that at their outputs.
    """
    column = "delta_relative" if _within_blocks(run) else "output_delta_relative"
    measured = delta if _within_blocks(run) else profiles(run.layers, "delta_rms", ("block",))
    theory = dict(run.theory.select("layer", column).drop_nulls().iter_rows())
    common = [index for index, layer in enumerate(measured.layers) if int(layer) in theory] if measured else []
    if not (common and delta):
        return np.full(len(delta.layers), np.nan)
    last = common[-1]
    at_last = theory[int(measured.layers[last])]
    scale = measured.values_TL[0, last] / at_last if at_last > 0 else np.nan
    return np.asarray(scale * np.array([theory.get(int(layer), np.nan) for layer in delta.layers]))


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
    """RMS δ of every layer, relative to the last hidden one, over time."""
    axes = figure.subplots()
    delta_heatmap(axes, run)
    picture_title(figure, heatmap_finding(run))


def delta_heatmap(axes: Axes, run: Tables) -> None:
    """log10 RMS δ relative to the last hidden layer, layer × step; what is 0 or not finite is hatched."""
    delta = weight_profile(run, "delta_rms")
    hidden = run.layers.filter((pl.col("kind") == "weight") & pl.col("delta_rms").is_not_null())["layer"]
    if not (delta and hidden.len()):
        return write_instead(axes, "no gradient was recorded")
    columns, edges = columns_in_time(delta.steps)
    values_LC = delta.values_TL[columns].T
    last = int(hidden.to_numpy().max())
    logs_LC = np.log10(np.where((values_LC > 0) & (values_LC < np.inf), np.ma.filled(values_LC, np.nan), np.nan))
    logs_LC -= logs_LC[delta.layers == last]
    reach = max(1.0, float(np.nanmax(np.abs(logs_LC), initial=0)))  # a decade at least, so that noise does not fill it
    output = bool((run.layers["kind"] == "output").any())
    image = layer_heat_map(axes, logs_LC, delta.layers, edges, output=output, vmin=-reach, vmax=reach, cmap=DIVERGING)
    broken_LC = np.ma.filled(~np.isfinite(values_LC), False)
    fill_cells(axes, np.ma.filled(values_LC == 0, False), delta.layers, edges, label="exactly 0", **ZERO_CELLS)
    fill_cells(axes, broken_LC, delta.layers, edges, label="NaN or infinite", **BROKEN_CELLS)
    legend(axes, ncols=2, **LEGEND_ABOVE)
    mark_bad_step(axes, run.bad_step)
    label = f"log10 of RMS δ, relative to {layer_label(run, last)}"
    axes.figure.colorbar(image, ax=axes, label=label, pad=0.015, fraction=0.06)
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
        known = f"{three_digits(ratio)} ×" if math.isfinite(ratio) else three_digits(near)
        words.append(f"{known if math.isfinite(near) else 'not finite'} at step {delta.steps[index]}")
    relative = "" if one else f", relative to {layer_label(run, delta.layers[-1])}"
    return f"RMS δ in {layer_label(run, delta.layers[0])}{relative}: " + ", ".join(words)
