"""The network of a run as a drawing: a box a module, coloured by its health, and a line to each module that it feeds.

Modules stand from the input on the left to the output on the right, each to the right of all that feed it; branches lie
below one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gradlab.report.markup import Markup, element
from gradlab.report.network import Module
from gradlab.text import shortened

MOST_BOXES = 600
"""Modules that are drawn at most; of larger networks there is the list alone."""
LETTERS = 12
WIDE, NARROW = (92, 24), (8, 5)
"""Width of a box and of the gap to the next one; in networks of more than `MANY` steps boxes have no room for names."""
MANY = 60
HEIGHT, BELOW, ABOVE = 36, 12, 30
"""Height of a box, the gap below it, and the room above all of them, for lines that pass others by."""


@dataclass(frozen=True)
class Place:
    """Where a module stands: how many modules are before it on the longest way, and how many branches above it."""

    rank: int
    lane: int


def places(modules: Sequence[Module]) -> dict[str, Place]:
    """Where each module stands, by name. What feeds a module and ran only later, as in a loop, is not looked at."""
    found: dict[str, Place] = {}
    taken: set[Place] = set()
    for module in modules:
        feeders = [found[name] for name in module.graph.get("before") or [] if name in found]
        rank = 1 + max((place.rank for place in feeders), default=-1)
        lane = feeders[0].lane if feeders else 0
        if Place(rank, lane) in taken:
            lane = next(free for free in range(len(modules)) if Place(rank, free) not in taken)
        found[module.name] = Place(rank, lane)
        taken.add(found[module.name])
    return found


def network_graph(modules: Sequence[Module], prefix: str) -> Markup | None:
    """The drawing; None where the graph of the step is not known, or is too large.

    Args:
        modules: the modules.
        prefix: the number of the run on the page.
    """
    known = [module for module in modules if module.graph]
    if not 1 < len(known) <= MOST_BOXES:
        return None
    at = places(known)
    ranks, lanes = (1 + max(getattr(place, name) for place in at.values()) for name in ("rank", "lane"))
    box, gap = NARROW if ranks > MANY else WIDE
    corners = {
        name: (place.rank * (box + gap) + 2, place.lane * (HEIGHT + BELOW) + ABOVE) for name, place in at.items()
    }
    lines = [
        element("path", d=_line(corners[before], corners[module.name], box, gap))
        for module in known
        for before in module.graph.get("before") or []
        if before in corners
    ]
    boxes = [_box(module, *corners[module.name], box, prefix) for module in known]
    width, height = ranks * (box + gap) - gap + 4, lanes * (HEIGHT + BELOW) + ABOVE
    title = element("title", f"The graph of the network: {len(known)} modules; the list below has the same.")
    drawing = element(
        "svg", title, lines, boxes, width=width, height=height, viewBox=f"0 0 {width} {height}", class_="graph"
    )
    return element("div", drawing, class_="scroll", tabindex=0)


def _line(start: tuple[int, int], end: tuple[int, int], box: int, gap: int) -> str:
    """From the right side of one box to the left side of another, above those that stand between in the same branch."""
    (x, y), (to_x, to_y) = (start[0] + box, start[1] + HEIGHT // 2), (end[0], end[1] + HEIGHT // 2)
    if y == to_y and 0 < to_x - x <= gap:
        return f"M{x} {y}H{to_x}"
    over = min(y, to_y) - HEIGHT // 2 - 14 if y == to_y else (y + to_y) // 2
    if y == to_y:
        return f"M{x} {y}C{x + gap} {over},{to_x - gap} {over},{to_x} {to_y}"
    middle = max(gap, (to_x - x) // 2)
    return f"M{x} {y}C{x + middle} {y},{to_x - middle} {to_y},{to_x} {to_y}"


def _box(module: Module, x: int, y: int, width: int, prefix: str) -> Markup:
    name, shape = module.name or "the model", module.graph.get("shape") or []
    rules = ", ".join(dict.fromkeys(finding.rule for finding in module.findings))
    type_ = module.graph.get("type") or module.kind
    about = [type_, " × ".join(map(str, shape)), rules or module.health]
    middle = x + width // 2
    words = [
        element("text", shortened(name, LETTERS), x=middle, y=y + 15),
        element("text", shortened(type_, LETTERS), x=middle, y=y + 28, class_="type"),
    ]
    return element(
        "a",
        element("title", f"{name}: {', '.join(filter(None, about))}"),
        element("rect", x=x, y=y, width=width, height=HEIGHT, rx=min(4, width // 4)),
        words if width >= WIDE[0] else None,
        href="#pictures",
        data_module=module.number,
        data_run=prefix,
        class_=module.health,
    )
