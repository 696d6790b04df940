"""The user's own data: .npz, .csv or .parquet."""

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
from gradlab.datasets.dataset import Features, Samples, class_numbers
from gradlab.errors import DatasetError
from gradlab.text import did_you_mean, first_of

UNREADABLE = (
    OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error,
    pl.exceptions.PolarsError, pl.exceptions.PanicException,
)  # fmt: skip
"""Errors of the readers for files that are damaged, encrypted or of another kind. Some damage makes polars panic."""


def file(data: File, seed: int) -> Samples:
    """Read a table of numeric features with a column of class labels.

    Raises:
        DatasetError: the file cannot be read, or its content is no classification task.
    """
    path = data.path
    columns = _read(path)
    if data.target not in columns:
        raise DatasetError(
            f"data.target: {path} has no column {data.target!r}{did_you_mean(data.target, columns)}"
            f"  (columns: {first_of(columns) or 'none'})"
        )
    labels = _labels(columns.pop(data.target), data.target, path)
    if not len(labels):
        raise DatasetError(f"data.path: {path} has no rows")
    return Samples(_features(columns, len(labels), path), class_numbers(labels, key=f"data.target: {data.target!r}"))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Every column, or every array of an archive, by its name."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DatasetError(f"data.path: {path} is a folder; name a file in it, one of {', '.join(_READERS)}")
    if suffix not in _READERS:
        raise DatasetError(f"data.path: {path} ends in {suffix!r}; a data file is one of {', '.join(_READERS)}")
    if not path.is_file():
        siblings = [str(p) for p in path.parent.glob("*") if p.suffix in _READERS] if path.parent.is_dir() else []
        raise DatasetError(f"data.path: there is no file {path}{did_you_mean(str(path), siblings)}")
    if path.stat().st_size == 0:
        raise DatasetError(f"data.path: {path} is empty")
    try:
        return _READERS[suffix](path)
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(f"data.path: {path} cannot be read as {suffix}: {reason}") from None


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle and recommend loading it unsafely
        raise ValueError("it is no complete archive of arrays, as numpy.savez writes them")
    with np.load(path, allow_pickle=False) as archive:
        return {name: _member(archive, name) for name in archive.files}


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


_READERS: Mapping[str, Callable[[Path], dict[str, NDArray[Any]]]] = {
    ".npz": _read_npz,
    ".csv": lambda path: _read_table(pl.read_csv(path, infer_schema_length=None)),
    ".parquet": lambda path: _read_table(pl.read_parquet(path)),
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
