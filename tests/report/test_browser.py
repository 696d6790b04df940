"""The page in a real browser: it complains of nothing, asks for nothing, and shows the numbers of the run."""

import json
import re

import numpy as np
import polars as pl
import pytest

from gradlab.report.pages import run_page
from gradlab.tables import Finding
from gradlab.text import compact
from tests.report.browser import chromium, opened
from tests.report.many import BROKEN, page_of
from tests.report.test_page import ATTACK, attacked
from tests.views.synthetic import INF, NAN, make_run

pytestmark = pytest.mark.slow

FINDINGS = [
    Finding("vanishing-gradient", "error", "m", modules=("0.linear", "1.linear"), layers=(0, 1), steps=(0, 19)),
    Finding("dead-units", "warning", "m", modules=("2.activation",), steps=(3, 9), measured={"dead_fraction": 0.4}),
]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def write(tmp_path):
    def write(run):
        file = tmp_path / "report.html"
        file.write_text(run_page(run, {}), encoding="utf-8")
        return file

    return write


def run_with_findings(**options):
    return make_run(depth=4, steps=range(20), theory=True, findings=FINDINGS, verdict="vanishing-gradient", **options)


def value(page, name, column="y"):
    """A column of one of the sources of the pictures, as the browser has it."""
    script = f"Array.from(Bokeh.documents[0].get_model_by_name({name!r}).data[{column!r}], Number)"
    return page.evaluate(script)


def cells(page, id_):
    """A table under a picture, opened as a person would: its rows as lists of text."""
    page.locator(f"#{id_}").locator("xpath=ancestor::details").locator("summary").click()
    return [row.split("\t") for row in page.locator(f"#{id_} table").inner_text().splitlines()]


def test_the_numbers_on_the_page_are_those_of_the_run(browser, write):
    run = run_with_findings()
    with opened(browser, write(run)) as page:
        last = run.layers.filter((pl.col("step") == 19) & pl.col("kind").is_in(["weight", "output"])).sort("layer")
        assert value(page, "profile now") == pytest.approx(np.log10(last["delta_rms"].to_numpy()).tolist(), abs=1e-5)
        shown = cells(page, "profile-table")[1:]
        assert [row[2] for row in shown] == [compact(delta) for delta in last["delta_rms"]]
        assert [row[0].split(", ")[1] for row in shown] == last["module"].to_list()
        losses = [row for row in cells(page, "loss-table") if row[0] == "batch"]
        wanted = dict(run.steps.select("step", "loss").iter_rows())
        assert [compact(wanted[int(step)]) for _, step, _ in losses] == [loss for _, _, loss in losses]


def test_every_statistic_and_finding_can_be_chosen(browser, write):
    with opened(browser, write(run_with_findings())) as page:
        for option in page.locator("#statistic option").all():
            page.select_option("#statistic", option.get_attribute("value"))
            assert page.locator("#about").inner_text()
        page.select_option("#finding", "1")
        assert page.evaluate("gradlab.state.matrix.statistic") == "dead_fraction"
        assert value(page, "heat marks", "left") == [2.5]
        assert value(page, "heat marks", "right") == [9.5]
        page.locator("a[data-finding='0']").click()
        assert page.evaluate("gradlab.state.matrix.statistic") == "delta_rms"
        assert (value(page, "heat marks", "bottom"), value(page, "heat marks", "top")) == ([-0.5], [1.5])
        assert page.input_value("#finding") == "0"


def test_step_and_modules_follow_the_controls_and_the_keyboard(browser, write):
    run = run_with_findings(loss=lambda step: 1.0)
    with opened(browser, write(run)) as page:
        page.focus("#step")
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        assert page.locator("#step-text").inner_text() == "step 15"
        page.select_option("#modules", ["1", "3"])
        assert page.locator("#course-legend li").all_inner_texts() == ["layer 1, 1.linear", "layer 3, 3.linear"]
        page.locator("a[data-module]", has_text="2.activation").click()
        assert page.locator("#course-legend li").all_inner_texts() == ["layer 2, 2.activation"]
        page.select_option("#spread-quantity", "activation")
        page.select_option("#spread-module", index=1)
        assert page.locator("#spread-legend li").count() == 2


def test_the_reading_under_the_pointer_is_the_number_in_the_table(browser, write):
    run = run_with_findings()
    with opened(browser, write(run), viewport={"width": 1200, "height": 900}) as page:
        picture = page.locator("#picture-heat")
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        seen = set()
        for across in (0.3, 0.5, 0.7):
            for down in (0.3, 0.5, 0.7):
                page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
                page.wait_for_timeout(80)
                layer, module, step, text = re.fullmatch(
                    r"layer (\d+), (\S+) · step (\d+) · RMS δ (\S+)", page.locator("#reading").inner_text()
                ).groups()
                here = run.layers.filter((pl.col("module") == module) & (pl.col("step") == int(step)))
                assert here["layer"].item() == int(layer)
                assert text == compact(here["delta_rms"].item())
                seen.add((layer, step))
        assert len(seen) == 9
        page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        page.wait_for_timeout(400)
        assert page.locator("#step-text").inner_text() != "step 19"


