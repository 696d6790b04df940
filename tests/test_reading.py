"""Only regular files are opened, and only as much of them as can be meant."""

import os
import socket
import sys
from contextlib import suppress

import polars as pl
import pytest

from gradlab.reading import open_file, read_file, read_json, without_panics

unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


def test_a_file_is_read(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"abc\r\n\x00\xff")
    assert read_file(path, 100) == b"abc\r\n\x00\xff"
    with open_file(path) as file:
        assert file.read() == b"abc\r\n\x00\xff"


@pytest.mark.parametrize(("size", "most"), [(10, 9), (1, 0), (1000, 999)])
def test_a_file_that_is_too_large_is_refused(tmp_path, size, most):
    path = tmp_path / "large"
    path.write_bytes(b"x" * size)
    assert len(read_file(path, size)) == size
    with pytest.raises(OSError, match=f"{size:,} bytes"):
        read_file(path, most)


@unix
def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="a pipe and not a file"):
        open_file(tmp_path / "pipe")
    for device in ("/dev/zero", tmp_path / "link"):
        with pytest.raises(OSError, match="a device and not a file"):
            open_file(device)
    with pytest.raises(OSError, match=r"socket|No such device"):
        open_file(tmp_path / "socket")
    listener.close()
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "nothing")
    with pytest.raises(ValueError, match="null byte"):
        open_file(tmp_path / "a\0b")


@unix
def test_refused_files_are_closed(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    for _ in range(20):
        with pytest.raises(OSError, match="device"):
            open_file("/dev/null")
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    assert after == before


def test_json_of_somebody_else(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    for text, reason in (
        ("[" * 10**5, "nested too deeply"),
        ("[1]", "no JSON object"),
        ("3", "no JSON object"),
        ("{", "property name"),
        ("\xff", "codec"),
    ):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=reason):
            read_json(path)
    path.write_text('{"status": "completed"}')
    assert read_json(path) == {"status": "completed"}
    monkeypatch.setattr("gradlab.reading.MOST_JSON", 10)
    with pytest.raises(OSError, match="10 are the most"):
        read_json(path)


def test_panics_of_polars_reach_no_terminal(tmp_path, capfd):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": [1.5, 2.5]}).write_parquet(path)
    content = bytearray(path.read_bytes())
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        with suppress(Exception, pl.exceptions.PanicException), without_panics():
            pl.read_parquet(path)
    assert capfd.readouterr().err == ""
    with without_panics():
        os.write(2, b"said")
    assert capfd.readouterr().err == "said"
