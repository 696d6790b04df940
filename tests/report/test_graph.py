"""The drawn graph of a network."""

import re

from gradlab.report.graph import MANY, MOST_BOXES, network_graph, places
from gradlab.report.network import Module
from gradlab.tables import Finding


def module(number, name, before, findings=()):
    return Module(
        number, number, name, "weight", {"type": "Linear", "shape": [8, 4], "before": before}, {}, {}, findings
    )


def chain(length):
    return [module(n, f"m{n}", [f"m{n - 1}"] if n else []) for n in range(length)]


def test_a_chain_is_a_row_from_the_input_to_the_output():
    at = places(chain(4))
    assert [(at[f"m{n}"].rank, at[f"m{n}"].lane) for n in range(4)] == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_branches_lie_below_one_another_and_meet_to_the_right_of_both():
    branched = [
        module(0, "in", []),
        module(1, "left", ["in"]),
        module(2, "right", ["in"]),
        module(3, "right.2", ["right"]),
        module(4, "sum", ["left", "right.2"]),
    ]
    at = places(branched)
    assert at["left"].rank == at["right"].rank == 1
    assert at["left"].lane != at["right"].lane == at["right.2"].lane
    assert at["sum"].rank == 3
    drawn = network_graph(branched, "0")
    assert drawn.count("<rect") == 5
    assert drawn.count("<path") == 5


def test_a_line_that_passes_a_box_goes_above_it():
    residual = [module(0, "a", []), module(1, "b", ["a"]), module(2, "c", ["b", "a"])]
    skip = re.findall(r'd="([^"]*)"', network_graph(residual, "0"))[-1]
    heights = [int(part.split()[1]) for part in re.split("[MC,]", skip) if part]
    assert heights[0] == heights[-1] > heights[1] >= 0


def test_what_feeds_a_module_and_runs_later_is_a_line_back():
    looped = [module(0, "cell", ["out"]), module(1, "out", ["cell"]), module(2, "gone", ["nowhere"])]
    assert places(looped)["out"].rank == 1
    assert network_graph(looped, "0").count("<path") == 2


def test_boxes_are_links_with_the_health_of_their_module_and_foreign_names_are_text():
    finding = Finding("dead-units", "warning", "m", modules=("<b>",))
    drawn = network_graph([module(0, "<b>", [], [finding]), module(1, "x", ["<b>"])], "3")
    assert "<b>" not in drawn
    assert '<a href="#pictures" data-module="0" data-run="3" class="warning">' in drawn
    assert "&lt;b&gt;: Linear, 8 × 4, dead-units" in drawn
    assert 'class="healthy"' in drawn


def test_a_deep_network_has_narrow_boxes_and_a_vast_one_the_list_alone():
    deep = network_graph(chain(MANY + 1), "0")
    assert "<text" not in deep
    assert int(re.search(r'width="(\d+)"', deep)[1]) < 1000
    assert network_graph(chain(MOST_BOXES + 1), "0") is None
    assert network_graph([Module(0, 0, "m", "weight", {}, {}, {}, ())] * 2, "0") is None
