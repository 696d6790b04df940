import polars as pl
from matplotlib.figure import Figure

from gradlab.results import compare
from gradlab.snapshot import Findings, HasTables
from gradlab.tables import Finding
from gradlab.views.pictures import figure
from tests.report.reading import Page
from tests.report.test_page import ATTACK, attacked
from tests.test_reporting import folder, sweep  # noqa: F401
from tests.views.synthetic import make_run

FINDING = Finding(
    "vanishing-gradient", "error", "δ shrinks", modules=("0.linear",), remedies=("model.activation=relu",)
)


class Handed(HasTables):
    """Something that hands out a snapshot."""

    def __init__(self, tables):
        self.tables = tables


def test_a_run_shows_its_verdict_its_findings_and_its_network():
    page = Page(Handed(make_run(findings=[FINDING], verdict="vanishing-gradient"))._repr_html_())
    for words in ("made-up", "vanishing-gradient", "δ shrinks", "model.activation=relu", "2.activation"):
        assert words in page.shown
    assert {"script", "a"}.isdisjoint(tag for tag, _ in page.elements)


def test_findings_show_themselves_and_are_a_list():
    findings = Handed(make_run(findings=[FINDING])).findings
    assert findings == [FINDING]
    assert "δ shrinks" in Page(findings._repr_html_()).shown
    assert "No rule found anything" in Page(Findings()._repr_html_()).shown


def test_foreign_text_stays_text_in_a_notebook():
    for shown in (Handed(attacked())._repr_html_(), Handed(attacked()).findings._repr_html_()):
        page = Page(shown)
        assert {"script", "img", "a"}.isdisjoint(tag for tag, _ in page.elements)
        assert "onerror=alert(1)" in page.shown
        assert not set("\x1b\u202e") & set(shown)
    assert ATTACK not in Handed(attacked())._repr_html_()


def test_a_figure_draws_itself_whatever_the_backend():
    drawn = figure(make_run(), "gradient_flow")
    assert isinstance(drawn, Figure)
    assert drawn._repr_png_().startswith(b"\x89PNG")


def test_whoever_has_a_snapshot_can_report_it(tmp_path):
    file = Handed(make_run()).report(tmp_path / "page.html")
    assert "made-up" in file.read_text(encoding="utf-8")


def test_a_comparison_is_a_table(sweep):  # noqa: F811
    table = compare("runs")
    assert isinstance(table, pl.DataFrame)
    assert table["n"].to_list() == [2]
    assert table["verdict"].to_list() == ["healthy"]
    assert table["decades_per_layer_start"][0] < 0
    assert hasattr(table, "_repr_html_")
