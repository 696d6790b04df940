import json

import pytest

from gradlab.report.markup import element, json_script, markup, prose, table
from tests.report.reading import Page

ATTACKS = [
    "</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "<b>",
    "&lt;",
    "a\x1b[31m\u202eb",
    "'><svg/onload=1>",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_text_stays_text_wherever_it_stands(text):
    page = Page(
        str(element("p", element("a", text, href="#x", title=text), table([text], [[text]]), prose(f"`{text}`")))
    )
    assert {tag for tag, _ in page.elements} == {"p", "a", "div", "table", "thead", "tbody", "tr", "th", "td", "code"}
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.shown.count(text if text.isprintable() else "a\\x1b[31m\\u202eb") == 4


@pytest.mark.parametrize("text", ATTACKS)
def test_json_cannot_end_its_script(text):
    script = str(json_script("x", {text: [text, float("nan")]}))
    assert not set("<>") & set(script[len('<script type="application/json" id="x">') : -len("</script>")])
    assert Page(script).json("x") == {text: [text, None]}
    assert json.loads(Page(script).scripts[0]["text"])


def test_attributes_and_children():
    made = element("input", class_="a", data_step=3, hidden=True, title=None, checked=False)
    assert made == '<input class="a" data-step="3" hidden>'
    assert markup("a<", [None, element("b", 1)], 2) == "a&lt;<b>1</b>2"


def test_prose_with_one_backtick_is_left_alone():
    assert prose("a `b` c") == "a <code>b</code> c"
    assert prose("a `b c") == "a `b c"
