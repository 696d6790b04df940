"""The parts of a table that grows: files of whole rows, written one after another, and merged as they grow.

    000007.parquet              the eighth part that was written
    000004-000007.parquet       four parts, merged

A part that lies within another one's range is passed over: it was merged, and somebody was killed before he could
remove it. So no row is lost or read twice, whatever kills the writer. Of a run of any length there are at most
`TOGETHER` − 1 parts of each size, and one for each `MERGED_ROWS` rows.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl

from gradlab.marker import PART
from gradlab.memory import require_memory
from gradlab.parquet_pages import scan
from gradlab.reading import without_panics
from gradlab.tables import SCHEMAS, empty_table
from gradlab.text import counted
from gradlab.writing import make_folder, replacing

TOGETHER = 4
"""Parts of the same size that become one."""
MERGED_ROWS = 1_000_000
"""Rows of a merged part at most. Merging so many takes a second and 130 MB."""
KEYS: Mapping[str, Sequence[str]] = {
    "layers": ("step", "layer", "module", "kind"),
    "steps": ("step",),
    "evaluations": ("step", "split"),
    "histograms": ("step",),
    "theory": ("layer",),
    "modules": ("layer", "module", "kind"),
}
"""Columns that say what a row is about, and are never null."""
NOT_NEGATIVE: Mapping[str, Sequence[str]] = {
    "steps": ("gradient_scale", "skipped", "gradients_left", "evaluating", "step_seconds", "record_seconds"),
}
"""Columns that count, time or share: in a table of somebody else, any other number there is null."""
MOST_STEPS = 2**53
FAULTS = (Exception, pl.exceptions.PanicException)
"""What polars raises when a file is damaged: a panic is no `Exception`."""


class Part(NamedTuple):
    """A part: the numbers of the first and the last that it was merged from, and the file."""

    first: int
    last: int
    file: Path

    @property
    def size(self) -> int:
        """Of how many parts it was merged."""
        return self.last - self.first + 1


def parts(folder: Path) -> list[Part]:
    """The parts in a folder, in the order in which they were written; files of somebody else are passed over."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    found = []
    for file in folder.iterdir():
        name = PART.fullmatch(file.name)
        if name and file.is_file() and not file.is_symlink():
            first, last = int(name[1]), int(name[2] or name[1])
            found.append(Part(first, last, file))
    found.sort(key=lambda part: (part.first, -part.last))
    outermost: list[Part] = []
    for part in found:
        if not outermost or part.last > outermost[-1].last:
            outermost.append(part)
    return outermost


def read_parts(table: str, found: Sequence[Part], steps: pl.Series | None = None) -> tuple[pl.DataFrame, list[str]]:
    """The rows of some parts, of some steps only where these are given; and what is to be said of what cannot be read.

    Raises:
        FileNotFoundError: a part is gone: it was merged.
    """
    frames, problems = [], []
    for part in found:
        try:
            with without_panics():
                _require_room(part.file, table)
                rows = scan(part.file)
                wanted = rows if steps is None else rows.filter(pl.col("step").is_in(steps.implode()))
                frame = _conform(table, wanted.collect())
            whole = frame.filter(_is_whole(table))
            frames.append(whole)
            if missing := frame.height - whole.height:
                problems.append(
                    f"{table}/{part.file.name}: {counted(missing, 'row')} left out, not of any step or module"
                )
        except FileNotFoundError:
            raise
        except FAULTS as error:
            problems.append(f"{table}/{part.file.name} cannot be read: {_reason(error)}")
    return pl.concat([empty_table(table), *frames]), problems


def _require_room(file: Path, table: str) -> None:
    """Refuse a file of a few bytes that says it holds more rows than there is memory for."""
    rows = scan(file).select(pl.len()).collect().item()
    require_memory(rows * len(SCHEMAS[table]) * 8, "it")


def _is_whole(table: str) -> pl.Expr:
    """Whether a row says what it is about."""
    keys = KEYS[table]
    step = pl.col("step").is_between(0, MOST_STEPS) if "step" in keys else pl.lit(True)
    return pl.all_horizontal(*(pl.col(name).is_not_null() for name in keys), step)


def _conform(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A table with the columns and types of today: those that an older gradlab did not know are null.

    Raises:
        PolarsError: a column is of another type.
    """
    known = [name for name in SCHEMAS[table] if name in frame.columns]
    if not known:
        raise ValueError("none of its columns is known")
    columns = {name: pl.col(name) if name in known else pl.lit(None) for name in SCHEMAS[table]}
    typed = frame.select(columns[name].cast(type_).alias(name) for name, type_ in SCHEMAS[table].items())
    counted = (pl.col(name) for name in NOT_NEGATIVE.get(table, ()))
    return typed.with_columns(pl.when(column.is_between(0, MOST_STEPS)).then(column) for column in counted)


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


class PartWriter:
    """Writes the parts of a table, after those that are there.

    Args:
        folder: where they belong.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts = parts(folder)

    def next_file(self) -> Path:
        """Where the next part belongs."""
        number = self._parts[-1].last + 1 if self._parts else 0
        return self._folder / f"{number:06d}.parquet"

    def added(self) -> None:
        """The next part has been written; merge some if it is time."""
        file = self.next_file()
        self._parts.append(Part(int(file.stem), int(file.stem), file))
        while self._merge():
            pass

    def _merge(self) -> bool:
        """Merge the last parts if they are of the same size; where that fails, they stay as they are."""
        last = self._parts[-TOGETHER:]
        if len(last) < TOGETHER or len({part.size for part in last}) > 1:
            return False
        with suppress(*FAULTS):
            rows = pl.scan_parquet([part.file for part in last], glob=False)
            if rows.select(pl.len()).collect().item() > MERGED_ROWS:
                return False
            file = self._folder / f"{last[0].first:06d}-{last[-1].last:06d}.parquet"
            with replacing(file) as temporary:
                rows.sink_parquet(temporary)
            self._parts[-TOGETHER:] = [Part(last[0].first, last[-1].last, file)]
            for part in last:
                with suppress(OSError):
                    part.file.unlink()
            return True
        return False


def write_together(frames: Mapping[PartWriter, pl.DataFrame]) -> None:
    """Write the next part of some tables: all of them, or none where one cannot be written.

    Raises:
        OSError: one cannot be written.
    """
    with ExitStack() as stack:
        for writer, frame in frames.items():
            file = writer.next_file()
            make_folder(file.parent)
            stack.enter_context(replacing(file)).write_bytes(parquet(frame))
    for writer in frames:
        writer.added()


def parquet(frame: pl.DataFrame) -> bytes:
    """A table as the content of a file; in memory, because polars does not say so when a disk is full."""
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
