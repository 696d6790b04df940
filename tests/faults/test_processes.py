"""Kills, full disks, limits and processes at one folder; `python -m scripts.reliability` tries many more.

The tries fork, so that they run in a process of their own, which has not used polars yet.
"""

import subprocess
import sys

import pytest

from scripts.reliability import KINDS, ROOT
from tests.faults.processes import can_mount

APART = [kind for kind, about in KINDS.items() if about.module in ("processes", "sweeps", "scarcity")]
FEW = {"kills of `sweep`": 1, "limits of the system": 4, "outputs that fail": 6}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("kind", APART)
def test_nothing_is_lost(tmp_path, kind):
    if "disk" in kind and not can_mount(tmp_path):
        pytest.skip("this process may not mount disks")
    command = [sys.executable, "-m", "scripts.reliability", kind, "--tries", str(FEW.get(kind, 2)), "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
