"""Activations: their size and distribution against depth, and the health of their units."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gradlab.measures.profiles import Floats, Numbers, Profiles, activation_kind, profiles, unit_shares
from gradlab.tables import Tables
from gradlab.text import percent, three_digits
from gradlab.views.pictures.axes import LARGEST, depth_axis, legend, log_axis, log_line, mark_bad_step
from gradlab.views.pictures.heatmaps import BROKEN_CELLS, columns_in_time, fill_cells, layer_heat_map
from gradlab.views.pictures.labels import layer_label
from gradlab.views.pictures.sheet import THEORY_STYLE, picture_title, write_instead

WIDE = 50.0
"""If the largest layer is more than this many times the median one, a linear axis would hide most layers."""
OVERLAP = 1.7
"""Height of a layer's outline, in layers; neighbours overlap."""
LEVEL_FACTOR = 1.5
"""A spread that changes by less over the whole depth is called level."""
ALIKE = 0.01
"""If samples differ so much less in the last layer than in the first one, the last one hardly tells them apart."""
NOTHING = np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0))
CROWDED = 40
"""With more layers than this, outlines would cover each other, and shades are drawn instead."""
MOMENT_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#8fb8d8", "marker": "o", "ms": 3},
    {"color": "#1f2f5f", "marker": "s", "ms": 3},
)
"""Styles of the first and of the last recorded step."""
SHADES = "magma_r"
HARDLY_ANY = 0.005
"""A share below it is rounded to 0 %, and a panel of such shares would be blank."""
NO_HEALTH = "no unit health was recorded"
HEALTH = {"zero_fraction": "zero", "saturated_fraction": "saturated", "dead_fraction": "dead"}


# -------------------------------------------------------------------------------------------------------- statistics


def activation_statistics(figure: Figure, run: Tables) -> None:
    """Mean ± std and RMS against depth, early and late, with the prediction for step 0."""
    left, right = figure.subplots(1, 2)
    kind = activation_kind(run.layers)
    mean, std, rms = (profiles(run.layers, f"activation_{name}", (kind,)) for name in ("mean", "std", "rms"))
    _mean_and_std(left, run, mean, std)
    _size(right, run, std, rms)
    outputs = "" if kind == "activation" else " (outputs of the weight layers: there are no activation modules)"
    picture_title(figure, _statistics_finding(run, rms, std) + outputs)


def _mean_and_std(axes: Axes, run: Tables, mean: Profiles, std: Profiles) -> None:
    axes.set_title("mean (line) ± standard deviation (band)")
    axes.set_ylabel("activation")
    if not mean:
        return write_instead(axes, "no activation was recorded")
    depth_axis(axes, mean.layers)
    chosen = sorted({0, len(mean.steps) - 1})
    centre_TL, spread_TL = (
        np.where(np.abs(values.values_TL[chosen]) <= LARGEST, values.values_TL[chosen], np.nan)
        for values in (mean, std)
    )
    _fit_scale(axes, np.abs(centre_TL) + spread_TL)
    for index, centre_L, spread_L, style, hatch in zip(
        chosen, centre_TL, spread_TL, MOMENT_STYLES, ("", "////"), strict=False
    ):
        fill: dict[str, Any] = {
            "facecolor": (style["color"], 0.25),
            "edgecolor": (style["color"], 0.6),
            "hatch": hatch,
            "lw": 0,
        }
        axes.fill_between(mean.layers, centre_L - spread_L, centre_L + spread_L, **fill)
        axes.plot(mean.layers, centre_L, label=f"step {mean.steps[index]}", **style)
    _theory_line(axes, run, "activation_mean", label="theory, step 0")
    axes.legend(loc="best")
    return None


