"""What a sweep saves: its wall time as a ratio to that of the same runs, one `gradlab run` after the other.

    python benchmarks/sweep.py [--points 24] [--workers 2] [--steps 100]

A ratio of 1/workers would be the processes alone; the rest is that torch is imported once a worker. Both ways draw no
pictures, and write into a temporary directory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GRADLAB = [sys.executable, "-m", "gradlab"]
CONFIG = {"model": {"depth": 20, "width": 100}, "data": {"name": "digits"}, "record": {"every": 5}}


def seconds(*commands: list[str], cwd: Path) -> float:
    """Wall time of commands, one after the other."""
    start = time.perf_counter()
    for command in commands:
        subprocess.run([*GRADLAB, *command], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cwd = Path(folder)
        (cwd / "base.yaml").write_text(json.dumps({**CONFIG, "train": {"steps": options.steps}}))
        seeds = range(options.points)
        workers = ["--workers", str(options.workers)]
        sweep = seconds(["sweep", "base.yaml", f"seed=range(0, {options.points})", *workers, "--runs", "a"], cwd=cwd)
        single = [["run", "base.yaml", f"seed={seed}", "--no-plots", "--quiet", "--runs", "b"] for seed in seeds]
        alone = seconds(*single, cwd=cwd)
        same = sorted(path.name for path in (cwd / "a").iterdir()) == sorted(
            path.name for path in (cwd / "b").iterdir()
        )
    print(f"{options.points} points of {options.steps} steps, {options.workers} workers")
    print(f"one by one   {alone:6.1f} s  {options.points / alone:5.2f} runs/s")
    print(f"sweep        {sweep:6.1f} s  {options.points / sweep / options.workers:5.2f} runs/s per worker")
    print(f"ratio        {sweep / alone:6.2f}{'' if same else '   (but not the same runs!)'}")


if __name__ == "__main__":
    main()
