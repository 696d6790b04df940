import numpy as np
import pytest

from gradlab.errors import RunFolderError, UserError
from gradlab.views.comparison.comparison import compare
from gradlab.views.comparison.picture import MOST_PANELS, crossed_settings, draw, save_picture
from gradlab.views.comparison.runs import collect
from tests.views.comparison.folders import write_run, write_sweep


def comparison(folder, **options):
    return compare(collect([folder]), **options)


def axes_titled(figure, text):
    return [axes for axes in figure.get_axes() if text in axes.get_title(loc="left")]


def test_two_settings_make_heat_maps_of_the_means(tmp_path):
    write_sweep(tmp_path)
    compared = comparison(tmp_path)
    figure, _ = draw(compared)
    for title, name in (("decades per layer", "decades_per_layer_start"), ("accuracy", "test_accuracy")):
        [axes] = axes_titled(figure, title)
        shown = np.asarray(axes.get_images()[0].get_array())
        down, across = [label.get_text() for label in axes.get_yticklabels()], axes.get_xticklabels()
        grid = crossed_settings(compared)
        for row in compared.rows:
            place = grid.lines.index(row.settings[grid.keys[0]]), grid.columns.index(row.settings[grid.keys[1]])
            assert shown[place] == pytest.approx(row.means[name].value)
        assert len(across) * (len(down) or 2) == 4


def test_panels_show_the_profiles(tmp_path):
    write_run(tmp_path, config={"model": {"depth": 3}}, log10_delta_start=[-6.0, -4.0, -2.0])
    figure, _ = draw(comparison(tmp_path))
    [axes] = figure.get_axes()
    start = axes.get_lines()[0]
    np.testing.assert_allclose(start.get_ydata()[[0, 20, 40]], [1e-6, 1e-4, 1e-2])
    np.testing.assert_allclose(start.get_xdata()[[0, -1]], [0, 1])


def test_all_panels_have_one_scale(tmp_path):
    write_sweep(tmp_path)
    figure, _ = draw(comparison(tmp_path))
    panels = [axes for axes in figure.get_axes() if axes.get_yscale() == "log"]
    assert len(panels) == 4
    assert len({axes.get_ylim() for axes in panels}) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"log10_delta_end": [None, None, None]},
        {"log10_delta_end": [None, None], "status": "diverged"},
        {"log10_delta_start": [], "test_accuracy": None, "decades_per_layer_start": None},
        {"log10_delta_end": [-320.0, 300.0]},
        {"log10_delta_end": [-3.0]},
    ],
)
def test_odd_runs_are_drawn(tmp_path, odd):
    write_run(tmp_path, config={"model": {"depth": 5}})
    write_run(tmp_path, config={"model": {"depth": 6}}, **odd)
    save_picture(comparison(tmp_path), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5000


def test_a_sparse_or_longer_grid_is_a_list(tmp_path):
    for number in range(1, 4):
        write_run(tmp_path, config={"model": {"depth": number, "width": number}})
    assert crossed_settings(comparison(tmp_path)) is None


def test_options_that_repeat_their_choice_leave_two_axes(tmp_path):
    for activation in ("gelu", "relu"):
        for depth in (2, 3):
            write_run(tmp_path, config={"model": {"activation": activation, "depth": depth}})
    assert set(crossed_settings(comparison(tmp_path)).keys) == {"model.activation", "model.depth"}


def test_what_has_no_room_is_said(tmp_path):
    for width in range(1, MOST_PANELS + 4):
        write_run(tmp_path, config={"model": {"width": width}})
    left_out = save_picture(comparison(tmp_path), tmp_path / "picture.svg")
    assert "3 rows are not in it" in left_out


def test_pictures_that_cannot_be(tmp_path):
    write_run(tmp_path, log10_delta_end=[], log10_delta_start=[])
    with pytest.raises(UserError, match="nothing to draw"):
        save_picture(comparison(tmp_path), tmp_path / "x.png")
    with pytest.raises(UserError, match="not named like a picture"):
        save_picture(comparison(tmp_path), tmp_path / "x.doc")
    write_run(tmp_path, config={"seed": 1})
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write"):
        save_picture(comparison(tmp_path), tmp_path / "file" / "x.png")
