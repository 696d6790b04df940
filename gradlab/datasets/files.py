"""The user's own data: .npz, .csv or .parquet."""

import math
import reprlib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gradlab.choices import File
from gradlab.datasets.dataset import Features, Image, Samples, targets
from gradlab.errors import DatasetError
from gradlab.memory import require_memory
from gradlab.nearest import did_you_mean, named
from gradlab.parquet_pages import scan
from gradlab.reading import open_file, without_panics
from gradlab.text import first_of

MOST_COLUMNS = 100_000
"""Of a .csv file."""
MOST_CHANNELS = 4
"""An image of more channels, whose last dimension is 1, 3 or 4, has its channels there."""
MOST_HEADER = 100 * MOST_COLUMNS
"""Bytes of its first line that are looked at."""
UNREADABLE = (
    OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error,
    pl.exceptions.PolarsError, pl.exceptions.PanicException,
)  # fmt: skip
"""Errors of the readers for files that are damaged, encrypted or of another kind. Some damage makes polars panic."""


def file(data: File, seed: int, loss: str) -> Samples:
    """Read a table of numeric features with a column of class labels, or of numbers to predict.

    Raises:
        DatasetError: the file cannot be read, or its content is no task for the loss.
    """
    path = data.path
    columns = _read(path)
    if data.target not in columns:
        raise DatasetError(
            f"data.target: {path} has no column {data.target!r}{named(data.target, list(columns), 'columns')}"
        )
    labels = _labels(columns.pop(data.target), data.target, path)
    if not len(labels):
        raise DatasetError(f"data.path: {path} has no rows")
    numbers = targets(labels, f"data.target: {data.target!r}", loss)
    return Samples(_features(columns, len(labels), path), numbers, _image(columns))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Every column, or every array of an archive, by its name."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DatasetError(f"data.path: {path} is a folder; name a file in it, one of {', '.join(_READERS)}")
    if suffix not in _READERS:
        raise DatasetError(f"data.path: {path} ends in {suffix!r}; a data file is one of {', '.join(_READERS)}")
    try:
        open_file(path).close()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: the path holds a NUL
        siblings = [str(p) for p in path.parent.glob("*") if p.suffix in _READERS] if path.parent.is_dir() else []
        raise DatasetError(f"data.path: there is no file {path}{did_you_mean(str(path), siblings)}") from None
    except OSError as error:
        raise DatasetError(f"data.path: {path} cannot be read: {error.strerror or error}") from None
    if path.stat().st_size == 0:
        raise DatasetError(f"data.path: {path} is empty")
    try:
        with without_panics():
            return _READERS[suffix](path)
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(f"data.path: {path} cannot be read as {suffix}: {reason}") from None


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle and recommend loading it unsafely
        raise ValueError("it is no complete archive of arrays, as numpy.savez writes them")
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _check_array(archive, info)
        _require_memory(sum(info.file_size for info in archive.infolist()), path)
    with np.load(path, allow_pickle=False) as archive:
        return {name: _member(archive, name) for name in archive.files}


