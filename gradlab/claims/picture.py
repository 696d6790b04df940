"""A claim as one picture that answers it at a glance: one to four panels, drawn from the runs."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from gradlab import store
from gradlab.claims.claim import Course, Frame, Histograms, Points, Profile, Quantity
from gradlab.claims.judging import Verdict, values
from gradlab.claims.measuring import Observation, column_of, evaluations, over_layers, predicted
from gradlab.claims.selecting import label_of, matches, value_of
from gradlab.diagnosis.measures import Floats, Grid, Numbers
from gradlab.views.comparison.fold import Mean, mean_of
from gradlab.views.comparison.picture import SPEAKING
from gradlab.views.plots.sheet import (
    DPI,
    SMALLEST,
    THEORY,
    WIDTH,
    depth_axis,
    drawing,
    headline,
    log_axis,
    log_line,
    ramp,
    say,
)

COLOURS = ("#1f4e8c", "#d1495b", "#2a9d6f", "#e59f21", "#7a4fa3", "#4f9fc4", "#8c5a2b", "#555555")
"""Of lines without an order: apart also for those who see no red or green, and in grey."""
MOST_LAYERS = 6
"""Lines of layers in one panel."""
MOST_INSIDE = 4
"""Entries of a legend within a panel."""
WORDS = {
    "delta_rms": "RMS δ",
    "weight_gradient_norm": "norm of ∂L/∂W",
    "weight_norm": "norm of the weights",
    "update_ratio": "update ratio ‖ΔW‖/‖W‖",
    "activation_mean": "mean of the activations",
    "activation_std": "standard deviation of the activations",
    "activation_rms": "RMS of the activations",
    "saturated_fraction": "saturated share",
    "zero_fraction": "share of zeros",
    "dead_fraction": "dead units",
    "revived_fraction": "revived units",
}
"""What columns are called on an axis."""
LOGARITHMIC = ("delta_rms", "weight_gradient_norm", "weight_norm", "update_ratio", "activation_rms")
"""Columns that shrink and grow by factors."""
SHARES = ("saturated_fraction", "zero_fraction", "dead_fraction", "revived_fraction", "accuracy")
"""Columns between 0 and 1."""
INCHES_A_LETTER = 0.08
"""About, in titles and along axes."""

Line = tuple[str, Any, list[Observation]]
Curve = tuple[Numbers, Floats]
"""Positions, and a value at each of them."""


def save_picture(verdict: Verdict, observations: Sequence[Observation], file: Path) -> None:
    """Draw a claim into a file.

    Raises:
        RunFolderError: it cannot be written.
    """
    figure = draw(verdict, observations)
    try:
        with drawing():
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file)
    except OSError as error:
        raise store.cannot_write(file, error) from error


def draw(verdict: Verdict, observations: Sequence[Observation]) -> Figure:
    """The picture of a claim."""
    panels = verdict.claim.picture
    across = len(panels) if len(panels) < 4 else 2
    down = -(-len(panels) // across)
    with drawing():
        figure = Figure(figsize=(WIDTH, 0.5 + 2.9 * down), dpi=DPI, layout="constrained")
        grid = figure.subplots(down, across, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            axes.set_title(textwrap.fill(panel.title, round((WIDTH / across - 0.8) / INCHES_A_LETTER)))
            chosen = [one for one in observations if matches(one.settings, panel.of)]
            PAINTERS[type(panel)](axes, panel, chosen, observations)
        _share(list(zip(grid.flat, panels, strict=False)))
        headline(figure, f"{verdict.claim.title}: {verdict.word}")
    return figure


def _share(drawn: Sequence[tuple[Axes, Any]]) -> None:
    """Panels of one distribution are read side by side: the same horizontal scale."""
    distributions = [axes for axes, panel in drawn if isinstance(panel, Histograms)]
    widest = max((max(map(abs, axes.get_xlim())) for axes in distributions), default=0.0)
    for axes in distributions:
        axes.set_xlim(-widest, widest)


# --------------------------------------------------------------------------------------------------------------- panels


def _profile(axes: Axes, panel: Profile, chosen: Sequence[Observation], _: Sequence[Observation]) -> None:
    """Against depth, at one moment."""
    lines = [
        (label, colour, [_at(panel, one) for one in runs], runs[0])
        for label, colour, runs in _lines(panel.lines, chosen)
    ]
    log = _is_log(panel, panel.column)
    drawn = [
        values for label, colour, curves, _ in lines for values in _mean_line(axes, curves, colour, label, log=log)
    ]
    if panel.theory:
        for _label, _colour, curves, one in lines:
            drawn += _theory_line(axes, panel, one, curves, log=log)
    _finish(axes, panel, panel.column, drawn, log=log)
    layers = [layers_L for *_, curves, _ in lines for layers_L, _ in curves]
    depth_axis(axes, np.unique(np.concatenate(layers)) if layers else np.zeros(0, dtype=np.int64))
    _legend(axes, panel.lines, drawn, [Line2D([], [], label="theory", **THEORY)] if panel.theory else [], log=log)


def _at(panel: Profile, one: Observation) -> Curve:
    found = column_of(panel, one.run)
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    index = {"start": 0, "end": -1}.get(str(panel.at))
    index = int(np.abs(found.steps - int(panel.at)).argmin()) if index is None else index
    return found.layers, found.values_TL[index]


def _theory_line(axes: Axes, panel: Profile, one: Observation, curves: Sequence[Curve], *, log: bool) -> list[Floats]:
    """The prediction for the start; δ is predicted relative to the last hidden layer, where it is pinned."""
    at_L, theory_L = predicted(panel, one.run)
    if panel.column == "delta_rms" and len(at_L):
        last = _mean([(layers_L, values_L) for layers_L, values_L in curves if at_L[-1] in layers_L], log=log)
        theory_L = theory_L / theory_L[-1] * (float(last[1][last[0] == at_L[-1]][0]) if len(last[0]) else np.nan)
    if not np.isfinite(theory_L).any() or (log and not (theory_L > 0).any()):
        return []
    (log_line if log else Axes.plot)(axes, at_L, theory_L, **THEORY)
    return [theory_L]


def _course(axes: Axes, panel: Course, chosen: Sequence[Observation], _: Sequence[Observation]) -> None:
    """Against the step."""
    slope = panel.layers == "slope"
    log = _is_log(panel, "" if slope else panel.column)
    if panel.lines == "layer":
        series = _by_layer(panel, chosen)
    else:
        lines = _lines(panel.lines, chosen)
        series = [(label, colour, [_over_time(panel, one) for one in runs]) for label, colour, runs in lines]
    drawn = [values for label, colour, curves in series for values in _mean_line(axes, curves, colour, label, log=log)]
    _finish(axes, panel, "decades per layer toward the input" if slope else panel.column, drawn, log=log)
    axes.set_xlabel("step")
    _legend(axes, panel.lines, drawn, log=log)


def _over_time(panel: Course, one: Observation) -> Curve:
    if panel.split is not None:
        return evaluations(one.run, panel.column, panel.split)
    found = column_of(panel.quantity, one.run)
    assert panel.layers is not None  # the claim's validator sees to it
    return found.steps, over_layers(found.layers, found.values_TL, panel.layers)


def _by_layer(panel: Course, chosen: Sequence[Observation]) -> list[tuple[str, Any, list[Curve]]]:
    grids = [column_of(panel.quantity, one.run) for one in chosen]
    shown = _some(np.unique(np.concatenate([found.layers for found in grids])))
    colours = dict(zip(shown, ramp(len(shown)), strict=False))
    return [
        (f"layer {layer}", colours[layer], [_of_layer(found, layer) for found in grids if layer in found.layers])
        for layer in shown
    ]


def _of_layer(found: Grid, layer: int) -> Curve:
    return found.steps, found.values_TL[:, int(np.searchsorted(found.layers, layer))]


def _some(layers_L: Numbers) -> list[int]:
    """The first layer, the last, and some between."""
    count = min(MOST_LAYERS, len(layers_L))
    return [
        int(layers_L[index])
        for index in sorted({round(at) for at in np.linspace(0, len(layers_L) - 1, count).tolist()})
    ]


def _points(axes: Axes, panel: Points, chosen: Sequence[Observation], all_: Sequence[Observation]) -> None:
    """Means and 95 % intervals against a setting."""
    places = _values_of(panel.across, chosen)
    lines = _lines(panel.lines, chosen)
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
        if _ordered(places):
            axes.plot(at, middle, color=colour, lw=0.8, alpha=0.6)
        drawn += [middle - half, middle + half]
    names = [label_of(place, places) for place in places]
    place = axes.get_subplotspec()
    panels = place.get_gridspec().ncols if place else 1
    turned = sum(len(name) + 2 for name in names) > (WIDTH / panels - 0.8) / INCHES_A_LETTER
    axes.set_xticks(range(len(places)), names, rotation=30 if turned else 0, ha="right" if turned else "center")
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xlabel(panel.across.rpartition(".")[2].replace("_", " "))
    if panel.minus or panel.over:
        axes.axhline(0 if panel.minus else 1, color="0.5", lw=0.8)
    _finish(axes, panel, column.removeprefix("test_").removeprefix("train_"), drawn, log=log)
    axes.set_ylabel("")
    _legend(axes, panel.lines, drawn, log=False)


def _mean_at(panel: Points, place: Any, runs: Sequence[Observation], all_: Sequence[Observation]) -> Mean:
    return mean_of(values(panel, [one for one in runs if value_of(one.settings, panel.across) == place], all_))


def _histograms(axes: Axes, panel: Histograms, chosen: Sequence[Observation], _: Sequence[Observation]) -> None:
    """The density in each layer."""
    table = _distributions(panel, chosen[0])
    if not len(table):
        return say(axes, "no histogram was recorded (record.histograms)")
    shown = _some(table["layer"].to_numpy().astype(np.int64))
    rows = table.filter(table["layer"].is_in(shown)).rows()
    for (layer, low, high, counts), colour in zip(rows, ramp(len(shown)), strict=True):
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
    _explain(axes, list(zip(*axes.get_legend_handles_labels(), strict=True)))
    return None


def _distributions(panel: Histograms, one: Observation) -> pl.DataFrame:
    """`layer`, `low`, `high`, `counts`: of the hidden layers' activations, or else of their weight modules."""
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
"""What draws which panel."""


