"""How long `gradlab compare` takes over ten thousand finished runs.

    python benchmarks/compare.py [--runs 10000] [--repeats 3]

Makes that many run folders out of one real run, each of its own seed and configuration, and prints for the command as a
user would start it: the median wall time, the same for an empty interpreter start, and the share of reading files.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import gradlab
from gradlab import run_folder
from gradlab.config import Config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        make_runs(runs, arguments.runs)
        command = [sys.executable, "-m", "gradlab", "compare", str(runs), "--format", "csv"]
        seconds = [wall(command) for _ in range(arguments.repeats)]
        start = [wall([sys.executable, "-m", "gradlab", "--help"]) for _ in range(arguments.repeats)]
        begun = perf_counter()
        for path in run_folder.find_runs(runs):
            (path / "summary.json").read_bytes()
        reading = perf_counter() - begun
    print(f"{arguments.runs} runs: {statistics.median(seconds):.2f} s")
    print(f"of which starting: {statistics.median(start):.2f} s, opening files: {reading:.2f} s")


def make_runs(runs: Path, count: int) -> None:
    """Folders with the summary of one real run under `count` different configurations, five seeds each."""
    with tempfile.TemporaryDirectory() as folder:
        real = gradlab.run({"model": {"depth": 20}, "train": {"steps": 3}}, runs=folder, plots=False).summary
    grid = itertools.product(range(1, 101), (0.1, 0.01), ("relu", "tanh"), ("none", "before", "after"), range(10))
    for (depth, rate, activation, norm, width), seed in itertools.islice(itertools.product(grid, range(5)), count):
        model = {"depth": depth, "activation": activation, "batch_norm": norm, "width": 10 + width}
        config = Config.model_validate({"model": model, "train": {"learning_rate": rate}, "seed": seed})
        path = runs / config.folder
        path.mkdir()
        summary = {**real, "id": config.id, "config": config.model_dump(mode="json")}
        (path / "summary.json").write_text(json.dumps(summary, indent=2))
        for table in ("layers", "steps"):  # what the walk meets beside it
            (path / table).mkdir()


def wall(command: list[str]) -> float:
    begun = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - begun


if __name__ == "__main__":
    main()