def _check_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Refuse an array whose header promises another number of entries than there are bytes for."""
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            return  # names of columns in Unicode; NumPy reads it, or says why not
        shape, _, dtype = read_header[version](member)
    size = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and size > info.file_size:
        name = info.filename.removesuffix(".npy")
        raise ValueError(f"array {name!r} should have the shape {shape}, but its file ends before that")


def _require_memory(size: float, path: Path) -> None:
    require_memory(size, f"data.path: what is in {path}")


def _member(archive: Mapping[str, Any], name: str) -> NDArray[Any]:
    try:
        return np.asarray(archive[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(f"array {name!r} holds pickled Python objects; save numbers or text (dtype 'U')") from None


def _read_table(frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
    return {column.name: _array(column) for column in frame}


def _array(column: pl.Series) -> NDArray[Any]:
    if column.dtype.is_decimal() or (column.dtype == pl.Boolean and column.null_count()):
        column = column.cast(pl.Float64)  # NumPy has neither decimals nor booleans that may be missing
    return column.to_numpy()


def _read_csv(path: Path) -> dict[str, NDArray[Any]]:
    with open_file(path) as file:
        columns = file.readline(MOST_HEADER).count(b",") + 1
    if columns > MOST_COLUMNS:
        raise ValueError(f"it has more than {MOST_COLUMNS:,} columns; so many are read as arrays of an .npz file")
    return _read_table(pl.read_csv(path, infer_schema_length=None))


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    table = scan(path)
    _require_memory(8 * len(table.collect_schema()) * int(table.select(pl.len()).collect().item()), path)
    return _read_table(table.collect())


_READERS: Mapping[str, Callable[[Path], dict[str, NDArray[Any]]]] = {
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _features(columns: Mapping[str, NDArray[Any]], samples: int, path: Path) -> Features:
    """All columns side by side, (samples, features); an array of more dimensions is flattened."""
    for name, values in columns.items():
        if values.shape[:1] != (samples,):
            raise DatasetError(f"data.path: {path}: {name!r} has shape {values.shape}, but there are {samples} labels")
    words = {name: values for name, values in columns.items() if values.dtype.kind not in "biuf"}
    if words:
        examples = [f"{name} (such as {_no_number(values.flat)})" for name, values in words.items()]
        raise DatasetError(
            f"data.path: {path}: features must be numbers; these are not: {first_of(examples)}",
            fix="Drop them, or encode them as numbers first.",
        )
    if not any(values.size for values in columns.values()):
        raise DatasetError(f"data.path: {path} has no column beside the target")
    blocks = {name: np.asarray(values, dtype=np.float64).reshape(samples, -1) for name, values in columns.items()}
    missing = {name: int((~np.isfinite(block)).sum()) for name, block in blocks.items()}
    if any(missing.values()):
        counts = [f"{name} ({count} of {blocks[name].size})" for name, count in missing.items() if count]
        raise DatasetError(
            f"data.path: {path} has values that are missing or not finite: {first_of(counts)}",
            fix="Drop those rows or columns, or fill them in first.",
        )
    return np.concatenate(list(blocks.values()), axis=1)


def _image(columns: Mapping[str, NDArray[Any]]) -> Image | None:
    """The shape of a sample of the only array, where that is (samples, height, width), or has channels before them."""
    shapes = [values.shape[1:] for values in columns.values()]
    if len(shapes) != 1 or len(shapes[0]) not in (2, 3):
        return None
    height, width = shapes[0][-2:]
    channels = shapes[0][0] if len(shapes[0]) == 3 else 1
    last = width in (1, 3, 4) and channels > MOST_CHANNELS  # somebody else's order: height, width, channels
    return None if last else (channels, height, width)


def _no_number(values: Iterable[object]) -> str:
    """The first value of a column that is no number, such as 'NA'; it keeps the column from being read as numbers."""
    texts = [str(value) for value in values if value is not None]
    return reprlib.repr(next((text for text in texts if not _is_number(text)), texts[0] if texts else None))


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _labels(labels: NDArray[Any], target: str, path: Path) -> NDArray[Any]:
    """The labels, (samples,), as numbers or as text."""
    if labels.ndim != 1:
        raise DatasetError(f"data.target: {target!r} has shape {labels.shape}; it must be one label a sample")
    if labels.dtype.kind == "O":
        if any(isinstance(label, (np.ndarray, list, dict)) for label in labels):
            raise DatasetError(f"data.target: {target!r} holds lists; it must be one label a sample")
        missing = sum(label is None for label in labels)
        labels = labels.astype(str)
    else:
        missing = int((~np.isfinite(labels)).sum()) if labels.dtype.kind in "fM" else 0
    if missing:
        raise DatasetError(f"data.target: {path}: {missing} of {len(labels)} labels in {target!r} are missing")
    return labels
