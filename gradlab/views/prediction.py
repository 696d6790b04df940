"""What theory predicts, in the terminal: a row a hidden layer, the depths at which δ or the signal is lost, a sentence.

It fits 40 columns whatever the numbers are.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradlab.config import Config
from gradlab.text import compact, factor_text, separated, strict_json
from gradlab.theory import Outlook, Prediction
from gradlab.views.terminal import paragraph, plain_table, print_parts

TALLEST = 40
"""Up to so many hidden layers are all shown. Of a deeper network only the first and the last `ENDS` are."""
ENDS = 15
COLUMNS = {
    "preactivation_variance": "q",
    "activation_mean": "mean φ",
    "activation_rms": "rms φ",
    "activation_std": "std φ",
    "chi": "χ",
    "delta_relative": "δ rel. to last",
}
DROPPED = ("activation_std", "activation_mean", "activation_rms", "chi")
"""Columns that a narrow terminal leaves out, in this order."""
GAP = 2
"""Blanks between columns."""
LEGEND = {
    "preactivation_variance": "q: mean square of the pre-activations",
    "activation_rms": "φ: activations",
    "chi": "χ: factor of δ² from a layer to the one before it",
    "delta_relative": "δ: RMS of the gradient signal",
}
"""What the symbols in the headers stand for."""


def print_prediction(prediction: Prediction, config: Config, console: Console) -> None:
    """Print what theory says of a config.

    Args:
        prediction: what `gradlab.theory.predict` returns.
        config: the network that the prediction is about.
        console: where to; its width is respected down to 30 columns.
    """
    print_parts(_parts(prediction, config, console.width), console)


def prediction_json(prediction: Prediction, config: Config) -> dict[str, Any]:
    """What theory predicts as strictly valid JSON. Infinite numbers and NaN become null.

    Returns:
        `name`, `config`, `layers` (the table `theory`, a mapping a hidden layer), `decades_per_layer`, `depth_scale`,
        `delta_last`, the depths and slopes of the outlook, `caveats`, `not_covered` and `outlook`.
    """
    document: dict[str, Any] = {
        "name": config.name,
        "config": config.model_dump(mode="json", exclude={"name"}),
        "layers": prediction.rows(),
        **{name: getattr(prediction, name) for name in ("decades_per_layer", "depth_scale", "delta_last")},
        **{name: value for name, value in asdict(prediction.ahead).items() if name != "sentence"},
        "caveats": list(prediction.caveats),
        "not_covered": prediction.not_covered,
        "outlook": prediction.outlook,
    }
    return dict(strict_json(document))


def _parts(prediction: Prediction, config: Config, width: int) -> Iterator[Text | Table]:
    about = f"{config.model.summary}, on {config.data.label}"
    if len(config.name) + 2 + len(about) <= width:
        yield Text.assemble((config.name, "bold"), "  ", (about, "dim"))
    else:
        yield Text(config.name, style="bold")
        yield paragraph(about, width, "dim")
    rows = prediction.rows()
    if rows:
        yield from _table(rows, width)
        yield Text(separated(_slopes(prediction), width))
        yield Text(separated(_depths(prediction.ahead, config.dtype), width))
    for caveat in prediction.caveats:
        yield paragraph(caveat, width, "yellow", first="loose: ", rest="  ")
    yield paragraph(prediction.outlook, width, "bold")


def _table(rows: Sequence[dict[str, Any]], width: int) -> Iterator[Table | Text]:
    """A row a hidden layer, in as many columns as fit, and what their headers mean."""
    folded = len(rows) > TALLEST
    shown = [*rows[:ENDS], *rows[-ENDS:]] if folded else rows
    sizes = {name: max(len(header), *(len(compact(row[name])) for row in shown)) for name, header in COLUMNS.items()}
    names = list(COLUMNS)
    for dropped in DROPPED:
        if len("layer") + sum(GAP + sizes[name] for name in names) > width:
            names.remove(dropped)
    table = plain_table(gap=GAP)
    for header in ("layer", *(COLUMNS[name] for name in names)):
        table.add_column(header, justify="right", no_wrap=True)
    for row in shown[:ENDS] if folded else shown:
        table.add_row(str(row["layer"]), *(compact(row[name]) for name in names))
    if folded:
        between = {"delta_relative": f"{len(rows) - 2 * ENDS} more"}
        table.add_row("⋮", *(between.get(name, "⋮") for name in names))
        for row in shown[ENDS:]:
            table.add_row(str(row["layer"]), *(compact(row[name]) for name in names))
    yield table
    yield paragraph("; ".join(text for name, text in LEGEND.items() if name in names), width, "dim")


def _slopes(prediction: Prediction) -> Iterator[str]:
    if prediction.decades_per_layer is not None:
        slope = prediction.decades_per_layer
        yield f"δ {factor_text(slope)} per layer toward the input ({slope:+.3f} decades)"
    if prediction.depth_scale is not None:
        layers = "∞" if math.isinf(prediction.depth_scale) else f"{prediction.depth_scale:.3g}"
        yield f"depth scale ξ = 1/|ln χ|: {layers} layers"
    if prediction.delta_last is not None:
        yield f"δ {compact(prediction.delta_last)} at the last hidden layer"


def _depths(ahead: Outlook, dtype: str) -> Iterator[str]:
    depths = {
        "δ falls below 1e-3": ahead.vanishing_depth,
        "δ rises above 1e3": ahead.exploding_depth,
        f"δ leaves {dtype}": ahead.delta_out_of_range_depth,
        f"the signal leaves {dtype}": ahead.signal_out_of_range_depth,
    }
    known = [f"{what} at depth {depth}" for what, depth in depths.items() if depth is not None]
    yield from known or ["at no depth δ or the signal is lost"]
