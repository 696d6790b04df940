"""Many runs side by side: the table that sorts and filters, small multiples, heat maps of two settings, the claim."""

import base64
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from gradlab.claims.judging import Verdict
from gradlab.measures.profiles import Floats
from gradlab.report.markup import Markup, element, hidden_table, markup, table
from gradlab.text import ABSENT, MINUS, compact, percent, setting_text, tally
from gradlab.views.claims.report import bound_words, measure_words, measured_words, verdict_words
from gradlab.views.comparison.columns import MEASURE_COLUMNS, PROFILE_COLUMNS, Column, fitting_columns
from gradlab.views.comparison.comparison import ComparedConfiguration, Comparison, ten_to_the
from gradlab.views.comparison.picture import LEVEL, CrossedSettings, crossed_settings, row_label
from gradlab.views.comparison.runs import Runs
from gradlab.views.comparison.table import comparison_title
from gradlab.views.pictures.sheet import picture_bytes
from gradlab.views.summary import scale_of

POSITIONS = 21
"""Points of a drawn profile, from the first hidden layer to the last."""
WIDE, HIGH = 120, 48
"""Size of a drawn profile, in units of its own."""
MOST_STRIPS = 120
"""Small multiples at most."""
STRIP_WORDS = "log δ: grey at the start, blue at the end, from the first hidden layer to the last."


def comparison_sections(comparison: Comparison, runs: Runs, sections: Mapping[str, int]) -> Markup:
    """The comparison, from the table to what could not be compared.

    Args:
        comparison: the rows.
        runs: the runs that were read, finished or not.
        sections: the number of the section of a run on this page, by its id.
    """
    if not comparison.rows:
        return markup(element("p", "No run is finished yet.", class_="warning"), _unfinished(runs))
    grid = crossed_settings(comparison)
    search = element("input", id="filter", type="search")
    shared = [(key, setting_text(value)) for key, value in comparison.shared.items()]
    return markup(
        element("h2", "Side by side", id="comparison"),
        element("p", comparison_title(comparison), class_="faint"),
        element(
            "div",
            element("label", "only rows with these words", search, class_="control"),
            element("output", id="filtered", aria_live="polite"),
            class_="controls",
        ),
        _table(comparison, sections),
        element("p", STRIP_WORDS, class_="faint"),
        markup(element("h2", "Two settings"), _heat_maps(grid)) if grid else None,
        element("h2", "Gradient flow of each row"),
        _strips(comparison),
        hidden_table("settings that all rows share", table(["setting", "value"], shared)),
        _unfinished(runs),
    )


# --------------------------------------------------------------------------------------------------------------- table


def _table(comparison: Comparison, sections: Mapping[str, int]) -> Markup:
    columns, _ = fitting_columns(comparison, [], 10_000)
    scale = _scale(comparison.rows)
    head = [
        element("th", button, scope="col", class_="number" if column.right else None)
        for column in columns
        for button in [element("button", _header(column), type="button")]
    ]
    rows = [
        element(
            "tr",
            [_cell(column, row, index, scale) for column in columns],
            element("td", _links(row, sections)),
        )
        for index, row in enumerate(comparison.rows)
    ]
    return element("div", table([*head, "runs"], rows, class_="sortable"), class_="tall")


def _header(column: Column) -> str:
    if column.name in PROFILE_COLUMNS:
        return "log δ"
    return column.name.replace("_", " ") if column.name in MEASURE_COLUMNS else column.name


