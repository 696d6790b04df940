"""Kills, full disks and processes at one folder; `python -m scripts.reliability` tries many more.

The tries fork, so that they run in a process of their own, which has not used polars yet.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.processes import TRIES, can_mount

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from pathlib import Path
from tests.faults.processes import TRIES
act = dict(TRIES)[sys.argv[1]]
for seed in range(int(sys.argv[3])):
    place = Path(sys.argv[2]) / str(seed)
    place.mkdir()
    act(place, seed)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("kind", [kind for kind, _ in TRIES])
def test_nothing_is_lost(tmp_path, kind):
    if "disk" in kind and not can_mount(tmp_path):
        pytest.skip("this process may not mount disks")
    command = [sys.executable, "-c", CODE, kind, str(tmp_path), "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