# ------------------------------------------------------------------------------------------------------ lines and axes


def _lines(key: str, chosen: Sequence[Observation]) -> list[Line]:
    """Label, colour and runs of each line; ordered settings have ordered colours."""
    if not key:
        return [("", COLOURS[0], list(chosen))]
    found = _values_of(key, chosen)
    colours: Sequence[Any] = ramp(len(found)) if _ordered(found) and len(found) > 2 else COLOURS
    return [
        (
            _label(key, value, found),
            colours[index % len(colours)],
            [one for one in chosen if value_of(one.settings, key) == value],
        )
        for index, value in enumerate(found)
    ]


def _label(key: str, value: Any, found: Sequence[Any]) -> str:
    """`relu`, but `depth 20`: the name of an activation says itself what it is."""
    text = label_of(value, found)
    text = {"true": "yes", "false": "no"}.get(text, text)
    name = key.rpartition(".")[2].replace("_", " ")
    return text if name in SPEAKING else f"{name} {text}"


def _values_of(key: str, chosen: Sequence[Observation]) -> list[Any]:
    """Values of a setting, in the order of the sweep, numbers by size."""
    found = list(dict.fromkeys(value_of(one.settings, key) for one in chosen))
    return sorted(found) if _ordered(found) else found


def _ordered(found: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)


