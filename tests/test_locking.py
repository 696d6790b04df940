import os
import subprocess
import sys

import pytest

from gradlab.locking import FileLock, is_locked


def test_a_lock_belongs_to_one_and_is_given_back(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    lock = FileLock(path)
    assert is_locked(path)
    assert lock.guards(path)
    with pytest.raises(BlockingIOError):
        FileLock(path)
    lock.release()
    assert not is_locked(path)
    lock.release()
    FileLock(path).release()


def test_a_dead_process_holds_no_lock(tmp_path):
    path = tmp_path / "lock"
    code = "import os, pathlib, sys; from gradlab.locking import FileLock\n"
    code += "lock = FileLock(pathlib.Path(sys.argv[1])); os._exit(1)"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert not is_locked(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("by", ["release", "garbage", "exit"])
def test_a_forked_child_neither_holds_nor_gives_back_the_lock_of_its_parent(tmp_path, by):
    """In a process of its own: pytest's has threads, of which fork would warn."""
    code = """
import os, pathlib, sys
from gradlab.locking import FileLock, is_locked
path = pathlib.Path(sys.argv[1])
lock = FileLock(path)
read, write = os.pipe()
child = os.fork()
if not child:
    if sys.argv[2] == "release":
        lock.release()
    elif sys.argv[2] == "garbage":
        del lock
    else:
        sys.exit(0)
    os.close(write)
    os.read(read, 1)  # until the parent is dead
    os._exit(0)
if sys.argv[2] == "exit":
    os.waitpid(child, 0)
assert is_locked(path)
print("locked", flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "lock", by], capture_output=True, text=True, check=True
    )
    assert done.stdout == "locked\n"
    assert not is_locked(tmp_path / "lock")


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_lock_that_is_no_regular_file_is_refused_and_nobody_waits_for_it(tmp_path, kind):
    path, other = tmp_path / "lock", tmp_path / "other"
    other.write_text("somebody's")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert not is_locked(path)
    with pytest.raises(OSError, match="lock"):
        FileLock(path)
    assert other.read_text() == "somebody's"


def test_a_lock_whose_file_is_removed_guards_nothing(tmp_path):
    path = tmp_path / "lock"
    lock = FileLock(path)
    path.unlink()
    assert not lock.guards(path)
    other = FileLock(path)
    assert other.guards(path)
    assert not lock.guards(path)
