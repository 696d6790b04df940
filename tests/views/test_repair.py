"""The table of a repair, at the widths at which people see it."""

import io

import pytest

from gradlab.config import Config
from gradlab.repair.search import search
from gradlab.repair.trial import Outcome
from gradlab.tables import Finding
from gradlab.views.repair import print_repair
from gradlab.views.terminal import plain_console
from tests.repair.made_up import SMALL, STALLED, VANISHING, Laboratory, normalized


def printed(repair, width=80):
    file = io.StringIO()
    print_repair(repair, plain_console(file, width))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def mended(config):
    return ([], 0.9 + 0.01 * config.seed) if normalized(config) else ([VANISHING, STALLED, SMALL], 0.1)


def test_a_repair_shows_what_was_there_what_was_tried_and_what_is_proven():
    lines = printed(search(Config(model={"activation": "sigmoid"}), 3, Laboratory(mended)))
    assert lines[0].split() == ["change", "test", "accuracy", "difference", "runs"]
    text = " ".join(" ".join(lines).split())
    assert "vanishing-gradient, stalled-loss and 1 more" in text
    assert "nothing found · proven, kept" in text
    assert "not better on the first seed" in text or "is still there" in text
    assert lines[-2] == "proven: model.batch_norm=before"
    assert "0.810 ± 0.025 higher on the same 3 seeds" in lines[-1].replace("0.81 ±", "0.810 ±")


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_no_line_is_wider_than_the_terminal(width):
    lines = printed(search(Config(model={"activation": "sigmoid"}), 3, Laboratory(mended)), width)
    assert max(map(len, lines)) <= width
    assert any("proven" in line for line in lines)


def test_what_there_is_to_say_where_nothing_is_repaired():
    assert printed(search(Config(), 2, Laboratory(lambda config: ([], 0.9)))) == [
        "healthy already on 2 seeds: nothing to repair"
    ]
    failed = search(Config(), 2, lambda todo: [Outcome("failed", reason="it raised")] * len(todo))
    assert printed(failed)[-1] == "the config does not run: it raised"
    hopeless = Finding("dead-units", "warning", "dead")
    assert "have no remedy" in printed(search(Config(), 2, Laboratory(lambda config: ([hopeless], 0.1))))[-1]
    never = printed(search(Config(), 2, Laboratory(lambda config: ([VANISHING], 0.1))))
    assert "nothing proven; closest came model.batch_norm=before: vanishing-gradient is still there" in " ".join(never)


def test_foreign_words_cannot_steer_the_terminal():
    evil = Finding("dead-\x1b[31munits", "warning", "x", remedies=("model.batch_norm=before",))
    assert "\x1b" not in "\n".join(printed(search(Config(), 2, Laboratory(lambda config: ([evil], 0.1)))))
