"""Looks over a Parquet file before polars reads it: what the headers of its pages say must be possible.

A damaged header can say that a page holds −21 values, or 2⁶⁰ bytes. Polars asks for the memory at once, and where there
is none the process ends: no error can be caught. So the numbers are read here first. Headers are written in the compact
protocol of Thrift (Apache Parquet, `parquet.thrift`; Apache Thrift, `thrift-compact-protocol.md`).
"""

from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import polars as pl

from gradlab.reading import open_file

MAGIC = b"PAR1"
MOST_FOOTER = 2**26
"""Bytes of a footer."""
MOST_PAGE = 2**28
"""Bytes of a page when it is unpacked. Polars writes pages of a megabyte."""
HEADER = 2**16
"""Bytes that are read for a header of a page at first."""
MOST_DEPTH = 12
_DATA, _INDEX, _DICTIONARY, _DATA_2 = range(4)
_OF_KIND = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}
"""The field of a page's header that holds what is said of a page of this kind; its field 1 is the number of values."""


def scan(file: Path) -> pl.LazyFrame:
    """A Parquet file as polars reads it, after its headers have been looked over.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is no Parquet file, or its headers say what cannot be.
    """
    with open_file(file) as opened:
        try:
            _look_over(opened)
        except (IndexError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError("its headers are damaged") from None
    return pl.scan_parquet(file, glob=False)


def _look_over(file: BufferedReader) -> None:
    size = file.seek(0, 2)
    if size < 12:
        raise ValueError("it is too short for a Parquet file")
    file.seek(size - 8)
    length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
    if magic != MAGIC or length > min(size - 12, MOST_FOOTER):
        raise ValueError("it is no whole Parquet file")
    file.seek(size - 8 - length)
    footer, _ = _structure(file.read(length), 0, 0)
    rows = 0
    for group in footer[4]:
        if not 0 <= group[3] <= footer[3]:
            raise ValueError(f"a group of its rows has {group[3]:,} of {footer[3]:,}")
        rows += group[3]
        for column in group[1]:
            _look_over_column(file, column[3], size)
    if rows != footer[3]:
        raise ValueError(f"it says that it has {footer[3]:,} rows, and has {rows:,}")


def _look_over_column(file: BufferedReader, column: Mapping[int, Any], size: int) -> None:
    """The headers of the pages of a column: they fill the column, and hold as many values as it."""
    start = min(column[9], column.get(11) or column[9])
    end, values, seen = start + column[7], column[5], 0
    if not 0 < start <= end <= size or values < 0:
        raise ValueError("a column lies outside of it")
    while start < end:
        header, header_size = _page_header(file, start, end - start)
        unpacked, packed = header[2], header[3]
        if not (0 <= packed <= end - start - header_size and 0 <= unpacked <= MOST_PAGE):
            raise ValueError(f"a page of {packed:,} bytes, {unpacked:,} unpacked, cannot be in it")
        if header[1] in _OF_KIND:
            about = header[_OF_KIND[header[1]]]
            count = about[1]
            if not 0 <= count <= (unpacked if header[1] == _DICTIONARY else values - seen):
                raise ValueError(f"a page of {count:,} values cannot be in it")
            if header[1] == _DATA_2:
                levels = (about[2], about[3], about[5], about[6])
                if min(levels) < 0 or about[2] > count or about[3] > count or about[5] + about[6] > packed:
                    raise ValueError("the levels of a page cannot be in it")
            seen += 0 if header[1] == _DICTIONARY else count
        start += header_size + packed
    if seen != values:
        raise ValueError(f"a column says that it has {values:,} values, and has {seen:,}")


def _page_header(file: BufferedReader, start: int, room: int) -> tuple[Mapping[int, Any], int]:
    """The header of a page, and its size; it may be long, because it may hold the smallest and the largest text."""
    some = HEADER
    while True:
        file.seek(start)
        content = file.read(min(some, room))
        try:
            return _structure(content, 0, 0)
        except IndexError:
            if some >= room:
                raise
            some *= 16


# ------------------------------------------------------------------------------------------------ Thrift's compact form


def _structure(content: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """The fields of a structure by number, and where it ends."""
    if depth > MOST_DEPTH:
        raise RecursionError
    fields: dict[int, Any] = {}
    number = 0
    while (head := content[at]) != 0:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            coded, at = _unsigned(content, at)
            number = _signed(coded)
        fields[number], at = _value(content, at, head & 15, depth)
    return fields, at + 1


def _value(content: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):  # a field's truth is in its head
        return kind == 1, at
    if kind == 3:
        return content[at], at + 1
    if kind in (4, 5, 6):
        coded, at = _unsigned(content, at)
        return _signed(coded), at
    if kind == 7:
        return None, _inside(content, at + 8)
    if kind == 8:
        size, at = _unsigned(content, at)
        return None, _inside(content, at + size)  # texts are not looked at
    if kind in (9, 10):
        return _list(content, at, depth)
    if kind == 12:
        return _structure(content, at, depth + 1)
    raise ValueError("its headers are damaged")


def _list(content: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    head = content[at]
    count, kind = head >> 4, head & 15
    at += 1
    if count == 15:
        count, at = _unsigned(content, at)
    if count > len(content) - at:  # each item takes a byte at least
        raise IndexError
    items = []
    for _ in range(count):
        item, at = (None, at + 1) if kind in (1, 2) else _value(content, at, kind, depth + 1)
        items.append(item)
    return items, at


def _inside(content: bytes, at: int) -> int:
    if at > len(content):
        raise IndexError
    return at


def _unsigned(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise ValueError("its headers are damaged")


def _signed(coded: int) -> int:
    """−1 is coded as 1, 1 as 2, −2 as 3."""
    return (coded >> 1) ^ -(coded & 1)
