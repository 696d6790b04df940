import subprocess
import sys

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.patches import PathPatch
from matplotlib.text import Text

from gradlab.errors import UserError
from gradlab.views import pictures
from gradlab.views.pictures import PICTURES, figure, save_pictures
from gradlab.views.pictures.axes import spread_heights
from gradlab.views.pictures.heatmaps import columns_in_time
from gradlab.views.pictures.sheet import some_steps
from gradlab.views.pictures.training import constant_loss
from tests.views.synthetic import INF, NAN, ODD_RUNS, changed, make_run


def lines(axes, **wanted):
    """The lines of axes that have some properties, as x and y."""
    return [
        (line.get_xdata(), line.get_ydata())
        for line in axes.get_lines()
        if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def words(sheet):
    return [sheet.get_suptitle(), *(text.get_text() for axes in sheet.axes for text in axes.texts)]


@pytest.mark.parametrize("options", ODD_RUNS.values(), ids=ODD_RUNS)
def test_every_picture_of_every_odd_run_is_drawn_without_a_warning(options):
    run = make_run(**options)
    for name in PICTURES:
        sheet = figure(run, name)
        sheet.draw_without_rendering()
        assert len(sheet.get_suptitle()) > 10


def test_pictures_are_files_in_a_new_folder(tmp_path):
    paths = save_pictures(make_run(), tmp_path / "run" / "plots")
    assert paths == [tmp_path / "run" / "plots" / f"{name}.png" for name in PICTURES]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_vectors_are_the_same_every_time(tmp_path, monkeypatch, form):
    monkeypatch.setattr(pictures, "PICTURES", {name: PICTURES[name] for name in ("gradient_heatmap", "training")})
    run = make_run()
    first = {path.name: path.read_bytes() for path in save_pictures(run, tmp_path / "a", form)}
    again = {path.name: path.read_bytes() for path in save_pictures(run, tmp_path / "b", form)}
    assert first == again
    start = {"svg": b"<?xml", "pdf": b"%PDF"}[form]
    assert all(name.endswith(f".{form}") and data.startswith(start) for name, data in first.items())


def test_text_in_svg_stays_text(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "PICTURES", {"gradient_flow": PICTURES["gradient_flow"]})
    (file,) = save_pictures(make_run(), tmp_path, "svg")
    assert "RMS δ falls 1 decades per layer" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_change_no_table_and_no_setting(name):
    run, before = make_run(theory=True), dict(mpl.rcParams)
    tables = [run.layers.clone(), run.histograms.clone()]
    figure(run, name)
    assert dict(mpl.rcParams) == before
    assert run.layers.equals(tables[0], null_equal=True)
    assert run.histograms.equals(tables[1], null_equal=True)


def test_pictures_do_not_depend_on_the_users_settings():
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "image.cmap": "jet", "figure.dpi": 20}):
        sheet = figure(make_run(), "gradient_heatmap")
    axes = sheet.axes[0]
    assert axes.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    assert axes.images[0].get_cmap().name == "RdBu_r"
    assert axes.xaxis.label.get_fontsize() == 9


def test_pictures_open_no_window():
    code = "import sys, gradlab.views.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_new_picture_is_a_function_and_an_entry(tmp_path, monkeypatch):
    def losses(figure, run):
        figure.subplots().plot(run.steps["step"], run.steps["loss"])

    monkeypatch.setitem(PICTURES, "losses", (losses, 2.0))
    run = make_run()
    assert figure(run, "losses").get_size_inches().tolist() == [8.3, 2.0]
    assert tmp_path / "losses.png" in save_pictures(run, tmp_path)
    with pytest.raises(UserError) as caught:
        figure(run, "gains")
    assert "overview, losses" in caught.value.fix


def test_unknown_pictures_and_formats_are_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="there is no picture 'gradient'"):
        figure(make_run(), "gradient")
    with pytest.raises(UserError, match="cannot be written as 'gif'"):
        save_pictures(make_run(), tmp_path, "gif")


# ---------------------------------------------------------------------------------------------------------- gradients


