"""Where a run was made: versions, device, threads, commit."""

import platform
import subprocess
from importlib.metadata import version
from typing import Any

import numpy as np
import torch


def environment(device: torch.device) -> dict[str, Any]:
    """What `environment.json` holds."""
    return {
        "gradlab": version("gradlab"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
