"""Files are written whole or not at all, and never through a link."""

import errno
import os
import sys

import pytest

from gradlab.errors import RunFolderError
from gradlab.views.pictures.sheet import drawing, new_figure, write_figure
from gradlab.writing import make_folder, replacing, write_file

links = pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few users make links")


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_file(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_what_cannot_be_written_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    write_file(path, "old")

    def half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_picture_of_before(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    with drawing():
        figure = new_figure(2.0)
        write_figure(figure, file)
        before = file.read_bytes()
        assert before.startswith(b"\x89PNG")
        monkeypatch.setattr("pathlib.Path.write_bytes", full_disk)
        with pytest.raises(RunFolderError, match="No space left"):
            write_figure(figure, file)
        with pytest.raises(RunFolderError, match="No space left"):
            write_figure(figure, tmp_path / "b.png")
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file], "an empty picture is left"


def test_nobody_can_guess_under_which_name_a_file_is_written(tmp_path):
    names = set()
    for _ in range(20):
        with replacing(tmp_path / "a.txt") as temporary:
            names.add(temporary.name)
    assert len(names) == 20


@links
def test_links_are_replaced_and_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("somebody's")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.txt").symlink_to(outside / "a.txt")
    (inside / "folder").symlink_to(outside)
    write_file(inside / "a.txt", "ours")
    assert not (inside / "a.txt").is_symlink()
    for act in (lambda: write_file(inside / "folder" / "a.txt", "ours"), lambda: make_folder(inside / "folder")):
        with pytest.raises(OSError, match="is a link"):
            act()
    assert [path.read_text() for path in outside.iterdir()] == ["somebody's"]