def test_gradient_flow_draws_the_measured_delta_on_a_log_axis():
    axes = figure(make_run(depth=4), "gradient_flow").axes[0]
    assert axes.get_yscale() == "log"
    x, y = lines(axes, marker="o")[0]
    np.testing.assert_array_equal(x, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(y, [1e-4, 1e-3, 1e-2, 1e-1, 1])


def test_gradient_flow_says_what_it_shows():
    steep, level = make_run(depth=6), make_run(depth=6, delta=lambda s, layer, d: 0.25)
    assert figure(steep, "gradient_flow").get_suptitle() == (
        "RMS δ falls 1 decades per layer toward the input at step 0, 1 at step 2"
    )
    assert "RMS δ is level at steps 0 and 2" in figure(level, "gradient_flow").get_suptitle()


def test_gradient_flow_scales_the_prediction_through_the_last_hidden_layer_of_step_0():
    run = make_run(depth=4, theory=True, delta=lambda s, layer, d: 7.0 * (s + 1))
    ((x, y),) = lines(figure(run, "gradient_flow").axes[0], linestyle="--")
    np.testing.assert_array_equal(x, [0, 1, 2, 3, 4])
    np.testing.assert_allclose(y, [7e-3, 7e-2, 7e-1, 7, NAN])


def test_lines_that_coincide_have_one_name():
    same = make_run(depth=4, steps=range(100))
    assert "steps 0–99" in words(figure(same, "gradient_flow"))
    later = make_run(depth=4, steps=range(100), delta=lambda s, layer, d: 10.0 ** (layer - d) / (1 if s < 50 else 9))
    assert {"steps 0–39", "step 99"} <= set(words(figure(later, "gradient_flow")))


def test_a_layer_without_a_gradient_is_a_gap_and_no_line():
    run = make_run(depth=4, delta=lambda s, layer, d: None if layer == 2 else 10.0 ** (layer - d))
    for axes in figure(run, "gradient_flow").axes:
        x, y = lines(axes, marker="o")[0]
        np.testing.assert_array_equal(x, [0, 1, 2, 3, 4])
        np.testing.assert_array_equal(np.isnan(y), [False, False, True, False, False])
        assert not lines(axes, marker="x"), "no value is not the same as NaN"
    heat = figure(run, "gradient_heatmap").axes[0]
    assert np.isnan(heat.images[0].get_array().filled(NAN)[2]).all()
    assert not heat.patches


def test_an_arrow_shows_which_way_the_backward_pass_goes():
    (arrow,) = (
        text for text in figure(make_run(), "gradient_flow").axes[0].texts if text.get_text() == "backward pass"
    )
    assert arrow.xy[0] < arrow.get_position()[0]


def test_the_band_is_that_of_networks_of_this_width():
    run = make_run(depth=3, theory=True, delta=lambda s, layer, d: 1.0)
    variance = pl.Series("delta_log_variance", [0.2, 0.1, 0.0])
    run = changed(run, theory=run.theory.with_columns(variance, delta_relative=1.0))
    (area,) = (c for c in figure(run, "gradient_flow").axes[0].collections if c.get_label() == "95 % band")
    corners = area.get_paths()[0].vertices
    at_first = corners[corners[:, 0] == 0][:, 1]
    assert at_first.min() == pytest.approx(np.exp((-0.1 - 1.96 * 0.2**0.5) / 2))
    assert at_first.max() == pytest.approx(np.exp((-0.1 + 1.96 * 0.2**0.5) / 2))


def test_gradient_flow_marks_zeros_below_and_broken_values_above():
    run = make_run(depth=3, steps=[0], delta=lambda s, layer, d: (0.0, NAN, INF, 1.0)[layer])
    axes = figure(run, "gradient_flow").axes[0]
    ((zeros, low),) = lines(axes, marker="v")
    ((broken, high),) = lines(axes, marker="x")
    assert (zeros.tolist(), broken.tolist()) == ([0], [1, 2])
    assert low.max() < 0.1
    assert high.min() > 0.9
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["exactly 0", "NaN or infinite"]


def test_what_is_level_does_not_look_steep():
    axes = figure(make_run(delta=lambda s, layer, d: 1.0 + 0.01 * layer), "gradient_flow").axes[0]
    low, high = axes.get_ylim()
    assert high / low >= 999


def test_heatmap_shows_log10_relative_to_the_last_hidden_layer_and_hatches_what_has_none():
    run = make_run(depth=3, delta=lambda s, layer, d: 0.0 if layer == 0 else NAN if s == 2 else 10.0 ** (layer - s))
    axes = figure(run, "gradient_heatmap").axes[0]
    shown = axes.images[0].get_array().filled(NAN)
    np.testing.assert_allclose(shown[:, 0], [NAN, -1, 0, 1])
    np.testing.assert_allclose(shown[:, 1], shown[:, 0], err_msg="that all of δ falls is not to be seen")
    low, high = axes.images[0].get_clim()
    assert low == -high, "white is 0"
    zero, broken = (patch for patch in axes.patches if isinstance(patch, PathPatch))
    assert (zero.get_hatch(), broken.get_hatch()) == ("/////", "xxxxx")
    to_cells = axes.transData.inverted()
    np.testing.assert_allclose(zero.get_extents().transformed(to_cells).bounds, [-0.5, -0.5, 3, 1])
    np.testing.assert_allclose(broken.get_extents().transformed(to_cells).bounds, [1.5, 0.5, 1, 3])


@pytest.mark.parametrize("name", ["gradient_heatmap", "updates", "training"])
def test_a_diverged_run_is_marked_at_its_bad_step(name):
    sheet = figure(make_run(**ODD_RUNS["diverged"]), name)
    assert "diverged at step 2" in words(sheet)
    marked = [line for axes in sheet.axes for line in lines(axes)]
    assert any(list(x) == [2, 2] and list(y) == [0, 1] for x, y in marked)


# -------------------------------------------------------------------------------------------------------- activations


def test_activations_are_those_of_the_activation_modules():
    run = make_run(activation=lambda s, layer: (layer, 0.5))
    mean = lines(figure(run, "activation_statistics").axes[0], marker="s")[0]
    np.testing.assert_array_equal(mean[1], [0, 1, 2, 3])
    (outlines,) = (c for c in figure(run, "activation_histograms").axes[0].collections if isinstance(c, PolyCollection))
    corners = np.concatenate([path.vertices for path in outlines.get_paths()])
    assert (corners[:, 0].min(), corners[:, 0].max()) == (-1, 4), "not the ±9e9 of the linear modules"


def test_without_activation_modules_the_weight_layers_stand_for_them():
    title = figure(make_run(kinds=("weight", "output")), "activation_statistics").get_suptitle()
    assert "there are no activation modules" in title.replace("\n", " ")


def test_histograms_say_what_is_not_finite():
    run = make_run(activation=lambda s, layer: (NAN, NAN) if layer else (0.5, 0.25))
    assert "NaN or infinite in 3 of 4 layers\n(layer 1: 100%)" in words(figure(run, "activation_histograms"))


def test_health_is_in_percent():
    panels = figure(make_run(), "unit_health").axes[:3]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "zero activations",
        "saturated activations",
        "dead units",
    ]
    shown = [axes.images[0].get_array().filled(NAN) for axes in panels]
    np.testing.assert_allclose(shown[0], np.full((4, 3), 50))
    np.testing.assert_allclose(shown[1], np.repeat([[0], [2], [4], [6]], 3, axis=1))
    np.testing.assert_allclose(shown[2], np.full((4, 1), 10), err_msg="measured once")


