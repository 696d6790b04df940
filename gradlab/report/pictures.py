"""The pictures of a page, made with Bokeh. They are empty: the scripts of the page (`page.js`) fill them.

    heat      layer × step of a statistic
    profile   the statistic across layers at a step
    course    the statistic of chosen modules over time
    loss, accuracy
    spread    histograms of a module

All axes are linear: what belongs on a logarithmic axis arrives as its logarithm, and the axis writes powers of ten.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    LinearColorMapper,
    Range1d,
)
from bokeh.models.annotations import BoxAnnotation, ColorBar, Span
from bokeh.palettes import Viridis256
from bokeh.plotting import figure

TOOLS = "xpan,ypan,box_zoom,wheel_zoom,reset,save"
MARK: Mapping[str, Any] = {"fill_color": "#d62728", "fill_alpha": 0.12, "line_color": "#d62728", "line_dash": "dashed"}
"""How the evidence of a finding is marked."""
THEORY = "#f28e2b"
MEASURED = "#2f7ed8"
EARLY = "#8fb8de"
SHORT, TALL = 260, 340
"""Heights in pixels."""


def document() -> Document:
    """A document with every picture, each by its name."""
    drawn = Document()
    for picture in (_heat(), _profile(), _course(), _training("loss"), _training("accuracy"), _spread()):
        drawn.add_root(picture)
    return drawn


def _figure(name: str, height: int, x: str, y: str) -> Any:
    """An empty picture whose axes follow the scripts of the page."""
    drawn = figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        tools=TOOLS,
        active_drag=None,
        active_scroll=None,
        x_range=Range1d(start=0, end=1),
        y_range=Range1d(start=0, end=1),
        x_axis_label=x,
        y_axis_label=y,
        output_backend="canvas",
        toolbar_location="above",
        min_border_right=8,
    )
    drawn.toolbar.logo = None
    drawn.toolbar.autohide = True
    for axis, side in ((drawn.xaxis[0], "x"), (drawn.yaxis[0], "y")):
        axis.name = f"{name} {side}"
        axis.ticker = BasicTicker(desired_num_ticks=6)
        axis.formatter = _ticks(f"{name} {side}")
        axis.axis_label_text_font_style = "normal"
    return drawn


def _ticks(axis: str) -> CustomJSTickFormatter:
    return CustomJSTickFormatter(code=f"return window.gradlab.tick({axis!r}, tick)")


def _source(drawn: Any, kind: str, name: str, columns: Mapping[str, str], **look: Any) -> None:
    """A glyph of a picture with a source of its own, which is found by its name.

    Args:
        drawn: the picture.
        kind: the glyph.
        name: the name of the source.
        columns: the column of the source for each property of the glyph.
        look: the other properties.
    """
    empty: dict[str, Any] = {column: [] for column in columns.values()}
    if kind == "image":
        empty = {key: [0] for key in columns.values()} | {"image": [np.zeros((1, 1))]}
    source = ColumnDataSource(empty, name=name)
    getattr(drawn, kind)(**columns, source=source, **look)


def _calls(drawn: Any, **events: str) -> None:
    """Tell the scripts of the page where the pointer is."""
    for event, call in events.items():
        drawn.js_on_event(event, CustomJS(code=f"window.gradlab.{call}(cb_obj.x, cb_obj.y)"))


def _here(drawn: Any, name: str) -> None:
    """A line at the chosen step."""
    span = Span(name=name, location=0, dimension="height", line_color=MEASURED, line_dash="dotted", visible=False)
    drawn.add_layout(span)


def _steps_mark(drawn: Any, name: str) -> None:
    """A box over the steps of a finding."""
    drawn.add_layout(BoxAnnotation(name=name, left=0, right=1, visible=False, level="underlay", **MARK))


def _heat() -> Any:
    drawn = _figure("heat", TALL, "step", "module")
    mapper = LinearColorMapper(
        palette=Viridis256, low=0, high=1, name="heat colours", low_color="#d9d9d9", nan_color="#e377c2"
    )
    columns = {"image": "image", "x": "x", "y": "y", "dw": "dw", "dh": "dh"}
    _source(drawn, "image", "heat image", columns, color_mapper=mapper)
    _source(drawn, "quad", "heat marks", {side: side for side in ("left", "right", "top", "bottom")}, **MARK)
    _here(drawn, "heat step")
    bar = ColorBar(color_mapper=mapper, formatter=_ticks("heat colour"), ticker=BasicTicker(desired_num_ticks=6))
    bar.update(name="heat colour", width=12, padding=4, major_label_text_align="left")
    drawn.add_layout(bar, "right")
    drawn.grid.visible = False
    _calls(drawn, mousemove="point", tap="choose")
    return drawn


def _profile() -> Any:
    drawn = _figure("profile", SHORT, "module", "")
    _source(drawn, "line", "profile first", {"x": "x", "y": "y"}, color=EARLY, line_width=2)
    _source(drawn, "line", "profile now", {"x": "x", "y": "y"}, color=MEASURED, line_width=2)
    _source(drawn, "scatter", "profile points", {"x": "x", "y": "y"}, color=MEASURED, size=5)
    _source(drawn, "line", "profile theory", {"x": "x", "y": "y"}, color=THEORY, line_width=2, line_dash="dashed")
    edge = {"x": "x", "y": "y", "marker": "marker"}
    _source(drawn, "scatter", "profile edge", edge, color="#e377c2", size=9)
    _steps_mark(drawn, "profile mark")
    return drawn


def _course() -> Any:
    drawn = _figure("course", SHORT, "step", "")
    _source(drawn, "patches", "course bands", {"xs": "xs", "ys": "ys", "color": "color"}, alpha=0.2, line_alpha=0)
    _source(drawn, "multi_line", "course lines", {"xs": "xs", "ys": "ys", "color": "color"}, line_width=1.6)
    _steps_mark(drawn, "course mark")
    _here(drawn, "course step")
    _calls(drawn, tap="choose_step")
    return drawn


def _training(name: str) -> Any:
    drawn = _figure(name, SHORT, "step", name)
    columns = {"xs": "xs", "ys": "ys", "color": "color", "line_dash": "dash", "line_width": "width"}
    _source(drawn, "multi_line", f"{name} lines", columns)
    _steps_mark(drawn, f"{name} mark")
    return drawn


def _spread() -> Any:
    drawn = _figure("spread", SHORT, "value", "share of the entries in a bin")
    columns = {"xs": "xs", "ys": "ys", "color": "color"}
    _source(drawn, "multi_line", "spread lines", columns, line_width=1.6)
    return drawn