def _cell(column: Column, row: ComparedConfiguration, index: int, scale: tuple[float, float]) -> Markup:
    """A cell as the terminal has it, with the number by which it is sorted; a profile is drawn."""
    if column.name in PROFILE_COLUMNS:
        return element("td", _strip(row, scale), data_value="")
    value = row.means[column.name].value if column.name in MEASURE_COLUMNS else row.values.get(column.name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    key = (
        None
        if not (number or value is None)
        else ""
        if value is None or not math.isfinite(value)
        else repr(float(value))
    )
    text = " ".join(column.cells[index])
    health = "healthy" if column.name == "verdict" and text == "healthy" else None
    words = element("span", text, class_=health) if health else text
    return element("td", words, class_="number" if column.right else None, data_value=key)


def _sorted_by(value: float | None) -> str:
    """What the scripts sort by; nothing where there is no number, which comes last."""
    return "" if value is None or not math.isfinite(value) else repr(float(value))


def _links(row: ComparedConfiguration, sections: Mapping[str, int]) -> Iterator[Markup]:
    for run in row.runs:
        seed = run.settings.get("seed")
        name = str(run.settings.get("name", run.path.name)) if seed is None else f"seed {setting_text(seed)}"
        if run.id in sections:
            yield markup(element("a", name, href=f"#run-{sections[run.id]}", data_run=sections[run.id]), " ")
        else:
            yield markup(name, " ")


# ------------------------------------------------------------------------------------------------------ small multiples


def _scale(rows: Sequence[ComparedConfiguration]) -> tuple[float, float]:
    """log10 RMS δ at the bottom and at the top of every drawn profile."""
    logs = [row.profile(moment, POSITIONS) for row in rows for moment in ("start", "end")]
    return scale_of(np.array(logs, dtype=np.float64))


def _strip(row: ComparedConfiguration, scale: tuple[float, float]) -> Markup:
    """log10 RMS δ of a row over the depth, as a drawing; its words are for those who cannot see it."""
    lines, words = [], []
    for moment in ("start", "end"):
        logs = [math.nan if log is None else log for log in row.profile(moment, POSITIONS)]
        lines += [element("polyline", points=points, class_=moment) for points in _polylines(logs, *scale)]
        ends = [
            "0" if log == -math.inf else ABSENT if math.isnan(log) else compact(ten_to_the(log))
            for log in (logs[0], logs[-1])
        ]
        words.append(f"{moment}: {ends[0]} in the first hidden layer, {ends[1]} in the last")
    title = element("title", f"RMS δ at the {'; at the '.join(words)}")
    return element(
        "svg", title, lines, viewBox=f"0 0 {WIDE} {HIGH}", class_="strip", role="img", preserveAspectRatio="none"
    )


def _polylines(logs: Sequence[float], low: float, high: float) -> Iterator[str]:
    """The points of a profile, in pieces without the layers where δ is 0 or not finite."""
    piece: list[str] = []
    for position, log in enumerate([*logs, math.nan]):
        if math.isfinite(log):
            x = 2 + (WIDE - 4) * position / max(len(logs) - 1, 1)
            y = HIGH - 3 - (HIGH - 6) * (log - low) / (high - low)
            piece.append(f"{x:.1f},{y:.1f}")
            continue
        if piece:
            yield " ".join(piece if len(piece) > 1 else piece * 2)
        piece = []


def _strips(comparison: Comparison) -> Markup:
    scale = _scale(comparison.rows)
    low, high = (compact(ten_to_the(end)) for end in scale)
    shown = comparison.rows[:MOST_STRIPS]
    drawn = [element("figure", _strip(row, scale), element("figcaption", row_label(row))) for row in shown]
    left = len(comparison.rows) - len(shown)
    note = f" {left} rows more are not drawn." if left else ""
    words = f"RMS δ from {low} at the bottom to {high} at the top, for all alike; first hidden layer left.{note}"
    return markup(element("p", words, class_="faint"), element("div", drawn, class_="strips"))


# ----------------------------------------------------------------------------------------------------------- heat maps


def _heat_maps(grid: CrossedSettings) -> Markup:
    slopes, accuracy = grid.means("decades_per_layer_start"), grid.means("test_accuracy")
    reach = max(float(np.nanmax(np.abs(slopes))) if np.isfinite(slopes).any() else 0.0, LEVEL)
    signed = [
        [ABSENT if math.isnan(value) else f"{value:+.2f}".replace("-", MINUS) for value in line] for line in slopes
    ]
    shares = [[ABSENT if math.isnan(value) else percent(value) for value in line] for line in accuracy]
    title = "Decades per layer toward the input at the start: red vanishes, blue explodes"
    maps = [
        _heat_map(grid, slopes, signed, title, "RdBu", TwoSlopeNorm(0, -reach, reach)),
        _heat_map(grid, accuracy, shares, "Test accuracy", "viridis", Normalize(0, 1)),
    ]
    return element("div", maps, class_="two")


def _heat_map(
    grid: CrossedSettings, values: Floats, texts: Sequence[Sequence[str]], title: str, colours: str, norm: Normalize
) -> Markup:
    """A table whose cells have the colours of their numbers."""
    down, across = (key.rpartition(".")[2].replace("_", " ") for key in grid.keys)
    rows = [
        element(
            "tr",
            element("th", setting_text(line), scope="row"),
            [
                _coloured(texts[number][column], values[number, column], colours, norm)
                for column in range(len(grid.columns))
            ],
        )
        for number, line in enumerate(grid.lines)
    ]
    head = [f"{down} ↓ {across} →", *map(setting_text, grid.columns)]
    return element("figure", element("figcaption", title), table(head, rows))


def _coloured(text: str, value: float, colours: str, norm: Normalize) -> Markup:
    if not math.isfinite(value):
        return element("td", text, class_="number")
    red, green, blue, _ = mpl.colormaps[colours](norm(value))
    words = "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "#1f2328"
    paper = mpl.colors.to_hex((red, green, blue))
    return element("td", text, class_="cell", style=f"background: {paper}; color: {words}")


# --------------------------------------------------------------------------------------------------------------- claim


def claim_section(verdict: Verdict, picture: Figure) -> Markup:
    """A claim: its verdict, what was expected and what was measured, and its picture."""
    rows = [
        [
            element(
                "span", judged.outcome, class_={"holds": "healthy", "fails": "error"}.get(judged.outcome, "warning")
            ),
            f"{'limit: ' if judged.expectation.role == 'condition' else ''}{judged.expectation.says}",
            measured_words(judged).removeprefix("measured "),
            bound_words(judged.expectation),
            measure_words(judged.expectation),
        ]
        for judged in verdict.judgements
    ]
    source = f"data:image/svg+xml;base64,{base64.b64encode(picture_bytes(picture, 'svg')).decode()}"
    return markup(
        element("h2", f"The claim: {verdict.claim.title}", id="claim"),
        element("p", verdict.claim.sentence) if verdict.claim.sentence else None,
        element("p", f"Verdict: {verdict_words(verdict)}", class_="verdict"),
        element("div", table(["", "what is expected", "measured", "expected", "measure"], rows, class_="claim")),
        element("img", src=source, alt=f"The picture of the claim: {verdict.word}", class_="picture"),
        element("p", verdict.claim.note, class_="faint") if verdict.claim.note else None,
    )  # fmt: skip


def _unfinished(runs: Runs) -> Markup | None:
    """Runs that are not in the table, and why."""
    notes = [element("p", runs.other_schemas, class_="warning")] if runs.other_schemas else []
    if not runs.unfinished:
        return markup(notes)
    counts = Counter(sorted(run.status for run in runs.unfinished))
    rows = [[run.status, run.path, run.reason] for run in runs.unfinished]
    return markup(
        notes,
        element("p", f"Not compared: {tally(counts)}.", class_="warning"),
        hidden_table("runs that are not compared", table(["status", "folder", "why"], rows)),
    )