def test_health_has_no_blank_panels_and_saturated_only_where_it_is_not_zero():
    run = make_run()
    relu = run.layers.with_columns(saturated_fraction=pl.col("zero_fraction"))
    titles = [axes.get_title(loc="left") for axes in figure(changed(run, layers=relu), "unit_health").axes]
    assert titles == ["zero activations", "dead units", ""], "the last one is the colour bar"
    shares = ("zero_fraction", "saturated_fraction", "dead_fraction")
    none = run.layers.with_columns([pl.col(name) * 0 for name in shares])
    sheet = figure(changed(run, layers=none), "unit_health")
    assert not sheet.axes[0].images
    assert sheet.get_suptitle() == "Hardly anything is zero or dead in any layer at the end"


def test_histograms_conclude_and_show_how_far_samples_differ():
    run = make_run(depth=4)
    rows = run.layers.with_columns(
        across_samples_std=pl.when(pl.col("kind") == "activation").then(10.0 ** (-pl.col("layer").cast(pl.Float64)))
    )
    sheet = figure(changed(run, layers=rows), "activation_histograms")
    assert sheet.get_suptitle().replace("\n", " ") == (
        "The samples look alike in layer 3: they differ by 0.001 there, by 1 in layer 0 "
        "From layer 0 to layer 3 the spread of activations stays level at steps 0 and 2"
    )
    x, y = lines(sheet.axes[2], marker="o")[0]
    np.testing.assert_allclose(x, [1, 0.1, 0.01, 0.001])
    np.testing.assert_array_equal(y, [0, 1, 2, 3])
    wide = make_run(depth=4, activation=lambda s, layer: (0.0, 10.0**layer))
    assert "grows 1e+03-fold at steps 0 and 2" in figure(wide, "activation_histograms").get_suptitle()


def test_predicted_rms_and_std_are_told_apart_and_fit_the_axis():
    run = make_run(depth=4, theory=True)
    theory = run.theory.with_columns(activation_rms=10.0 ** (3 * pl.col("layer")), activation_std=0.5)
    axes = figure(changed(run, theory=theory), "activation_statistics").axes[1]
    ((_, rms),) = lines(axes, label="theory: RMS")
    assert lines(axes, label="theory: std", linestyle=":")
    assert axes.get_ylim()[1] > rms.max() == 1e9


