"""Where the records of a watched training are kept: in memory, or in a run folder.

Both give the records as a `Source`, from which a snapshot is made. Neither imports the library of the tables before
somebody asks for one.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gradlab.recording.step_record import StepRecord

if TYPE_CHECKING:
    from gradlab.run_folder import RunWriter
    from gradlab.tables import Source

MEMORY_ROWS = 200_000
"""Rows that are kept in memory at most, about 40 MB; then every other recorded step is dropped."""
TOGETHER = 64
"""Records that are read from the device and written to disk together."""
FLUSH_SECONDS = 5.0
"""Between two writings at most."""

Timed = tuple[StepRecord, float]
"""A record, and the seconds since the record before."""


class RecordsInMemory:
    """Keeps every record of a short training, and of a long one fewer and fewer, evenly spread.

    Args:
        records: what is there to begin with.
    """

    def __init__(self, records: Sequence[Timed] = ()) -> None:
        self._records = list(records)
        self._rows = 0
        self._stride = 1
        self._received = 0

    def add(self, record: StepRecord, seconds: float, rows: int) -> None:
        """Keep a record of so many rows."""
        number, self._received = self._received, self._received + 1
        if number % self._stride:
            return
        self._records.append((record, seconds))
        self._rows += rows
        if self._rows > MEMORY_ROWS:
            self._records = self._records[::2]
            self._stride *= 2
            self._rows = len(self._records) * rows

    def source(self) -> "Source":
        """The records that are there now."""
        from gradlab.tables import RowsSource

        records = tuple(self._records)
        return RowsSource(
            layers=lambda: [record.rows for record, _ in records],
            steps=lambda: [step_row(record, seconds) for record, seconds in records],
            histograms=lambda: [row for record, _ in records for row in record.histograms],
        )

    @property
    def last(self) -> StepRecord | None:
        """The last record that is kept."""
        return self._records[-1][0] if self._records else None


class RecordsInFolder:
    """Writes records into a run folder, some together.

    Args:
        writer: of the run folder.
    """

    def __init__(self, writer: "RunWriter") -> None:
        self.writer = writer
        self._waiting: list[Timed] = []
        self._written = perf_counter()
        self.last: StepRecord | None = None
        self.step_seconds = self.record_seconds = 0.0

    def add(self, record: StepRecord, seconds: float, rows: int) -> None:
        """Keep a record; writes those that wait when it is time.

        Raises:
            RunFolderError: they cannot be written.
        """
        self.last = record
        self._waiting.append((record, seconds))
        if len(self._waiting) >= TOGETHER or perf_counter() - self._written > FLUSH_SECONDS:
            self.write()

    def write(self) -> None:
        """Hand all records that wait to the writer."""
        self._written = perf_counter()
        while self._waiting:
            record, seconds = self._waiting[0]
            self.writer.append("layers", record.rows)
            self.writer.append("steps", step_row(record, seconds))
            for row in record.histograms:
                self.writer.append("histograms", row)
            self.step_seconds += seconds
            self.record_seconds += record.record_seconds
            del self._waiting[0]

    def source(self) -> "Source":
        """The folder as it stands when all records have been written."""
        from gradlab.run_folder import FolderSource

        self.write()
        self.writer.flush()
        return FolderSource(self.writer.path, self.writer.summary({}))

    def in_memory(self) -> RecordsInMemory:
        """The records that are not written yet, for a training that goes on without a disk."""
        return RecordsInMemory(self._waiting)


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
