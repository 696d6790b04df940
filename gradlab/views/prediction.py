"""What theory predicts, in the terminal: a row a hidden layer, the depths that are too deep, and the outlook.

Fits 80 columns whatever the numbers are.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradlab.config import Config
from gradlab.text import compact, join

TALLEST = 40
"""Hidden layers that are all shown; of more, the first and the last `ENDS`."""
ENDS = 15
COLUMNS = {
    "preactivation_variance": "q",
    "activation_mean": "mean φ",
    "activation_rms": "rms φ",
    "activation_std": "std φ",
    "chi": "χ",
    "delta_relative": "δ rel. to last",
}


class Outlook(Protocol):
    """The part of `gradlab.theory.Outlook` that is shown."""

    @property
    def vanishing_depth(self) -> int | None:
        """Depth at which δ falls below 1e-3."""

    @property
    def exploding_depth(self) -> int | None:
        """Depth at which δ rises above 1e3."""

    @property
    def delta_out_of_range_depth(self) -> int | None:
        """Depth at which δ leaves the dtype's range."""

    @property
    def signal_out_of_range_depth(self) -> int | None:
        """Depth at which the pre-activation leaves it."""

    @property
    def signal_decades_per_layer(self) -> float | None:
        """Slope of the RMS pre-activation toward the output."""


class Prediction(Protocol):
    """The part of `gradlab.theory.Prediction` that is shown; views do not reach theory."""

    @property
    def decades_per_layer(self) -> float | None:
        """Slope of log10 RMS δ toward the input."""

    @property
    def depth_scale(self) -> float | None:
        """ξ in layers."""

    @property
    def delta_last(self) -> float | None:
        """RMS δ at the last hidden layer."""

    @property
    def ahead(self) -> Outlook:
        """Depths."""

    @property
    def outlook(self) -> str:
        """One sentence."""

    @property
    def caveats(self) -> Sequence[str]:
        """Where the prediction is loose."""

    @property
    def not_covered(self) -> str | None:
        """Why there is no prediction."""

    def rows(self) -> list[dict[str, Any]]:
        """The table `theory`."""


def print_prediction(prediction: Prediction, config: Config, console: Console) -> None:
    """Print what theory says of a config.

    Args:
        prediction: what `gradlab.theory.predict` returns.
        config: what it is about.
        console: where to; its width is respected down to 80 columns.
    """
    for part in _parts(prediction, config, console.width):
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text))


def prediction_json(prediction: Prediction, config: Config) -> dict[str, Any]:
    """The same as strictly valid JSON: what is infinite or not a number becomes null.

    Returns:
        `name`, `config`, `layers` (the table `theory`, a mapping a hidden layer), `decades_per_layer`, `depth_scale`,
        `delta_last`, the depths and slopes of the outlook, `caveats`, `not_covered` and `outlook`.
    """
    document: dict[str, Any] = {
        "name": config.name,
        "config": config.model_dump(mode="json", exclude={"name"}),
        "layers": prediction.rows(),
        **{name: getattr(prediction, name) for name in ("decades_per_layer", "depth_scale", "delta_last")},
        **{name: getattr(prediction.ahead, name) for name in vars(Outlook) if not name.startswith("_")},
        "caveats": list(prediction.caveats),
        "not_covered": prediction.not_covered,
        "outlook": prediction.outlook,
    }
    return {name: _strict(value) for name, value in document.items()}


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parts(prediction: Prediction, config: Config, width: int) -> Iterator[Text | Table]:
    yield Text.assemble((config.name, "bold"), "  ", (_network(config), "dim"))
    rows = prediction.rows()
    if rows:
        yield _table(rows)
        yield Text(join(_slopes(prediction), width))
        yield Text(join(_depths(prediction.ahead, config.dtype), width))
    for caveat in prediction.caveats:
        yield Text(textwrap.fill(caveat, width, initial_indent="loose: ", subsequent_indent="  "), style="yellow")
    yield Text(textwrap.fill(prediction.outlook, width), style="bold")


def _network(config: Config) -> str:
    return f"{config.model.summary}, on {config.data.name}"


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", expand=False)
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