def test_what_is_not_finite_is_said_in_words():
    run = make_run(activation=lambda s, layer: (0.5, NAN if layer == 3 and s == 2 else 0.25))
    title = figure(run, "activation_statistics").get_suptitle()
    assert title.endswith("0.25 → 0.25 at step 0, 0.25 → not finite at step 2")


def test_the_noise_of_the_loss_has_a_running_mean():
    run = make_run(steps=range(200), loss=lambda s: 2.0 + (-1) ** s)
    ((_, mean),) = lines(figure(run, "training").axes[0], label="mean of 10 batches")
    np.testing.assert_allclose(mean[10:-10], 2.0)


@pytest.mark.parametrize(
    ("chain", "title"),
    [
        ([["NllLoss", []], ["LogSoftmax", [64, 10]], ["Addmm", [64, 10]]], "loss (cross-entropy, nats)"),
        ([["Mul", []], ["MseLoss", []], ["Addmm", [64, 1]]], "loss (mean squared error)"),
        ([["Mean", []], ["Pow", [64]], ["Addmm", [64, 1]]], "loss"),
    ],
)
def test_the_loss_of_a_watched_model_is_named_where_the_graph_tells(chain, title):
    graph = {"trained": 1, "unreached": {}, "not_optimized": {}, "strangers": [], "outside": {}, "fresh": []}
    run = changed(make_run(), config=None, summary={"graph": {**graph, "chains": [chain]}})
    assert figure(run, "training").axes[0].get_title(loc="left") == title


@pytest.mark.parametrize(
    ("name", "options", "note"),
    [
        ("gradient_flow", "no update", "no gradient was recorded"),
        ("activation_histograms", "no histograms, no evaluations", "no histogram was recorded\n(record.histograms)"),
        ("training", "no step at all", "no finite loss was recorded"),
        ("unit_health", "no step at all", "no unit health was recorded"),
        ("updates", "no update", "no update ratio was recorded (it\ndoes not apply to weights that are\nall 0)"),
    ],
)
def test_pictures_say_what_is_missing(name, options, note):
    assert note in words(figure(make_run(**ODD_RUNS[options]), name))


# ----------------------------------------------------------------------------------------------------------- progress


def test_the_loss_of_a_constant_guess_is_shown_where_it_is_known():
    assert constant_loss(make_run().config) == pytest.approx(np.log(10))
    assert constant_loss(make_run(classes={"name": "gaussian", "classes": 3}).config) == pytest.approx(np.log(3))
    assert constant_loss(make_run(**ODD_RUNS["unknown classes"]).config) is None


def test_updates_show_the_guide_and_the_layers_that_stand_still():
    run = make_run(depth=3, delta=lambda s, layer, d: (0.0, 0.01, 0.01, 10.0)[layer])
    sheet = figure(run, "updates")
    assert any(set(y) == {1e-3} for _, y in lines(sheet.axes[0], linestyle="--"))
    assert "2 of 4 layers within a decade of 10⁻³, 1 do not move at all" in sheet.get_suptitle().replace("\n", " ")


def test_overview_has_name_verdict_and_status():
    assert figure(make_run(), "overview").get_suptitle().startswith("made-up: healthy (completed)\n")


# -------------------------------------------------------------------------------------------------------------- sheet


def test_moments_begin_and_end_with_the_run():
    assert some_steps(np.arange(500)) == [0, 2, 11, 41, 143, 499]
    assert some_steps(np.arange(2)) == [0, 1]
    assert some_steps(np.arange(0)) == []


def test_apart_keeps_order_and_distance():
    moved = spread_heights(np.array([0.5, 0.5, 0.5, 0.99, 1.0]), gap=0.1)
    assert (np.diff(moved) >= 0.1 - 1e-12).all()
    assert moved.max() <= 0.97 + 1e-12


def test_in_time_shows_the_nearest_record():
    columns, edges = columns_in_time(np.array([0, 10, 11]))
    assert columns.tolist() == [0] * 6 + [1] * 5 + [2]
    assert edges == (-0.5, 11.5)
    assert columns_in_time(np.array([7]))[0].tolist() == [0]


def everything_written(drawn):
    """Everything that is written in a picture."""
    drawn.draw_without_rendering()
    return " ".join(text.get_text() for text in drawn.findobj(Text))


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_watched_models_name_modules(name):
    run = make_run(depth=3)
    watched = changed(run, config=None, layers=run.layers.with_columns(module="net." + pl.col("module")))
    said = everything_written(figure(watched, name))
    assert "layer (0" not in said
    assert "layer 0" not in said
    if name not in ("training", "activation_histograms"):  # no layer in the one, no data for the other
        assert "net.0.linear" in said or "net.2" in said
    assert "net." not in everything_written(figure(run, name))
