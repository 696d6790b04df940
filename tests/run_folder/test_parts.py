import math

import polars as pl
import pytest

from gradlab.run_folder import parts as parts_module
from gradlab.run_folder.parts import PartWriter, parts, read_parts, write_together
from gradlab.tables import SCHEMAS


def frame(*steps):
    return pl.DataFrame({"step": steps, "loss": [1.0] * len(steps)}, schema={"step": pl.Int64, "loss": pl.Float64})


def written(folder, count):
    writer = PartWriter(folder)
    for step in range(count):
        write_together({writer: frame(step)})
    return writer


def steps_in(folder):
    rows, problems = read_parts("steps", parts(folder))
    assert problems == []
    return rows["step"].to_list()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 16, 17, 63, 64, 257])
def test_parts_are_merged_as_they_grow_and_no_row_is_lost_doubled_or_moved(tmp_path, count):
    written(tmp_path / "steps", count)
    assert steps_in(tmp_path / "steps") == list(range(count))
    files = list((tmp_path / "steps").iterdir())
    assert len(files) == sum(int(digit) for digit in base_four(count))
    assert len(files) <= 3 * (1 + math.log(count, 4))


def base_four(number):
    return base_four(number // 4) + str(number % 4) if number else ""


def test_another_process_writes_on(tmp_path):
    for _ in range(5):
        writer = PartWriter(tmp_path)
        for _ in range(7):
            write_together({writer: frame(len(steps_in(tmp_path)))})
    assert steps_in(tmp_path) == list(range(35))
    assert len(parts(tmp_path)) <= 8


def test_what_is_left_of_merged_parts_is_passed_over(tmp_path):
    written(tmp_path, 3)
    leftovers = {part.file: part.file.read_bytes() for part in parts(tmp_path)}
    write_together({PartWriter(tmp_path): frame(3)})
    assert [part.file.name for part in parts(tmp_path)] == ["000000-000003.parquet"]
    for file, content in leftovers.items():
        file.write_bytes(content)
    assert steps_in(tmp_path) == [0, 1, 2, 3]
    write_together({PartWriter(tmp_path): frame(4)})
    assert steps_in(tmp_path) == [0, 1, 2, 3, 4]


def test_merged_parts_do_not_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "MERGED_ROWS", 16)
    written(tmp_path, 70)
    assert [part.size for part in parts(tmp_path)] == [16, 16, 16, 16, 4, 1, 1]
    assert steps_in(tmp_path) == list(range(70))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other columns", "other types"])
def test_a_damaged_part_is_named_and_the_others_are_read(tmp_path, damage):
    writer = written(tmp_path, 3)
    file = tmp_path / "000001.parquet"
    content = file.read_bytes()
    if damage == "other columns":
        pl.DataFrame({"colour": [1]}).write_parquet(file)
    elif damage == "other types":
        pl.DataFrame({"step": ["one"]}).write_parquet(file)
    else:
        file.write_bytes({"cut": content[:-20], "empty": b"", "text": b"nothing of the kind"}[damage])
    rows, problems = read_parts("steps", parts(tmp_path))
    assert rows["step"].to_list() == [0, 2]
    assert dict(rows.schema) == dict(SCHEMAS["steps"])
    assert len(problems) == 1
    assert problems[0].startswith("steps/000001.parquet cannot be read: ")
    for step in range(3, 40):  # a part that cannot be merged stands in nobody's way
        write_together({writer: frame(step)})
    rows, problems = read_parts("steps", parts(tmp_path))
    assert rows["step"].to_list() == [0, *range(2, 40)]
    assert len(problems) == 1
    assert len(parts(tmp_path)) < 14


def test_several_tables_are_written_together_or_not_at_all(tmp_path):
    first, second = PartWriter(tmp_path / "layers"), PartWriter(tmp_path / "steps")
    write_together({first: frame(0), second: frame(0)})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "steps" / "000000.parquet").rename(tmp_path / "elsewhere" / "000000.parquet")
    (tmp_path / "steps").rmdir()
    (tmp_path / "steps").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="is a link"):
        write_together({first: frame(1), second: frame(1)})
    assert [file.name for file in (tmp_path / "layers").iterdir()] == ["000000.parquet"]
    (tmp_path / "steps").unlink()
    write_together({first: frame(1), second: frame(1)})
    assert steps_in(tmp_path / "layers") == [0, 1]
