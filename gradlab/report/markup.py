"""HTML that escapes by itself: text that is not markup cannot become markup, wherever it comes from.

>>> element("p", "a < b ", element("b", "c"), class_="note")
'<p class="note">a &lt; b <b>c</b></p>'
"""

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any

from gradlab.text import one_line, strict_json

VOID = ("input", "meta")
"""Elements that have no end."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def markup(*children: Any) -> Markup:
    """Children one after the other. What is not `Markup` is escaped, with control characters spelled out."""
    return Markup("".join(child if isinstance(child, Markup) else escaped(child) for child in _flat(children)))


def escaped(text: object) -> str:
    """Text as HTML shows it, in element and attribute alike."""
    return html.escape(one_line(str(text)), quote=True)


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element.

    Args:
        name: what it is.
        children: what is in it, also as lists; text is escaped, None is left out.
        attributes: its attributes; `class_` is `class`, `data_step` is `data-step`. True stands alone, None and False
            are left out.
    """
    words = [name]
    for key, value in attributes.items():
        name_ = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(name_)
        elif value is not None and value is not False:
            words.append(f'{name_}="{escaped(value)}"')
    begin = f"<{' '.join(words)}>"
    return Markup(begin if name in VOID else f"{begin}{markup(*children)}</{name}>")


def prose(text: str) -> Markup:
    """A sentence in which `names` between backticks are set as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one of them has no partner
        return markup(text)
    return markup([element("code", part) if index % 2 else part for index, part in enumerate(parts)])


def table(head: Iterable[Any], rows: Iterable[Iterable[Any]], **attributes: Any) -> Markup:
    """A table that scrolls sideways where the page is too narrow for it.

    Args:
        head: the headers.
        rows: the cells of each row; a cell that is no `td` yet becomes one.
        attributes: of the table.
    """
    headers = [cell if _is(cell, "th") else element("th", cell, scope="col") for cell in head]
    body = [row if _is(row, "tr") else element("tr", [_cell(cell) for cell in row]) for row in rows]
    whole = element("table", element("thead", element("tr", headers)), element("tbody", body), **attributes)
    return element("div", whole, class_="scroll")


def hidden_table(title: str, *content: Any) -> Markup:
    """What a picture shows, as text for those who cannot see it; opened with a click or a key."""
    return element("details", element("summary", title), *content)


def json_script(id_: str, value: Any) -> Markup:
    """A value for the scripts of the page, as JSON in which nothing can end the element or begin another one."""
    text = json.dumps(strict_json(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return element("script", Markup(safe), type="application/json", id=id_)


def _flat(children: Iterable[Any]) -> Iterable[Any]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str) or not isinstance(child, Iterable) or isinstance(child, Mapping):
            yield child
        else:
            yield from _flat(child)


def _cell(cell: Any) -> Markup:
    return cell if _is(cell, "td") or _is(cell, "th") else element("td", cell)


def _is(part: Any, name: str) -> bool:
    return isinstance(part, Markup) and part.startswith((f"<{name} ", f"<{name}>"))
