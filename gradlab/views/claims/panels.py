"""One panel each: a profile over depth, a course over time, points with intervals, distributions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gradlab.claims.claim import Course, Histograms, Points, Profile
from gradlab.claims.judging import compared_values
from gradlab.claims.measuring import Observation, column_of, evaluations, over_layers, predicted, record_at
from gradlab.measures.intervals import Mean, mean_of
from gradlab.measures.profiles import Floats, Profiles
from gradlab.measures.settings import label_of, value_of
from gradlab.views.claims.axes import finish_axis, is_log, panel_legend
from gradlab.views.claims.lines import Curve, lines_of, mean_line, mean_of_curves, ordered, values_of
from gradlab.views.pictures.axes import depth_axis, log_line
from gradlab.views.pictures.labels import setting_name
from gradlab.views.pictures.sheet import INCHES_A_LETTER, THEORY_STYLE, WIDTH, colour_ramp, some_layers, write_instead


def _profile(axes: Axes, panel: Profile, chosen: Sequence[Observation], all_: Sequence[Observation]) -> None:
    """A column of `layers` against depth, at one moment."""
    lines = [
        (label, colour, [_profile_at(panel, one) for one in runs], runs[0])
        for label, colour, runs in lines_of(panel.lines, chosen, all_)
    ]
    log = is_log(panel, panel.column)
    drawn = [values for label, colour, curves, _ in lines for values in mean_line(axes, curves, colour, label, log=log)]
    if panel.theory:
        for _label, _colour, curves, one in lines:
            drawn += _theory_line(axes, panel, one, curves, log=log)
    finish_axis(axes, panel, panel.column, drawn, log=log)
    layers = [layers_L for *_, curves, _ in lines for layers_L, _ in curves]
    depth_axis(axes, np.unique(np.concatenate(layers)) if layers else np.zeros(0, dtype=np.int64))
    panel_legend(axes, drawn, [Line2D([], [], label="theory", **THEORY_STYLE)] if panel.theory else [], log=log)


def _profile_at(panel: Profile, one: Observation) -> Curve:
    found = column_of(panel, one.run)
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    return found.layers, found.values_TL[record_at(found.steps, panel.at)]


def _theory_line(axes: Axes, panel: Profile, one: Observation, curves: Sequence[Curve], *, log: bool) -> list[Floats]:
    """The prediction for the start. δ is predicted relative to the last hidden layer, and drawn through that."""
    at_L, theory_L = predicted(panel, one.run)
    if panel.column == "delta_rms" and len(at_L):
        last = mean_of_curves([(layers_L, values_L) for layers_L, values_L in curves if at_L[-1] in layers_L], log=log)
        theory_L = theory_L / theory_L[-1] * (float(last[1][last[0] == at_L[-1]][0]) if len(last[0]) else np.nan)
    if not np.isfinite(theory_L).any() or (log and not (theory_L > 0).any()):
        return []
    (log_line if log else Axes.plot)(axes, at_L, theory_L, **THEORY_STYLE)
    return [theory_L]


def _course(axes: Axes, panel: Course, chosen: Sequence[Observation], all_: Sequence[Observation]) -> None:
    """A column of `layers` or `evaluations` against the step."""
    slope = panel.layers == "slope"
    log = is_log(panel, "" if slope else panel.column)
    if panel.lines == "layer":
        series = _by_layer(panel, chosen)
    else:
        lines = lines_of(panel.lines, chosen, all_)
        series = [(label, colour, [_over_time(panel, one) for one in runs]) for label, colour, runs in lines]
    drawn = [values for label, colour, curves in series for values in mean_line(axes, curves, colour, label, log=log)]
    finish_axis(axes, panel, "decades per layer toward the input" if slope else panel.column, drawn, log=log)
    axes.set_xlabel("step")
    panel_legend(axes, drawn, log=log)


def _over_time(panel: Course, one: Observation) -> Curve:
    if panel.split is not None:
        return evaluations(one.run, panel.column, panel.split)
    found = column_of(panel.quantity, one.run)
    assert panel.layers is not None  # the claim's validator sees to it
    return found.steps, over_layers(found.layers, found.values_TL, panel.layers)


def _by_layer(panel: Course, chosen: Sequence[Observation]) -> list[tuple[str, Any, list[Curve]]]:
    grids = [column_of(panel.quantity, one.run) for one in chosen]
    layers_L = np.unique(np.concatenate([found.layers for found in grids]))
    shown = layers_L[some_layers(layers_L)].tolist()
    colours = dict(zip(shown, colour_ramp(len(shown)), strict=False))
    return [
        (f"layer {layer}", colours[layer], [_of_layer(found, layer) for found in grids if layer in found.layers])
        for layer in shown
    ]


def _of_layer(found: Profiles, layer: int) -> Curve:
    return found.steps, found.values_TL[:, int(np.searchsorted(found.layers, layer))]


def _points(axes: Axes, panel: Points, chosen: Sequence[Observation], all_: Sequence[Observation]) -> None:
    """The mean of a measure and its 95 % interval, against the values of a setting."""
    places = values_of(panel.across, chosen)
    lines = lines_of(panel.lines, chosen, all_)
    column = getattr(panel.measure, "column", getattr(panel.measure, "name", ""))
    log = panel.scale == "log"
    drawn: list[Floats] = []
    for number, (label, colour, runs) in enumerate(lines):
        shift = 0.0 if len(lines) < 2 else 0.36 * (number / (len(lines) - 1) - 0.5)
        means = [_mean_at(panel, place, runs, all_) for place in places]
        at = [index + shift for index, mean in enumerate(means) if mean.value is not None]
        middle = np.array([mean.value for mean in means if mean.value is not None])
        half = np.array([mean.half_width or 0.0 for mean in means if mean.value is not None])
        axes.errorbar(at, middle, half, fmt="o", ms=4.5, capsize=2.5, lw=0, elinewidth=1.2, color=colour, label=label)
        if ordered(places):
            axes.plot(at, middle, color=colour, lw=0.8, alpha=0.6)
        drawn += [middle - half, middle + half]
    names = [label_of(place, places) for place in places]
    place = axes.get_subplotspec()
    panels = place.get_gridspec().ncols if place else 1
    turned = sum(len(name) + 2 for name in names) > (WIDTH / panels - 0.8) / INCHES_A_LETTER
    axes.set_xticks(range(len(places)), names, rotation=30 if turned else 0, ha="right" if turned else "center")
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xlabel(setting_name(panel.across))
    if panel.minus or panel.over:
        axes.axhline(0 if panel.minus else 1, color="0.5", lw=0.8)
    finish_axis(axes, panel, column.removeprefix("test_").removeprefix("train_"), drawn, log=log)
    axes.set_ylabel("")
    panel_legend(axes)


def _mean_at(panel: Points, place: Any, runs: Sequence[Observation], all_: Sequence[Observation]) -> Mean:
    return mean_of(compared_values(panel, [one for one in runs if value_of(one.settings, panel.across) == place], all_))


def _histograms(axes: Axes, panel: Histograms, chosen: Sequence[Observation], _: Sequence[Observation]) -> None:
    """The density of a distribution in each layer, of the first run."""
    table = _distributions(panel, chosen[0])
    if not len(table):
        return write_instead(axes, "no histogram was recorded (record.histograms)")
    shown = some_layers(table["layer"].to_numpy())
    for (layer, low, high, counts), colour in zip(table[shown].rows(), colour_ramp(len(shown)), strict=True):
        width = (high - low) / len(counts) or 1.0
        middles = low + width * (np.arange(len(counts)) + 0.5)
        density = np.array(counts) / (max(sum(counts), 1) * width)
        axes.plot(middles, density, color=colour, label=f"layer {layer}", lw=1.2)
    axes.set_xlabel({"delta": "δ", "weight_gradient": "∂L/∂W"}.get(panel.quantity, panel.quantity))
    axes.set_ylabel("density")
    axes.locator_params(axis="x", nbins=5)
    axes.ticklabel_format(axis="both", scilimits=(-3, 4), useMathText=True)
    if panel.scale == "log":
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    panel_legend(axes)
    return None


def _distributions(panel: Histograms, one: Observation) -> pl.DataFrame:
    """Histograms of the hidden layers, a row each: `layer`, `low`, `high`, `counts`.

    They are those of the activation modules, or those of the weight modules where there are none.
    """
    rows = "activation" if panel.quantity == "activation" and "activation" in one.run.layers["kind"] else "weight"
    modules = one.run.layers.filter(kind=rows)["module"].unique()
    table = one.run.histograms.filter(quantity=panel.quantity).drop_nulls("low").sort("step", "layer")
    table = table.filter(table["module"].is_in(modules.implode()))
    steps = table["step"].unique().sort()
    if len(steps):
        table = table.filter(step=steps[0 if panel.at == "start" else -1])
    return table.select("layer", "low", "high", "counts")


PAINTERS: Mapping[type, Callable[[Axes, Any, Sequence[Observation], Sequence[Observation]], None]] = {
    Profile: _profile,
    Course: _course,
    Points: _points,
    Histograms: _histograms,
}
"""The function that draws a kind of panel."""
