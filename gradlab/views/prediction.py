"""What theory predicts, in the terminal: a row a hidden layer, the depths at which δ or the signal is lost, a sentence.

It fits 80 columns whatever the numbers are.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradlab.config import Config
from gradlab.text import compact, separated, strict_json
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


def print_prediction(prediction: Prediction, config: Config, console: Console) -> None:
    """Print what theory says of a config.

    Args:
        prediction: what `gradlab.theory.predict` returns.
        config: the network that the prediction is about.
        console: where to; its width is respected down to 80 columns.
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
    yield Text.assemble((config.name, "bold"), "  ", (f"{config.model.summary}, on {config.data.name}", "dim"))
    rows = prediction.rows()
    if rows:
        yield _table(rows)
        yield Text(separated(_slopes(prediction), width))
        yield Text(separated(_depths(prediction.ahead, config.dtype), width))
    for caveat in prediction.caveats:
        yield paragraph(caveat, width, "yellow", first="loose: ", rest="  ")
    yield paragraph(prediction.outlook, width, "bold")


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = plain_table(gap=2)
    for header in ("layer", *COLUMNS.values()):
        table.add_column(header, justify="right", no_wrap=True)
    folded = len(rows) > TALLEST
    for row in rows[:ENDS] if folded else rows:
        table.add_row(*_cells(row))
    if folded:
        table.add_row("⋮", *[f"{len(rows) - 2 * ENDS} more" if name == "delta_relative" else "⋮" for name in COLUMNS])
        for row in rows[-ENDS:]:
            table.add_row(*_cells(row))
    return table


def _cells(row: dict[str, Any]) -> Iterator[str]:
    yield str(row["layer"])
    for name in COLUMNS:
        yield compact(row[name])


def _slopes(prediction: Prediction) -> Iterator[str]:
    if prediction.decades_per_layer is not None:
        yield f"{prediction.decades_per_layer:+.3f} decades of δ per layer toward the input"
    if prediction.depth_scale is not None:
        yield f"depth scale ξ {'∞' if math.isinf(prediction.depth_scale) else f'{prediction.depth_scale:.3g}'} layers"
    if prediction.delta_last is not None:
        yield f"RMS δ {compact(prediction.delta_last)} at the last hidden layer"


def _depths(ahead: Outlook, dtype: str) -> Iterator[str]:
    depths = {
        "δ falls below 1e-3": ahead.vanishing_depth,
        "δ rises above 1e3": ahead.exploding_depth,
        f"δ leaves {dtype}": ahead.delta_out_of_range_depth,
        f"the signal leaves {dtype}": ahead.signal_out_of_range_depth,
    }
    known = [f"{what} at depth {depth}" for what, depth in depths.items() if depth is not None]
    yield from known or ["at no depth δ or the signal is lost"]
