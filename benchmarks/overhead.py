"""What recording costs: the time of a training step with the recorder on, as a ratio to the bare step.

    python benchmarks/overhead.py [--threads 1] [--blocks 15]

Blocks of bare and recorded steps alternate in one process; a row gives the median of the ratios of neighbouring blocks
and their middle half, and the same for bare against bare, which says how noisy the machine is.
"""

import argparse
import statistics
import time
from contextlib import nullcontext

import torch
from torch import nn

from gradlab.config import ModelConfig
from gradlab.networks.mlp import build_mlp
from gradlab.recording.recorder import Recorder

NETWORKS = {
    # model, batch size, steps a block: a multiple of ten, so that every=10 records its share
    "(a) 20 × 100 tanh, batch 128": ({"depth": 20, "width": 100, "activation": "tanh"}, 128, 40),
    "(b) 50 × 256 ReLU + BatchNorm, batch 128": (
        {"depth": 50, "width": 256, "activation": "relu", "batch_norm": "before"},
        128,
        10,
    ),
    "(c) 10 × 1024 ReLU, batch 256": ({"depth": 10, "width": 1024, "activation": "relu"}, 256, 10),
}


class Block:
    """A network in training; `seconds(…)` times a block of its steps."""

    def __init__(self, model: dict, batch: int) -> None:
        width = model["width"]
        config = ModelConfig.model_validate(model)
        cpu = torch.device("cpu")
        self.model = build_mlp(config, features=width, classes=10, seed=0, dtype=torch.float32, device=cpu)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.x, self.y = torch.randn(batch, width), torch.randint(10, (batch,))

    def seconds(self, steps: int, every: int | None) -> float:
        """Time of a block; entering the recorder and its first steps, in which it looks around, are not counted."""
        records = []
        recorder = (
            Recorder(self.model, [self.optimizer], emit=records.append, records=lambda step: step % every == 0)
            if every
            else nullcontext()
        )
        with recorder:
            for _ in range(10):
                self.step()
            start = time.perf_counter()
            for _ in range(steps):
                self.step()
            return time.perf_counter() - start

    def step(self) -> None:
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    modes = {"bare": None, "every=1": 1, "every=10": 10}
    print(f"{arguments.threads} thread(s), {arguments.blocks} blocks: median ratio to the bare step [middle half]")
    for name, (model, batch, steps) in NETWORKS.items():
        block = Block(model, batch)
        block.seconds(steps, 1)
        ratios: dict[str, list[float]] = {mode: [] for mode in modes}
        bare = []
        for _ in range(arguments.blocks):
            bare.append(block.seconds(steps, None))
            for mode, every in modes.items():
                ratios[mode].append(block.seconds(steps, every) / bare[-1])
        cells = []
        for mode, values in ratios.items():
            low, middle, high = statistics.quantiles(values, n=4)
            cells.append(f"{mode} {middle:.2f} [{low:.2f}, {high:.2f}]")
        print(f"{name}: bare step {statistics.median(bare) / steps * 1e3:.2f} ms · {' · '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
