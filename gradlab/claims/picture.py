"""A claim as one picture that answers it at a glance: one to four panels, drawn from the runs."""

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
from gradlab.diagnosis.measures import Floats, Numbers
from gradlab.views.comparison.fold import Mean, mean_of
from gradlab.views.comparison.picture import SPEAKING
from gradlab.views.plots.sheet import DPI, THEORY, WIDTH, depth_axis, drawing, headline, log_axis, log_line, ramp, say

COLOURS = ("#1f4e8c", "#d1495b", "#2a9d6f", "#e59f21", "#7a4fa3", "#4f9fc4", "#8c5a2b", "#555555")
"""Of lines without an order: apart also for those who see no red or green, and in grey."""
MOST_LAYERS = 6
"""Lines of layers in one panel."""
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
TURNED = 30
"""Letters along an axis from which on they are turned."""

Line = tuple[str, Any, list[Observation]]


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
            axes.set_title(panel.title)
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
    drawn: list[Floats] = []
    deepest = np.zeros(1, dtype=np.int64)
    log = _is_log(panel, panel.column)
    for label, colour, runs in _lines(panel.lines, chosen):
        courses = [_at(panel, one) for one in runs]
        layers_L, values_RL = courses[0][0], np.array([values for _, values in courses])
        deepest = layers_L if len(layers_L) > len(deepest) else deepest
        _mean_line(axes, layers_L, values_RL, colour, label, log=log)
        drawn += [*values_RL]
        if panel.theory:
            drawn += _theory_line(axes, panel, runs[0], layers_L, values_RL, log=log)
    _finish(axes, panel, panel.column, drawn, log=log)
    depth_axis(axes, deepest)
    axes.set_xlabel("layer (0 = nearest the input)")
    extra = [Line2D([], [], label="theory", **THEORY)] if panel.theory else []
    _legend(axes, panel.lines, extra)


def _at(panel: Profile, one: Observation) -> tuple[Numbers, Floats]:
    found = column_of(panel, one.run)
    if not found:
        return np.zeros(1, dtype=np.int64), np.full(1, np.nan)
    index = {"start": 0, "end": -1}.get(str(panel.at))
    index = int(np.abs(found.steps - int(panel.at)).argmin()) if index is None else index
    return found.layers, found.values_TL[index]


def _theory_line(
    axes: Axes, panel: Profile, one: Observation, layers_L: Numbers, values_RL: Floats, *, log: bool
) -> list[Floats]:
    """The prediction for the start; δ is predicted relative to the last hidden layer, where it is pinned."""
    at_L, theory_L = predicted(panel, one.run)
    if not len(at_L):
        return []
    if panel.column == "delta_rms":
        last = values_RL[:, list(layers_L).index(at_L[-1])]
        theory_L = theory_L / theory_L[-1] * float(np.exp(np.mean(np.log(last))))
    (log_line if log else Axes.plot)(axes, at_L, theory_L, **THEORY)
    return [theory_L]


def _course(axes: Axes, panel: Course, chosen: Sequence[Observation], _: Sequence[Observation]) -> None:
    """Against the step."""
    drawn: list[Floats] = []
    log = _is_log(panel, panel.column)
    if panel.lines == "layer":
        series = _by_layer(panel, chosen)
    else:
        lines = _lines(panel.lines, chosen)
        series = [(label, colour, [_over_time(panel, one) for one in runs]) for label, colour, runs in lines]
    for label, colour, courses in series:
        shortest = min(len(steps) for steps, _ in courses)  # a run that diverged is shorter
        values_RT = np.array([values[:shortest] for _, values in courses])
        _mean_line(axes, courses[0][0][:shortest], values_RT, colour, label, log=log)
        drawn += [*values_RT]
    _finish(axes, panel, panel.column, drawn, log=log)
    axes.set_xlabel("step")
    _legend(axes, panel.lines)


def _over_time(panel: Course, one: Observation) -> tuple[Numbers, Floats]:
    if panel.split is not None:
        return evaluations(one.run, panel.column, panel.split)
    found = column_of(panel.quantity, one.run)
    assert panel.layers is not None  # the claim's validator sees to it
    return found.steps, over_layers(found.layers, found.values_TL, panel.layers)


