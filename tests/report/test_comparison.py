import math

import pytest

from gradlab.report.comparison import _polylines
from gradlab.views.comparison.columns import MEASURE_COLUMNS
from tests.report.many import BROKEN, page_of
from tests.report.reading import Page
from tests.report.test_page import ATTACK


def test_the_page_of_many_runs_has_all_of_them():
    page = Page(page_of(unfinished=[BROKEN])[0])
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for _, attributes in page.elements if "href" in attributes}
    assert links <= set(ids)
    assert {f"run-{number}" for number in range(12)} <= links
    assert len(page.json("runs")) == 12
    assert {run["name"] for run in page.json("runs")} >= {"made-up model.depth=2 model.activation=relu seed=0"}
    assert "12 runs in 6 configurations" in page.shown
    assert "Not compared: 1 failed." in page.shown


def test_the_numbers_of_the_table_are_those_of_the_comparison():
    text, comparison, _ = page_of()
    page = Page(text)
    keys = [attributes["data-value"] for tag, attributes in page.elements if tag == "td" and "data-value" in attributes]
    wanted = [row.means["decades_per_layer_start"].value for row in comparison.rows]
    assert set(map(repr, wanted)) <= set(keys)
    assert len(MEASURE_COLUMNS) > 8


def test_the_claim_stands_with_its_verdict_and_its_picture():
    page = Page(page_of()[0])
    assert "Verdict: confirmed" in page.shown
    assert "Depth <b>matters</b>" in page.shown
    (picture,) = [attributes for tag, attributes in page.elements if tag == "img"]
    assert picture["src"].startswith("data:image/svg+xml;base64,")
    assert "confirmed" in picture["alt"]
    assert "The claim is not judged: 2 of 12 runs are not finished." in Page(page_of(claim=False)[0]).shown


def test_foreign_text_stays_text_on_a_page_of_many():
    text, _, _ = page_of(name=ATTACK, verdict=ATTACK, unfinished=[BROKEN])
    page = Page(text)
    assert [attributes["src"][:5] for tag, attributes in page.elements if tag == "img"] == ["data:"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not set("\x1b\x07\u202e") & set(text)


def test_a_run_that_cannot_be_read_hides_no_other():
    from gradlab.report.pages import runs_page
    from gradlab.views.comparison.comparison import compare
    from gradlab.views.comparison.runs import Runs
    from tests.report.many import made

    finished, snapshots = made()
    broken = finished[0].id

    class Broken:
        def __getattr__(self, name):
            raise ValueError("<damaged>")

    page = Page(runs_page("many", compare(Runs(finished, [])), Runs(finished, []), {**snapshots, broken: Broken()}))
    assert "cannot be read: <damaged>" in page.shown
    assert len(page.json("runs")) == 11


@pytest.mark.parametrize(
    ("logs", "pieces"), [([0.0, 1.0, 2.0], 1), ([0.0, -math.inf, 2.0, 3.0], 2), ([math.nan, -math.inf], 0), ([1.0], 1)]
)
def test_a_profile_has_gaps_where_nothing_can_be_drawn(logs, pieces):
    assert len(list(_polylines(logs, 0.0, 3.0))) == pieces