def _size(axes: Axes, run: Tables, std: Profiles, rms: Profiles) -> None:
    axes.set_title("RMS (line) and standard deviation (dotted)")
    axes.set_ylabel("activation")
    if not rms:
        return write_instead(axes, "no activation was recorded")
    chosen = sorted({0, len(rms.steps) - 1})
    shown = np.concatenate([rms.values_TL[chosen], std.values_TL[chosen]])
    predicted = run.theory.select("activation_rms", "activation_std").to_numpy()
    log_axis(axes, np.concatenate([shown.ravel(), predicted.ravel()]))
    depth_axis(axes, rms.layers)
    for index, style in zip(chosen, MOMENT_STYLES, strict=False):
        log_line(axes, rms.layers, rms.values_TL[index], label=f"step {rms.steps[index]}", **style)
        log_line(axes, std.layers, std.values_TL[index], **{**style, "ls": ":", "marker": ""})
    _theory_line(axes, run, "activation_rms", label="theory: RMS")
    _theory_line(axes, run, "activation_std", label="theory: std", ls=":")
    legend(axes, shown)
    return None


def _theory_line(axes: Axes, run: Tables, column: str, **style: Any) -> None:
    """Draw a predicted column, where it is known."""
    known = run.theory.select("layer", column).drop_nulls()
    if known.height:
        axes.plot(known["layer"].to_numpy(), known[column].to_numpy(), **{**THEORY_STYLE, **style})


def _fit_scale(axes: Axes, sizes: Floats, *, horizontal: bool = False) -> None:
    """Use an asinh scale where layers differ so much in size that a linear one would hide most of them."""
    usable = sizes[np.isfinite(sizes) & (sizes > 1e-300) & (sizes < 1e300)]
    if usable.size and usable.max() > WIDE * np.median(usable):
        (axes.set_xscale if horizontal else axes.set_yscale)("asinh", linear_width=float(np.quantile(usable, 0.1)))


def _statistics_finding(run: Tables, rms: Profiles, std: Profiles) -> str:
    if not rms:
        return "No activation was recorded"
    words = []
    for index in sorted({0, len(std.steps) - 1}):
        ends = [three_digits(end) if np.isfinite(end) else "not finite" for end in std.values_TL[index, [0, -1]]]
        words.append(f"{' → '.join(ends)} at step {std.steps[index]}")
    first_layer, last_layer = (layer_label(run, layer) for layer in (std.layers[0], std.layers[-1]))
    return f"Std of activations, {first_layer} → {last_layer.removeprefix('layer ')}: " + ", ".join(words)


# -------------------------------------------------------------------------------------------------------- histograms


def activation_histograms(figure: Figure, run: Tables) -> None:
    """The distribution of every layer's activations, at the start and the end."""
    kind = activation_kind(run.layers)
    modules = run.layers.lazy().filter(pl.col("kind") == kind).select("layer", "module").unique()
    rows = run.histograms.lazy().filter(pl.col("quantity") == "activation").join(modules, on=("layer", "module"))
    table = rows.unique(("step", "layer"), keep="last").sort("step", "layer").collect()
    steps = table["step"].unique().sort().to_list()
    if not steps:
        write_instead(figure.subplots(), "no histogram was recorded (record.histograms)")
        return picture_title(figure, "No distribution of activations was recorded")
    chosen = sorted({steps[0], steps[-1]})
    across = profiles(run.layers, "across_samples_std", (kind,))
    across = across if any(step in across.steps for step in chosen) else Profiles(*NOTHING)
    ratios = [1.0] * len(chosen) + ([0.7] if across else [])
    panels = figure.subplots(1, len(ratios), sharey=True, squeeze=False, width_ratios=ratios)[0]
    layers = table["layer"].unique().sort().to_numpy().astype(np.int64)
    for axes in panels[1 : len(chosen)]:
        axes.sharex(panels[0])
    _fit_scale(panels[0], _extent(table.filter(pl.col("step").is_in(chosen))), horizontal=True)
    for axes, step in zip(panels, chosen, strict=False):
        _distributions(axes, table.filter(pl.col("step") == step), layers)
        axes.set_title(f"step {step}" + (" (diverged)" if step == run.bad_step else ""))
        axes.label_outer()
    if across:
        _between_samples(panels[-1], across, chosen)
    note = (
        f"{'shade' if len(layers) > CROWDED else 'height'}: square root of density, each layer scaled to its own peak"
    )
    figure.supxlabel(note, fontsize=8, color="0.35")
    return picture_title(figure, _histogram_finding(run, chosen, across))


