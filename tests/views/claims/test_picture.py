"""Every panel draws, whatever the runs are like. Warnings are errors, so odd numbers must not make any."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gradlab.claims.judging import judge
from gradlab.errors import RunFolderError
from gradlab.views.claims.picture import draw, save_picture
from gradlab.views.pictures.sheet import MOST_LINES
from tests.claims.vocabulary import EXPECT, INF, NAN, PANEL, claim, observed

PROFILE = {"draw": "profile", "column": "delta_rms", "title": "δ", "lines": "model.activation"}
COURSE = {"draw": "course", "column": "delta_rms", "layers": "slope", "title": "slope", "lines": "model.activation"}
LAYERS = {
    "draw": "course",
    "column": "activation_std",
    "lines": "layer",
    "title": "std",
    "of": {"model.activation": "relu"},
}
LOSS = {"draw": "course", "split": "test", "column": "loss", "title": "loss", "lines": "model.activation"}
POINTS = {**PANEL, "across": "model.activation"}
HISTOGRAMS = {"draw": "histograms", "quantity": "activation", "title": "h", "of": {"model.activation": "relu"}}
PANELS = {
    "profile": PROFILE,
    "profile with theory": {**PROFILE, "theory": True},
    "linear profile with theory": {**PROFILE, "theory": True, "column": "activation_std"},
    "profile at the end": {**PROFILE, "at": "end"},
    "profile at a step": {**PROFILE, "at": 12, "scale": "linear"},
    "profile of a share": {**PROFILE, "column": "dead_fraction"},
    "course": COURSE,
    "logarithmic course": {**COURSE, "layers": "first"},
    "course of layers": LAYERS,
    "course of a share": {**LAYERS, "column": "dead_fraction"},
    "loss": LOSS,
    "logarithmic loss": {**LOSS, "scale": "log"},
    "accuracy": {**LOSS, "column": "accuracy"},
    "points": POINTS,
    "logarithmic points": {**POINTS, "scale": "log"},
    "points of a layer": {**POINTS, "measure": {"column": "delta_rms", "layers": "first"}, "scale": "log"},
    "differences": {**POINTS, "minus": {"model.activation": "relu"}},
    "ratios": {**POINTS, "over": {"model.activation": "relu"}},
    "points of a finding": {**POINTS, "measure": {"finding": "diverged"}},
    "points in lines": {**POINTS, "across": "seed", "lines": "model.activation"},
    "histograms": HISTOGRAMS,
    "histograms at the end": {**HISTOGRAMS, "quantity": "delta", "at": "end", "scale": "log"},
}
BOX = {"low": -1.0, "high": 1.0, "counts": [1, 2, 3, 0], "non_finite": 0}


def theory(depth):
    return [
        {"layer": layer, "delta_relative": 10.0 ** (layer - depth + 1), "activation_std": 0.5, "chi": 1.0}
        for layer in range(depth)
    ]


def histograms(depth, steps, box):
    for step in steps:
        for layer in range(depth):
            yield {"step": step, "layer": layer, "module": f"{layer}.weight", "quantity": "delta", **BOX, **box}
            for kind, high in (("weight", 99.0), ("activation", 1.0)):
                yield {"step": step, "layer": layer, "module": f"{layer}.{kind}", "quantity": "activation",
                       **BOX, "high": high, **box}  # fmt: skip


def course(factor):
    return lambda step, layer: factor * 10.0 ** (layer - 2) * (1 + step)


def runs(tmp_path, seeds=2, depth=3, activations=("relu", "tanh"), value=None, box=(), steps=(0, 10, 20), **options):
    """Two activations × two seeds; `value(step, layer, seed)` may stand for every column."""
    found = []
    for activation in activations:
        for seed in range(seeds):
            given = course(seed + 1) if value is None else lambda step, layer, seed=seed: value(step, layer, seed)
            own = steps[seed] if isinstance(steps, dict) else steps
            found.append(
                observed(
                    tmp_path,
                    {"model.activation": activation, "model.depth": depth, "seed": seed},
                    columns={"delta_rms": given, "activation_std": given, "dead_fraction": given},
                    steps=own,
                    evaluations=[(step, "test", given(step, 0), given(step, 0)) for step in own],
                    theory=theory(depth),
                    histograms=list(histograms(depth, sorted({*own[:1], *own[-1:]}), dict(box))),
                    **{"test_accuracy": 0.5 + 0.1 * seed, **options},
                )
            )
    return found


def picture(observations, *panels, **rest):
    verdict = judge(claim(EXPECT, picture=panels, **rest), observations)
    return draw(verdict, observations)


def mean_lines(axes):
    return [line for line in axes.get_lines() if line.get_linewidth() == 1.8]


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()] if axes.get_legend() else []


ODD = {
    "plain": {},
    "one seed": {"seeds": 1},
    "one layer": {"depth": 1},
    "ten layers": {"depth": 10},
    "one record": {"steps": (0,)},
    "no record": {"steps": ()},
    "one run without records": {"steps": {0: (0, 10, 20), 1: ()}},
    "one run ended early": {"steps": {0: (0, 10, 20), 1: (0, 7)}},
    "diverged": {"status": "diverged", "test_accuracy": None,
                 "value": lambda step, layer, seed: (NAN, INF, -INF)[layer % 3] if step == 20 else 1.0 + layer},
    "one run diverged": {"value": lambda step, layer, seed: NAN if step and seed else 2.0},
    "nothing but NaN": {"value": lambda step, layer, seed: NAN, "test_accuracy": None,
                        "box": {"low": None, "high": None, "counts": [0] * 4}},
    "null": {"value": lambda step, layer, seed: None, "test_accuracy": None},
    "null in some layers": {"value": lambda step, layer, seed: None if layer == seed else 1.0},
    "zeros": {"value": lambda step, layer, seed: 0.0, "test_accuracy": 0.0,
              "box": {"low": 0.0, "high": 0.0, "counts": [5, 0, 0, 0]}},
    "some zeros": {"value": lambda step, layer, seed: 0.0 if layer == 0 else 1e-9},
    "tiny and huge": {"value": lambda step, layer, seed: (5e-324, 1e38, 1.0)[layer % 3]},
    "negative": {"value": lambda step, layer, seed: -1.0 - layer, "test_accuracy": -0.1},
}  # fmt: skip


def check(figure):
    for axes in figure.get_axes():
        assert axes.get_title(loc="left")
        assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_is_drawn(tmp_path, panel):
    check(picture(runs(tmp_path), PANELS[panel]))


TRICKY = (
    ("profile with theory", "linear profile with theory", "course", "logarithmic loss"),
    ("course of layers", "accuracy", "logarithmic points", "histograms"),
)


@pytest.mark.parametrize("odd", ODD)
def test_odd_runs_are_drawn(tmp_path, odd):
    observations = runs(tmp_path, **ODD[odd])
    for names in TRICKY:
        check(picture(observations, *map(PANELS.get, names)))


@pytest.mark.parametrize("odd", ["diverged", "zeros", "tiny and huge"])
def test_odd_pictures_are_rendered(tmp_path, odd):
    """What only rendering would warn of: layout, ticks, clipping."""
    observations = runs(tmp_path, **ODD[odd])
    FigureCanvasAgg(picture(observations, *map(PANELS.get, ("profile with theory", *TRICKY[1][:3])))).draw()


@pytest.mark.parametrize("count", [1, 3, 4])
def test_panels_share_a_picture(tmp_path, count):
    figure = picture(runs(tmp_path), *[PROFILE, COURSE, POINTS, HISTOGRAMS][:count])
    assert [axes.get_title(loc="left") for axes in figure.get_axes()][:count] == ["δ", "slope", "test accuracy", "h"][
        :count
    ]
    assert figure.get_suptitle() == "T: not decided by these runs"
    assert figure.get_figwidth() == pytest.approx(8.3)


@pytest.mark.parametrize(
    ("panel", "scale"),
    [
        (PROFILE, "log"),
        ({**PROFILE, "scale": "linear"}, "linear"),
        ({**PROFILE, "column": "dead_fraction"}, "linear"),
        ({**PROFILE, "column": "activation_std", "scale": "log"}, "log"),
        ({**COURSE, "layers": "first"}, "log"),
        (COURSE, "linear"),
        (LOSS, "linear"),
        ({**LOSS, "scale": "log"}, "log"),
        (POINTS, "linear"),
        ({**POINTS, "scale": "log"}, "log"),
    ],
)
def test_scales(tmp_path, panel, scale):
    [axes] = picture(runs(tmp_path), panel).get_axes()
    assert axes.get_yscale() == scale


def test_a_profile_has_the_geometric_mean_on_a_log_axis_and_each_seed_behind_it(tmp_path):
    [axes] = picture(runs(tmp_path), PROFILE).get_axes()
    means = mean_lines(axes)
    assert [line.get_label() for line in means] == ["relu", "tanh"] == legend_of(axes)
    expected = np.sqrt(1 * 2) * 10.0 ** (np.arange(3) - 2)
    np.testing.assert_allclose(means[0].get_ydata(), expected, rtol=1e-12)
    assert len([line for line in axes.get_lines() if line.get_linewidth() == 0.5]) == 4
    [linear] = picture(runs(tmp_path), {**PROFILE, "scale": "linear"}).get_axes()
    np.testing.assert_allclose(mean_lines(linear)[0].get_ydata(), 1.5 * 10.0 ** (np.arange(3) - 2), rtol=1e-12)


def test_theory_of_delta_is_pinned_at_the_last_layer(tmp_path):
    [axes] = picture(runs(tmp_path), {**PROFILE, "theory": True}).get_axes()
    [first, _] = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_allclose(first.get_ydata(), np.sqrt(2) * 10.0 ** (np.arange(3) - 2), rtol=1e-12)
    assert legend_of(axes) == ["relu", "tanh", "theory"]


def test_a_run_that_ended_early_cuts_off_no_other(tmp_path):
    steps = {0: (0, 10, 20, 30), 1: (0, 10, 20, 30), 2: (0, 10, 13)}
    [axes] = picture(runs(tmp_path, seeds=3, steps=steps), {**COURSE, "layers": "first"}).get_axes()
    assert mean_lines(axes)[0].get_xdata().tolist() == [0, 10, 20, 30]
    factors = np.array([1, 2, 3])
    for at, some in ((10, factors), (20, factors[:2])):
        index = mean_lines(axes)[0].get_xdata().tolist().index(at)
        expected = np.exp(np.mean(np.log(some * 0.01 * (1 + at))))
        assert mean_lines(axes)[0].get_ydata()[index] == pytest.approx(expected)
    thin = [line.get_xdata()[-1] for line in axes.get_lines() if line.get_linewidth() == 0.5]
    assert thin == [30, 30, 13] * 2


def test_what_no_axis_can_show_is_marked_and_explained(tmp_path):
    zeros = runs(tmp_path / "a", value=lambda step, layer, seed: 0.0 if layer == 0 else 1.0)
    assert legend_of(picture(zeros, PROFILE).get_axes()[0]) == ["relu", "tanh", "exactly 0"]
    broken = runs(tmp_path / "b", value=lambda step, layer, seed: NAN if layer == 0 else 1.0)
    assert legend_of(picture(broken, PROFILE).get_axes()[0]) == ["relu", "tanh", "NaN or infinite"]


def test_a_course_of_layers_shows_some_of_many(tmp_path):
    [axes] = picture(runs(tmp_path, depth=30), LAYERS).get_axes()
    names = legend_of(axes)
    assert len(names) == MOST_LINES
    assert (names[0], names[-1]) == ("layer 0", "layer 29")


def test_points_are_means_with_their_intervals(tmp_path):
    [axes] = picture(runs(tmp_path, seeds=3), POINTS).get_axes()
    [bars] = axes.containers
    np.testing.assert_allclose(bars[0].get_ydata(), [0.6, 0.6], rtol=1e-12)
    low, high = bars[2][0].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(4.302652729911275 * 0.1 / np.sqrt(3), rel=1e-9)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["relu", "tanh"]
    assert legend_of(axes) == []


def test_differences_below_zero_are_on_a_share_axis_too(tmp_path):
    measure = {"split": "test", "versus": "train", "column": "accuracy"}
    observations = [
        observed(
            tmp_path,
            {"model.activation": name, "seed": seed},
            evaluations=[(0, "test", 1.0, 0.1), (0, "train", 1.0, 0.9)],
        )
        for name in ("relu", "tanh")
        for seed in (0, 1)
    ]
    [axes] = picture(observations, {**POINTS, "measure": measure}).get_axes()
    assert axes.get_ylim()[0] < -0.8


def test_histograms_are_of_the_activations_not_of_what_enters_them(tmp_path):
    [axes] = picture(runs(tmp_path, depth=10), HISTOGRAMS).get_axes()
    assert len(legend_of(axes)) == MOST_LINES
    for line in axes.get_lines():
        x, density = line.get_data()
        np.testing.assert_allclose(x, [-0.75, -0.25, 0.25, 0.75])
        assert sum(density) * 0.5 == pytest.approx(1)


def test_a_long_legend_stands_beside_its_panel(tmp_path):
    for panel, beside in ((LAYERS, True), (PROFILE, False), (HISTOGRAMS, True)):
        figure = picture(runs(tmp_path, depth=10), panel)
        FigureCanvasAgg(figure).draw()
        [axes] = figure.get_axes()
        legend, inside = axes.get_legend().get_window_extent(), axes.get_window_extent()
        assert bool(legend.x0 >= inside.x1) is beside
        assert legend.x1 <= figure.bbox.x1


def test_runs_without_histograms_say_so(tmp_path):
    [axes] = picture([observed(tmp_path)], {**HISTOGRAMS, "of": {}}).get_axes()
    assert "no histogram" in axes.texts[0].get_text()


LONG = [{"name": "normal", "std": std} for std in (0.0001, 0.01, 1.0)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_long_labels_and_titles_stay_within_the_picture_and_their_panel(tmp_path, count):
    observations = [
        observed(tmp_path, {"model.initializer": one, "seed": seed}, test_accuracy=0.5 + 0.1 * seed)
        for one in (*LONG, "pytorch_default", "he_uniform")
        for seed in range(2)
    ]
    title = "how well networks of thirty layers do after ten epochs, with each of the initializers"
    panel = {**POINTS, "across": "model.initializer", "lines": "model.initializer", "title": title}
    figure = picture(observations, *[panel] * count, title="A claim whose title is much longer than one line: " * 3)
    FigureCanvasAgg(figure).draw()
    width, height = figure.bbox.size
    titles = []
    for axes in figure.get_axes():
        labels = [*axes.get_xticklabels(), axes._left_title, axes.xaxis.label, figure._suptitle]
        for label in labels:
            box = label.get_window_extent()
            assert box.x0 >= 0, label
            assert box.x1 <= width, label
            assert box.y0 >= 0, label
            assert box.y1 <= height, label
        titles.append(axes._left_title.get_window_extent())
    assert all(left.x1 <= right.x0 for left, right in pairwise(titles))


def test_the_same_picture_is_the_same_bytes(tmp_path):
    observations = runs(tmp_path / "runs")
    verdict = judge(claim(EXPECT, picture=[PROFILE, COURSE]), observations)
    for name in ("a", "b"):
        save_picture(verdict, observations, tmp_path / "pictures" / f"{name}.png")
    first, second = ((tmp_path / "pictures" / f"{name}.png").read_bytes() for name in ("a", "b"))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_settings_of_matplotlib_stay_as_they_were(tmp_path):
    with mpl.rc_context({"font.size": 23, "axes.grid": False}):
        before = dict(mpl.rcParams)
        [axes] = picture(runs(tmp_path), PROFILE).get_axes()
        assert dict(mpl.rcParams) == before
    assert axes.xaxis.label.get_fontsize() == 9


def test_a_picture_that_cannot_be_written(tmp_path):
    observations = runs(tmp_path / "runs")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write"):
        save_picture(judge(claim(EXPECT), observations), observations, tmp_path / "file" / "x.png")