def test_an_attack_is_shown_as_text_and_draws_without_typesetting(browser, write):
    with opened(browser, write(attacked())) as page:
        page.locator("a[data-module]", has_text="onerror").first.click()
        for details in page.locator("details summary").all():
            details.click()
        assert ATTACK in page.evaluate("gradlab.state.modules['heat y'].join()")
        assert page.locator("img").count() == 0


@pytest.mark.parametrize("delta", [0.0, NAN, INF, 1e-200])
def test_values_that_no_scale_can_hold_are_named(browser, write, delta):
    run = make_run(depth=3, steps=range(4), delta=lambda step, layer, depth: delta if layer == 1 else 1.0)
    with opened(browser, write(run)) as page:
        assert cells(page, "profile-table")[2][2] == compact(delta)


def test_thinned_steps_are_announced_and_their_extremes_can_be_chosen(browser, tmp_path, monkeypatch):
    monkeypatch.setattr("gradlab.report.numbers.BUDGET", 30_000)
    run = make_run(depth=3, steps=range(400), delta=lambda step, layer, depth: 1e9 if step == 333 else 1.0)
    file = tmp_path / "report.html"
    file.write_text(run_page(run, {}), encoding="utf-8")
    with opened(browser, file) as page:
        assert "Thinned out" in page.locator("#thinned").inner_text()
        assert not any("1e9" in cell or "1.0e9" in cell for row in cells(page, "heat-table") for cell in row)
        page.select_option("#part", "high")
        assert max(page.evaluate("Array.from(gradlab.state.matrix.high)")) == pytest.approx(9)


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_as_wide_as_the_screen_and_follows_its_colours(browser, write, width, scheme):
    with opened(
        browser, write(run_with_findings()), viewport={"width": width, "height": 800}, color_scheme=scheme
    ) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper = page.evaluate("Bokeh.documents[0].get_model_by_name('heat').background_fill_color")
        assert paper == {"light": "#ffffff", "dark": "#171b20"}[scheme]
        page.emulate_media(color_scheme="dark")
        colour = "Bokeh.documents[0].get_model_by_name('loss').background_fill_color"
        page.wait_for_function(f"{colour} === '#171b20'")


@pytest.mark.parametrize(
    "run", [make_run(steps=[]), make_run(steps=[0]), make_run(histograms=False, evaluations=False)]
)
def test_a_run_of_hardly_anything_has_a_page(browser, write, run):
    with opened(browser, write(run)) as page:
        assert "Verdict" in page.locator("body").inner_text()


def test_numbers_are_written_as_in_the_terminal(browser, write):
    run = make_run()
    some = [0.0, 1.234e-34, 0.01234, 12.34, 1234.0, 9999.6, -5e-7, 0.001, 999.9, 1e100, 123456.0]
    with opened(browser, write(run)) as page:
        assert page.evaluate(f"{json.dumps(some)}.map((each) => gradlab.compact(each))") == [
            compact(each) for each in some
        ]


def test_the_comparison_sorts_filters_and_leads_to_its_runs(browser, tmp_path):
    text, comparison, snapshots = page_of(unfinished=[BROKEN])
    file = tmp_path / "many.html"
    file.write_text(text, encoding="utf-8")
    with opened(browser, file) as page:
        rows = page.locator("table.sortable tbody tr")
        heads = page.locator("table.sortable th button").all_inner_texts()
        number = heads.index("decades per layer start")
        for direction, reverse in (("ascending", False), ("descending", True)):
            page.locator("table.sortable th button").nth(number).click()
            assert page.locator("table.sortable th").nth(number).get_attribute("aria-sort") == direction
            keys = [float(row.locator("td").nth(number).get_attribute("data-value")) for row in rows.all()]
            assert keys == sorted(
                (row.means["decades_per_layer_start"].value for row in comparison.rows), reverse=reverse
            )
        page.fill("#filter", "tanh")
        assert page.locator("#filtered").inner_text() == "3 of 6 rows"
        assert page.locator("table.sortable tbody tr:visible").count() == 3
        page.select_option("#run-select", "5")
        assert page.evaluate("gradlab.state.run") == 5
        link = page.locator("table.sortable tbody tr:visible a").first
        run = int(link.get_attribute("data-run"))
        link.click()
        assert page.evaluate("gradlab.state.run") == run
        assert page.locator(f"#run-{run}").get_attribute("open") is not None
        ids = [id_ for row in comparison.rows for id_ in (one.id for one in row.runs)]
        last = (
            snapshots[ids[run]]
            .layers.filter((pl.col("step") == 2) & pl.col("kind").is_in(["weight", "output"]))
            .sort("layer")
        )
        assert value(page, "profile now") == pytest.approx(np.log10(last["delta_rms"].to_numpy()).tolist(), abs=1e-5)
