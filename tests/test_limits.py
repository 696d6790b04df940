"""What the system denies is told as one message, and not as a traceback."""

import errno
import shutil
import subprocess
import sys

import pytest

from gradlab.errors import RunFolderError
from gradlab.limits import denied
from gradlab.run_folder import cannot_write
from tests.views.comparison.folders import write_run


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files", "font.ttf"), "no more files"),
        (MemoryError(), "no more memory"),
        (ImportError("x.so: failed to map segment from shared object"), "no more memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "no more memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (OSError(errno.ENOSPC, "No space left on device"), ""),
        (ValueError("x"), ""),
    ],
)
def test_what_is_denied(error, said):
    assert said in denied(error)
    assert bool(denied(error)) == bool(said)


def test_a_file_that_cannot_be_opened_is_not_blamed(tmp_path):
    error = cannot_write(tmp_path, OSError(errno.EMFILE, "Too many open files", "/fonts/x.ttf"))
    assert isinstance(error, RunFolderError)
    assert "x.ttf" not in error.message
    assert "no more files" in error.message


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("bash") is None, reason="limits of Linux")
@pytest.mark.parametrize("limit", ["-v 200000", "-v 500000", "-v 790000", "-n 6", "-n 20"])
def test_limits_are_one_message(tmp_path, limit):
    write_run(tmp_path)
    command = f"ulimit {limit}; exec {sys.executable} -m gradlab compare {tmp_path}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.stderr.count("\n") == 1
        assert "the system" in done.stderr


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("bash") is None, reason="limits of Linux")
def test_where_memory_is_too_little_to_train_nothing_begins(tmp_path):
    (tmp_path / "config.yaml").write_text("{model: {depth: 2, width: 4}, data: wine, train: {steps: 5}}")
    for words in ("run config.yaml", "sweep config.yaml seed=0,1", "predict config.yaml"):
        command = f"ulimit -v 1000000; exec {sys.executable} -m gradlab {words}"
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "Error: the system gives this process no more memory (ulimit -v says 1000000)\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
