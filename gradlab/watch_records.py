"""The records of a watched training in memory, and how they become rows.

The library of the tables is not imported before somebody asks for one. Run folders: `watch_folder.py`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradlab.recording.step_record import StepRecord

if TYPE_CHECKING:
    from gradlab.tables import Source

MEMORY_ROWS = 200_000
"""Rows that are kept in memory at most, about 40 MB; then every other recorded step is dropped."""

Timed = tuple[StepRecord, float]
"""A record, and the seconds since the record before."""


class RecordsInMemory:
    """Keeps every record of a short training, and of a long one fewer and fewer, evenly spread.

    Attributes:
        logged: rows of the table `evaluations`.
        rows: how many there are.
        stride: one record of so many is kept.
    """

    def __init__(self) -> None:
        self._records: list[Timed] = []
        self.logged: list[Mapping[str, Any]] = []
        self.rows = 0
        self.stride = 1
        self._received = 0

    @property
    def records(self) -> Sequence[Timed]:
        """Those that are kept."""
        return tuple(self._records)

    def add(self, record: StepRecord, seconds: float, rows: int) -> None:
        """Keep a record of so many rows."""
        number, self._received = self._received, self._received + 1
        if number % self.stride:
            return
        self._records.append((record, seconds))
        self.rows += rows
        if self.rows > MEMORY_ROWS:
            self._records = self._records[::2]
            self.stride *= 2
            self.rows = len(self._records) * rows

    def log(self, row: Mapping[str, Any]) -> None:
        """Keep a row of the table `evaluations`."""
        self.logged.append(row)

    def source(self) -> "Source":
        """The records that are there now."""
        from gradlab.tables import RowsSource

        records, logged = self.records, tuple(self.logged)
        return RowsSource(lambda name: logged if name == "evaluations" else rows_of(records).get(name, ()))

    def remove(self, record: StepRecord) -> None:
        """Forget a record."""
        self._records = [timed for timed in self._records if timed[0] is not record]

    @property
    def last(self) -> StepRecord | None:
        """The last record that is kept."""
        return self._records[-1][0] if self._records else None


def rows_of(records: Sequence[Timed]) -> dict[str, Sequence[Any]]:
    """The rows of records, by table."""
    return {
        "layers": [record.rows for record, _ in records],
        "steps": [step_row(record, seconds) for record, seconds in records],
        "histograms": [row for record, _ in records for row in record.histograms],
    }


def evaluation_row(step: int, split: str, loss: object, accuracy: object) -> dict[str, Any]:
    """A row of the table `evaluations`, of what a loop hands over: numbers, or tensors with one entry."""
    return {
        "step": step,
        "split": split,
        "loss": None if loss is None else float(loss),  # type: ignore[arg-type]
        "accuracy": None if accuracy is None else float(accuracy),  # type: ignore[arg-type]
    }


def step_row(record: StepRecord, seconds: float) -> dict[str, Any]:
    """A row of the table `steps`."""
    return {
        "step": record.step,
        "loss": record.loss,
        "learning_rate": record.learning_rate,
        "gradient_norm": record.gradient_norm,
        "gradient_scale": record.gradient_scale,
        **record.notes,
        "step_seconds": seconds,
        "record_seconds": record.record_seconds,
    }
