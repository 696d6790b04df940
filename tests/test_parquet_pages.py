"""Headers of Parquet files are looked over before polars reads them: a damaged one must not end the process."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from gradlab.parquet_pages import scan

ROOT = Path(__file__).parents[1]
COMPRESSIONS = ("uncompressed", "zstd", "snappy", "lz4", "gzip")


def frame(rows):
    return pl.DataFrame(
        {
            "step": pl.Series(range(rows), dtype=pl.Int64),
            "module": pl.Series([f"layer.{row % 3}" for row in range(rows)], dtype=pl.String),
            "loss": pl.Series([None if row % 5 == 0 else row / 7 for row in range(rows)], dtype=pl.Float64),
            "counts": pl.Series([[row] * (row % 4) for row in range(rows)], dtype=pl.List(pl.Int64)),
            "last": pl.Series([row % 2 == 0 for row in range(rows)], dtype=pl.Boolean),
            "text": pl.Series(["x" * (row % 1000) for row in range(rows)], dtype=pl.String),
        }
    )


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("rows", [0, 1, 5000])
@pytest.mark.parametrize("options", [{}, {"row_group_size": 1000}, {"data_page_size": 1000}, {"statistics": False}])
def test_whole_files_are_read(tmp_path, compression, rows, options):
    file = tmp_path / "a.parquet"
    frame(rows).write_parquet(file, compression=compression, **options)
    assert scan(file).collect().equals(frame(rows))


def test_a_header_may_hold_long_texts(tmp_path):
    file = tmp_path / "a.parquet"
    long = pl.DataFrame({"text": ["x" * 2**20, "y" * 2**20]})
    long.write_parquet(file, statistics="full")
    assert scan(file).collect().equals(long)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 3, b"x" * 100, b"PAR1" + b"\xff" * 20 + b"PAR1"])
def test_what_is_no_parquet_file_is_refused(tmp_path, content):
    file = tmp_path / "a.parquet"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"Parquet|headers"):
        scan(file)


CODE = """
import sys
from pathlib import Path
from gradlab.parquet_pages import scan
from gradlab.reading import without_panics
from tests.test_parquet_pages import frame
from polars.exceptions import PanicException
file, step = Path(sys.argv[1]), int(sys.argv[3])
frame(8).write_parquet(file, compression=sys.argv[2])
whole = file.read_bytes()
read = refused = 0
for place in range(4 + step % 7, len(whole), step):
    for value in (0x00, 0x01, 0x29, 0x7F, 0x80, 0xFF, whole[place] ^ 1):
        file.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        print(place, value, flush=True)
        try:
            with without_panics():
                scan(file).collect()
            read += 1
        except (Exception, PanicException):
            refused += 1
print("ended", read, refused)
"""


@pytest.mark.parametrize("compression", ["uncompressed", "zstd"])
def test_no_damaged_byte_ends_the_process(tmp_path, compression):
    """The last line says which byte did."""
    command = [sys.executable, "-c", CODE, str(tmp_path / "a.parquet"), compression, "11"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]
    assert done.stdout.splitlines()[-1].startswith("ended")