def _between_samples(axes: Axes, across: Profiles, chosen: list[int]) -> None:
    """How far the activations of a unit differ between samples, against depth."""
    drawn = [step for step in chosen if step in across.steps]
    log_axis(axes, across.values_TL[np.isin(across.steps, drawn)], axis="x")
    for step, style in zip(drawn, MOMENT_STYLES, strict=False):
        values_L = across.values_TL[int(np.searchsorted(across.steps, step))]
        usable = np.isfinite(values_L) & (values_L > 0)
        axes.plot(values_L[usable], across.layers[usable], label=f"step {step}", **style)
    axes.set_title("std between samples")
    axes.set_xlabel("of a unit's activation")
    axes.legend(loc="best")


def _extent(table: pl.DataFrame) -> Floats:
    sides = [table["low"].drop_nulls().to_numpy(), table["high"].drop_nulls().to_numpy()]
    return np.asarray(np.abs(np.concatenate(sides)))


def _distributions(axes: Axes, table: pl.DataFrame, layers_L: Numbers) -> None:
    """Draw the distribution of every layer: as overlapping outlines, or as strips of shades where layers are many."""
    crowded = len(layers_L) > CROWDED
    shapes: list[Floats] = []
    shades: list[float] = []
    for layer, low, high, counts in table.select("layer", "low", "high", "counts").drop_nulls().rows()[::-1]:
        heights = np.sqrt(np.array(counts) / max(*counts, 1))
        edges = np.linspace(low, high, len(counts) + 1)
        if crowded:
            shapes += _strip(layer, edges, heights)
            shades += heights.tolist()
        else:
            shapes.append(_outline(layer, edges, heights))
    if crowded:
        axes.add_collection(
            PolyCollection(shapes, array=np.array(shades), cmap="Blues", edgecolors="face", lw=0.3, clim=(-0.2, 1))
        )
    else:
        axes.add_collection(PolyCollection(shapes, facecolors="#b9cde0", edgecolors="#1f2f5f", lw=0.8))
    axes.autoscale_view()
    depth_axis(axes, layers_L, vertical=True)
    axes.set_ylim(layers_L[0] - 0.6, layers_L[-1] + (0.6 if crowded else OVERLAP + 0.2))
    axes.set_xlabel("activation")
    _write_share_of_broken(axes, table)


def _outline(layer: int, edges: Floats, heights: Floats) -> Floats:
    """Corners of a histogram that stands on its layer's line, (N, 2). A constant layer is a spike."""
    if edges[0] == edges[-1]:
        return np.array([(edges[0], layer), (edges[0], layer + OVERLAP), (edges[0], layer)])
    top = np.stack([np.repeat(edges, 2)[1:-1], layer + OVERLAP * np.repeat(heights, 2)], axis=1)
    return np.concatenate([[(edges[0], layer)], top, [(edges[-1], layer)]])


def _strip(layer: int, edges: Floats, heights: Floats) -> list[Floats]:
    """Corners of a box a bin, on a layer's line. A constant layer is one box without width, seen by its edge."""
    low, high = layer - 0.5, layer + 0.5
    return [np.array([(a, low), (b, low), (b, high), (a, high)]) for a, b in pairwise(edges)][: len(heights)]


def _write_share_of_broken(axes: Axes, table: pl.DataFrame) -> None:
    """Write how many activations are not finite, if there are any."""
    share = pl.col("non_finite") / (pl.col("non_finite") + pl.col("counts").list.sum())
    broken = table.filter(pl.col("non_finite") > 0).select("layer", share=share).sort("share", descending=True)
    if broken.height:
        layer, worst = broken.row(0)
        text = f"NaN or infinite in {broken.height} of {table.height} layers\n(layer {layer}: {percent(worst)})"
        box = {"facecolor": "white", "edgecolor": "0.5"}
        axes.text(0.98, 0.98, text, ha="right", va="top", fontsize=8.5, transform=axes.transAxes, bbox=box)


