import re

import pytest

from gradlab.report.pages import run_page
from gradlab.tables import Finding
from tests.report.reading import Page
from tests.views.synthetic import changed, make_run

ATTACK = "</script><img src=x onerror=alert(1)>\x1b]0;x\x07\u202e$$x$$"


def attacked():
    """A run in which everything that somebody else can write is an attack."""
    finding = Finding(
        ATTACK,
        "error",
        f"`{ATTACK}` {ATTACK}",
        modules=(ATTACK,),
        steps=(0, 1),
        measured={ATTACK: 1.0},
        remedies=(ATTACK,),
    )
    run = make_run(findings=[finding], verdict=ATTACK)
    module = run.layers["module"].replace("1.linear", ATTACK)
    summary = {
        **run.summary,
        "id": ATTACK,
        "config": {ATTACK: ATTACK, "watch": {"model": ATTACK}},
        "problems": [ATTACK],
    }
    histograms = run.histograms.with_columns(module=run.histograms["module"].replace("1.linear", ATTACK))
    return changed(
        run, name=ATTACK, layers=run.layers.with_columns(module=module), histograms=histograms, summary=summary
    )


def test_foreign_text_never_becomes_markup():
    text = run_page(attacked(), {ATTACK: ATTACK})
    page = Page(text)
    assert not [tag for tag, _ in page.elements if tag in ("img", "iframe", "object", "embed", "link")]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not set("\x1b\x07\u202e") & set(text)
    assert page.shown.count("onerror=alert(1)") > 8
    assert any(module["module"] == ATTACK for module in page.json("runs")[0]["modules"])


def test_nothing_is_loaded_from_anywhere():
    page = Page(run_page(make_run(), {}))
    loaded = [
        attributes
        for tag, attributes in page.elements
        for name in ("src", "srcset", "data", "poster", "action")
        if name in attributes
    ]
    assert not loaded
    links = [attributes["href"] for tag, attributes in page.elements if "href" in attributes]
    assert all(link.startswith("#") for link in links)
    policy = next(attributes["content"] for tag, attributes in page.elements if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert not re.search(r"@import|url\(", text_of_styles(run_page(make_run(), {})))


def text_of_styles(page):
    return "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))


@pytest.mark.parametrize(
    "run",
    [
        make_run(),
        make_run(steps=[]),
        make_run(steps=[0], status="interrupted"),
        make_run(histograms=False, evaluations=False),
    ],
)
def test_every_link_and_label_leads_somewhere(run):
    page = Page(run_page(run, {}))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for _, attributes in page.elements if "href" in attributes} <= set(ids)
    assert {
        attributes["aria-describedby"] for _, attributes in page.elements if "aria-describedby" in attributes
    } <= set(ids)


def test_the_page_says_what_was_run_and_found():
    finding = Finding(
        "vanishing-gradient", "error", "δ shrinks", modules=("0.linear",), remedies=("model.activation=relu",)
    )
    run = make_run(findings=[finding], verdict="vanishing-gradient")
    shown = Page(run_page(run, {"torch": "2.13.0"})).shown
    for words in ("vanishing-gradient", "δ shrinks", "model.activation=relu", "2.13.0", "0123456789ab", "0.linear"):
        assert words in shown


def test_the_same_run_is_no_larger_than_a_mail_takes():
    assert len(run_page(make_run(depth=20, steps=range(300)), {})) < 4_000_000
