"""The user's own data: .npz, .csv or .parquet."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gradlab.choices import File
from gradlab.config_files import did_you_mean
from gradlab.datasets.dataset import Samples, class_numbers
from gradlab.errors import DatasetError

MOST_CLASSES = 1000
"""More distinct labels than this are taken for a regression target."""


def file(data: File, seed: int) -> Samples:
    """Read a table of numeric features with a column of class labels.

    Raises:
        DatasetError: the file cannot be read, or what is in it is no classification task.
    """
    path = data.path
    if path.suffix not in _READERS:
        raise DatasetError(f"data.path: {path} ends in {path.suffix!r}; a data file is one of {', '.join(_READERS)}")
    if not path.is_file():
        siblings = [str(p) for p in path.parent.glob("*") if p.suffix in _READERS] if path.parent.is_dir() else []
        raise DatasetError(f"data.path: there is no file {path}{did_you_mean(str(path), siblings)}")
    if path.stat().st_size == 0:
        raise DatasetError(f"data.path: {path} is empty")
    try:
        columns = _READERS[path.suffix](path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(f"data.path: {path} cannot be read as {path.suffix}: {reason}") from None
    if data.target not in columns:
        raise DatasetError(
            f"data.target: {path} has no column {data.target!r}{did_you_mean(data.target, columns)}"
            f"  (columns: {_some(columns)})"
        )
    labels = columns.pop(data.target)
    return Samples(_features(columns, len(labels), path), class_numbers(_labels(labels, data.target, path)))


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _columns(frame: pl.DataFrame) -> dict[str, NDArray[Any]]:
    return {column.name: column.to_numpy() for column in frame}


_READERS: Mapping[str, Callable[[Path], dict[str, NDArray[Any]]]] = {
    ".npz": _read_npz,
    ".csv": lambda path: _columns(pl.read_csv(path, infer_schema_length=None)),
    ".parquet": lambda path: _columns(pl.read_parquet(path)),
}


def _features(columns: Mapping[str, NDArray[Any]], samples: int, path: Path) -> NDArray[np.float64]:
    """All columns side by side, (samples, features); an array of more dimensions is flattened."""
    if not columns:
        raise DatasetError(f"data.path: {path} has no column beside the target")
    for name, values in columns.items():
        if values.shape[:1] != (samples,):
            raise DatasetError(f"data.path: {path}: {name!r} has shape {values.shape}, but there are {samples} labels")
    words = [name for name, values in columns.items() if values.dtype.kind not in "biuf"]
    if words:
        raise DatasetError(
            f"data.path: {path}: features must be numbers; these are not: {_some(words)}",
            fix="Drop them, or encode them as numbers first.",
        )
    blocks = [np.asarray(values, dtype=np.float64).reshape(samples, -1) for values in columns.values()]
    for name, block in zip(columns, blocks, strict=True):
        missing = int((~np.isfinite(block)).sum())
        if missing:
            raise DatasetError(f"data.path: {path}: {name!r} has {missing} values that are missing or not finite")
    return np.concatenate(blocks, axis=1)


def _labels(labels: NDArray[Any], target: str, path: Path) -> NDArray[Any]:
    if labels.ndim != 1:
        raise DatasetError(f"data.target: {target!r} has shape {labels.shape}; it must be one label a sample")
    if labels.dtype.kind == "O":
        missing = sum(label is None for label in labels)
        labels = labels.astype(str)
    else:
        missing = int((~np.isfinite(labels)).sum()) if labels.dtype.kind == "f" else 0
    if missing:
        raise DatasetError(f"data.target: {path}: {missing} labels are missing")
    distinct = np.unique(labels)
    fractional = labels.dtype.kind == "f" and (distinct != distinct.round()).any()
    if len(distinct) > MOST_CLASSES or (fractional and len(distinct) > len(labels) / 10):
        raise DatasetError(
            f"data.target: {target!r} has {len(distinct)} distinct values in {len(labels)} samples: that is a "
            "regression target; gradlab trains classifiers",
            fix="Name a column of class labels with data.target.",
        )
    return labels


def _some(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:10]) + (f", … ({len(names)} in all)" if len(names) > 10 else "")