def _histogram_finding(run: Tables, chosen: list[int], across: Profiles) -> str:
    """The title: what becomes of the activations, and of the differences between samples, on the way to the output."""
    std = profiles(run.layers, "activation_std", (activation_kind(run.layers),))
    if not std:
        return "Distribution of the activations"
    first, last = (layer_label(run, layer) for layer in (std.layers[0], std.layers[-1]))
    changes: dict[str, list[int]] = {}
    for step in chosen:
        for known_L in std.values_TL[std.steps == step]:
            changes.setdefault(_change(known_L[0], known_L[-1]), []).append(step)
    words = " and ".join(
        f"{what} at step{'s' * (len(at) > 1)} {' and '.join(map(str, at))}" for what, at in changes.items()
    )
    text = f"From {first} to {last} the spread of activations {words}"
    if across:
        near, far = across.values_TL[-1, [0, -1]]
        if far < ALIKE * near:
            alike = f"The samples look alike in {last}: they differ by {three_digits(far)} there"
            return f"{alike}, by {three_digits(near)} in {first}\n{text}"
    return text


def _change(first: float, last: float) -> str:
    if not (np.isfinite(first) and np.isfinite(last)):
        return "is not finite"
    if first == last or max(first, last) < LEVEL_FACTOR * min(first, last):
        return "stays level"
    if min(first, last) == 0:
        return "becomes 0" if last == 0 else "begins at 0"
    return f"{'grows' if last > first else 'shrinks'} {three_digits(max(last / first, first / last))}-fold"


# ------------------------------------------------------------------------------------------------------------ health


def unit_health(figure: Figure, run: Tables) -> None:
    """Share of zeros, of saturated entries and of dead units, layer × step, where there are any."""
    grids = {column: unit_shares(run.layers, column) for column in HEALTH}
    zeros, saturated = grids["zero_fraction"], grids["saturated_fraction"]
    if np.array_equal(zeros.values_TL, saturated.values_TL, equal_nan=True):  # ReLU: what is 0 has slope 0
        del grids["saturated_fraction"]
    shown = [column for column, share in grids.items() if share and not (share.values_TL < HARDLY_ANY).all()]
    picture_title(figure, _health_finding(run, grids))
    if not shown:
        figure.set_figheight(1.3)
        known = any(grids.values())
        return write_instead(figure.subplots(), "nothing to draw: below 0.5 % in every layer" if known else NO_HEALTH)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, column in zip(panels, shown, strict=True):
        axes.set_title(f"{HEALTH[column]} units" if column == "dead_fraction" else f"{HEALTH[column]} activations")
        _share(axes, run, grids[column])
    panels[0].set_ylabel("layer (0 = nearest the input)")
    palette = ScalarMappable(Normalize(0, 100), SHADES)
    figure.colorbar(palette, ax=list(panels), label="share, %", pad=0.015, fraction=0.05)
    return None


def _share(axes: Axes, run: Tables, share: Profiles) -> None:
    columns, edges = columns_in_time(share.steps)
    values_LC = share.values_TL[columns].T
    layer_heat_map(axes, 100 * values_LC, share.layers, edges, vmin=0, vmax=100, cmap=SHADES)
    axes.set_ylabel("")
    fill_cells(axes, ~np.isfinite(values_LC), share.layers, edges, **BROKEN_CELLS)
    if len(share.steps) < run.layers["step"].n_unique():
        axes.set_xlabel(f"step (measured at {len(share.steps)})")
    mark_bad_step(axes, run.bad_step, named=False)


def _health_finding(run: Tables, grids: dict[str, Profiles]) -> str:
    words, none = [], []
    for column, share in grids.items():
        finite_TL = np.isfinite(share.values_TL)
        if not finite_TL.any():
            continue
        last = int(np.flatnonzero(finite_TL.any(axis=1))[-1])
        share_L = np.where(finite_TL[last], share.values_TL[last], -1)
        layer = int(share.layers[int(share_L.argmax())])
        if share_L.max() < HARDLY_ANY:
            none.append(HEALTH[column])
        else:
            words.append(f"{HEALTH[column]} {percent(share_L.max())} ({layer_label(run, layer)})")
    if not words:
        return f"Hardly anything is {' or '.join(none)} in any layer at the end" if none else NO_HEALTH.capitalize()
    return "Worst layer, last measured: " + ", ".join([*words, *(f"{name} 0%" for name in none)])