def _mean_line(axes: Axes, curves: Sequence[Curve], colour: Any, label: str, *, log: bool) -> list[Floats]:
    """Each run thin, their mean thick; returns what was drawn."""
    plot: Callable[..., Any] = log_line if log else Axes.plot
    if len(curves) > 1:
        for x, values_X in curves:
            plot(axes, x, values_X, color=colour, lw=0.5, alpha=0.35)
    x, mean_X = _mean(curves, log=log)
    plot(axes, x, mean_X, color=colour, lw=1.8, label=label)
    return [mean_X, *(values_X for _, values_X in curves)]


def _mean(curves: Sequence[Curve], *, log: bool) -> Curve:
    """The mean, of what is finite, wherever at least half of the runs are; on a log axis the geometric one.

    Runs that diverge end early, with a record that the others do not have.
    """
    x = np.unique(np.concatenate([at for at, _ in curves])) if curves else np.zeros(0, dtype=np.int64)
    values_RX = np.full((len(curves), len(x)), np.nan)
    known_X = np.zeros(len(x), dtype=np.int64)
    for values_X, (at, found) in zip(values_RX, curves, strict=True):
        places = np.searchsorted(x, at)
        values_X[places] = found
        known_X[places] += 1
    shared = 2 * known_X >= len(curves)
    finite_RX = np.isfinite(values_RX) & ((values_RX >= 0) | (not log))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        summed_X = np.where(finite_RX, np.log(values_RX) if log else values_RX, 0).sum(0) / finite_RX.sum(0)
        mean_X = np.exp(summed_X) if log else summed_X
    return x[shared], mean_X[shared]