def _by_layer(panel: Course, chosen: Sequence[Observation]) -> list[tuple[str, Any, list[tuple[Numbers, Floats]]]]:
    grids = [column_of(panel.quantity, one.run) for one in chosen]
    layers = grids[0].layers
    shown = sorted({round(place) for place in np.linspace(0, len(layers) - 1, min(MOST_LAYERS, len(layers))).tolist()})
    return [
        (f"layer {layers[index]}", colour, [(found.steps, found.values_TL[:, index]) for found in grids])
        for index, colour in zip(shown, ramp(len(shown)), strict=True)
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
    turned = sum(map(len, names)) > TURNED
    axes.set_xticks(range(len(places)), names, rotation=30 if turned else 0, ha="right" if turned else "center")
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xlabel(panel.across.rpartition(".")[2].replace("_", " "))
    if panel.minus or panel.over:
        axes.axhline(0 if panel.minus else 1, color="0.5", lw=0.8)
    _finish(axes, panel, column.removeprefix("test_").removeprefix("train_"), drawn, log=log)
    axes.set_ylabel("")
    _legend(axes, panel.lines)


def _mean_at(panel: Points, place: Any, runs: Sequence[Observation], all_: Sequence[Observation]) -> Mean:
    return mean_of(values(panel, [one for one in runs if value_of(one.settings, panel.across) == place], all_))


def _histograms(axes: Axes, panel: Histograms, chosen: Sequence[Observation], _: Sequence[Observation]) -> None:
    """The density in each layer."""
    table = _distributions(panel, chosen[0])
    if not len(table):
        return say(axes, "no histogram was recorded (record.histograms)")
    for (layer, low, high, counts), colour in zip(table.rows(), ramp(len(table)), strict=True):
        width = (high - low) / len(counts) or 1.0
        middles = low + width * (np.arange(len(counts)) + 0.5)
        axes.plot(middles, np.array(counts) / (sum(counts) * width), color=colour, label=f"layer {layer}", lw=1.2)
    axes.set_xlabel({"delta": "δ", "weight_gradient": "∂L/∂W"}.get(panel.quantity, panel.quantity))
    axes.set_ylabel("density")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", nbins=5)
    axes.ticklabel_format(axis="both", scilimits=(-3, 4), useMathText=True)
    axes.legend(loc="upper right", handlelength=1.2)
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


def _mean_line(axes: Axes, x: Numbers, values_RX: Floats, colour: Any, label: str, *, log: bool) -> None:
    """Each run thin, their mean thick; on a log axis the geometric one."""
    plot: Callable[..., Any] = log_line if log else Axes.plot
    if len(values_RX) > 1:
        for values_X in values_RX:
            plot(axes, x, values_X, color=colour, lw=0.5, alpha=0.35)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_X = np.exp(np.log(values_RX).mean(0)) if log else values_RX.mean(0)
    plot(axes, x, mean_X, color=colour, lw=1.8, label=label)


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
    if log:
        log_axis(axes, found, decades=1)
        if np.log10(np.divide(*axes.get_ylim()[::-1])) > 3:
            axes.yaxis.set_minor_locator(NullLocator())
    elif column in SHARES and found.size and not getattr(panel, "partner", {}):
        axes.set_ylim(-0.03, max(1.03, 1.03 * float(np.nanmax(found))) if np.nanmax(found) > 0.3 else None)
        axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=None))
    elif found.size and np.isfinite(found).any() and np.nanmin(found) >= 0:
        axes.set_ylim(bottom=0)


def _legend(axes: Axes, key: str, extra: Sequence[Line2D] = ()) -> None:
    handles, labels = axes.get_legend_handles_labels()
    known = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label]
    if not key:
        known = []
    known += [(line, str(line.get_label())) for line in extra]
    if known:
        axes.legend(*zip(*known, strict=True), loc="best", handlelength=1.4, fontsize=8)
