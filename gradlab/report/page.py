"""A page in one file: sections, pictures, numbers and scripts, with nothing that is loaded from anywhere.

The page's content security policy forbids every request, and every script whose hash it does not name.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bokeh.resources import Resources

from gradlab.report.markup import Markup, element, hidden_table, json_script, markup
from gradlab.report.numbers import GROUPS
from gradlab.report.pictures import document
from gradlab.statistics import STATISTICS

HERE = Path(__file__).parent
GENERATOR = '<meta content="gradlab report" name="generator">'
"""By this a page of gradlab is known."""


def page(title: str, content: Markup, runs: Sequence[Mapping[str, Any]]) -> str:
    """A whole page.

    Args:
        title: its title.
        content: its sections.
        runs: the numbers of the runs in its pictures; without any, it has no pictures.
    """
    drawn = document()
    numbers = [
        json_script("runs", runs),
        json_script("groups", {group: words for group, (words, _) in GROUPS.items()}),
        json_script(
            "statistics",
            {
                name: {"label": each.label, "log": each.log, "share": each.share, "doc": each.doc}
                for name, each in STATISTICS.items()
            },
        ),
        json_script("bokeh", drawn.to_json(deferred=False)),
        json_script("roots", {root.id: f"picture-{root.name}" for root in drawn.roots}),
    ]
    scripts = [
        *(Resources(mode="inline", components=["bokeh"]).js_raw if runs else []),
        (HERE / "page.js").read_text("utf-8"),
    ]
    scripts = [script.replace("</script", "<\\/script") for script in scripts]
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    # unsafe-eval: Bokeh makes functions of the tick formatters and callbacks of `pictures.py`
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        f"script-src 'unsafe-eval' {hashes}"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Markup(GENERATOR),
        element("title", title),
        element("style", Markup((HERE / "page.css").read_text("utf-8"))),
    )
    body = element(
        "body", content, numbers if runs else None, [element("script", Markup(script)) for script in scripts]
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def pictures(runs: Sequence[str] = ()) -> Markup:
    """The pictures and their controls.

    Args:
        runs: names of the runs to choose from, on a page of several.
    """
    return element(
        "section",
        element("h2", "Pictures", id="pictures", tabindex="-1"),
        element("noscript", element("p", "The pictures need JavaScript; everything else on this page does not.")),
        element("div", _select("run-select", "run", list(enumerate(runs))), class_="controls") if runs else None,
        element("p", "No step was recorded, so that there is nothing to draw.", id="no-pictures", hidden=True),
        element("div", _explorer(), id="explorer"),
        element("div", _figure("loss", "Loss"), _figure("accuracy", "Accuracy"), class_="two"),
        element("section", _spread(), id="spread-section"),
        id="drawn",
    )


HEAT_CAPTION = (
    "Module × step. Grey is exactly 0, pink is NaN or infinite. Click or tap a place to choose its step and module."
)


def _explorer() -> Markup:
    ends = [("value", "at the step that is named"), ("low", "the smallest"), ("high", "the largest")]
    chosen = element("select", id="modules", multiple=True, size="5")
    step = element(
        "input", type="range", id="step", min="0", max="1", step="1", value="0", aria_describedby="step-text"
    )
    return markup(
        element(
            "div",
            _select("statistic", "statistic"),
            _select("finding", "mark the evidence of finding"),
            element("label", "step", step, element("span", id="step-text"), class_="control"),
            _select("part", "colours show of each column", ends),
            class_="controls",
        ),
        element("p", id="about", class_="faint"),
        element("p", id="thinned", class_="faint", hidden=True),
        element(
            "figure",
            element("figcaption", HEAT_CAPTION),
            element("div", id="picture-heat", role="img", aria_label="Heat map of the statistic, module by step"),
            element("output", id="reading", aria_live="polite"),
            _numbers("heat"),
        ),
        element(
            "div",
            _figure("profile", "Across the modules, at the chosen step"),
            element(
                "figure",
                element("figcaption", "Over time, of chosen modules"),
                element("div", id="picture-course", role="img", aria_label="Chosen modules over time"),
                element("ul", id="course-legend", class_="legend"),
                element("label", "modules over time (up to 8)", chosen, class_="control"),
                _numbers("course"),
            ),
            class_="two",
        ),
    )  # fmt: skip


def _figure(name: str, caption: str) -> Markup:
    return element(
        "figure",
        element("figcaption", caption),
        element("div", id=f"picture-{name}", role="img", aria_label=caption),
        element("p", id=f"{name}-legend", class_="faint"),
        _numbers(name),
        id=f"{name}-picture",
    )


def _spread() -> Markup:
    return markup(
        element("h2", "Histograms over time"),
        element("div", _select("spread-quantity", "entries of"), _select("spread-module", "module"), class_="controls"),
        element(
            "figure",
            element("figcaption", "Early steps are light, late ones dark."),
            element("div", id="picture-spread", role="img", aria_label="Histograms of a module at several steps"),
            element("ul", id="spread-legend", class_="legend"),
            _numbers("spread"),
        ),
    )


def _numbers(name: str) -> Markup:
    return hidden_table("the numbers as a table", element("div", id=f"{name}-table", class_="scroll"))


def _select(id_: str, words: str, options: Sequence[tuple[Any, str]] = ()) -> Markup:
    choices = [element("option", name, value=value) for value, name in options]
    return element("label", words, element("select", choices, id=id_), id=f"{id_}-control", class_="control")