def _is_log(panel: Frame, column: str) -> bool:
    return panel.scale == "log" if panel.scale else column in LOGARITHMIC


def _finish(axes: Axes, panel: Frame, column: str, drawn: Sequence[Floats], *, log: bool) -> None:
    """Name and scale of the vertical axis."""
    rows = panel.rows if isinstance(panel, Quantity) else ""
    word = WORDS.get(column, column.replace("_", " "))
    if rows == "weight" and column.startswith("activation"):
        word = word.replace("activations", "pre-activations")
    axes.set_ylabel(word)
    found = np.concatenate([np.ravel(values) for values in drawn]) if drawn else np.zeros(0)
    found = found[np.isfinite(found)]
    low, high = (float(found.min()), float(found.max())) if found.size else (0.0, 0.0)
    if log:
        log_axis(axes, found, decades=1)
        if np.subtract(*np.log10(axes.get_ylim())) < -3:
            axes.yaxis.set_minor_locator(NullLocator())
    elif column in SHARES and not getattr(panel, "partner", {}):
        if low >= 0:
            axes.set_ylim(-0.03, max(1.03, 1.03 * high) if high > 0.3 else None)
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=None))
    elif low >= 0:
        axes.set_ylim(bottom=-0.03 * high if isinstance(panel, Points) else 0)  # a point at 0 is seen whole


def _legend(
    axes: Axes, key: str, drawn: Sequence[Floats] = (), extra: Sequence[Line2D] = (), *, log: bool = False
) -> None:
    """Name the lines where there are several, and the marks of `log_line` where there are any."""
    handles, labels = axes.get_legend_handles_labels()
    known = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label and key]
    known += [(line, str(line.get_label())) for line in extra]
    found = np.concatenate([np.ravel(values) for values in drawn]) if log and drawn else np.zeros(0)
    marks = (("v", "exactly 0", (found >= 0) & (found < SMALLEST)), ("x", "NaN or infinite", ~np.isfinite(found)))
    known += [
        (Line2D([], [], ls="", marker=marker, color="0.3", ms=4.5), words) for marker, words, at in marks if at.any()
    ]
    _explain(axes, known)


def _explain(axes: Axes, known: Sequence[tuple[Any, str]]) -> None:
    """A legend where it covers least; beside the panel, where it is too long to find a place in it."""
    beside: Mapping[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "borderaxespad": 0.2}
    if known:
        place = beside if len(known) > MOST_INSIDE else {"loc": "best"}
        axes.legend(*zip(*known, strict=True), handlelength=1.4, fontsize=8, **place)
