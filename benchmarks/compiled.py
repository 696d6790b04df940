"""What recording a compiled model costs: processor time of a training step, as a ratio to the compiled step alone.

    taskset -c 1 python benchmarks/compiled.py [--blocks 15] [--networks act] [--backend inductor]

Each way to train has a process of its own, which compiles what it needs and then waits. The processes run blocks of
steps by turns, one at a time; a row gives the median of the ratios to the compiled block before it, and their middle
half. The first steps, in which models are compiled and gradlab looks around, are not counted. Processor time is counted
because a compiled step is short, and other programs on the machine would be measured with it.

One way records nothing, but has in the compiled code what another design of gradlab would need: two operators a module,
one for its output and one for its δ, which call Python. It says what that design costs at least.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
import warnings

import overhead
import torch
from torch import nn
from torch._higher_order_ops import effects

import gradlab

WAYS = {
    # steps between records, whether it is compiled, whether there are operators in the compiled code
    "compiled": (None, True, False),
    "compiled, every=1": (1, True, False),
    "compiled, every=10": (10, True, False),
    "compiled, with operators that call Python": (None, True, True),
    "not compiled": (None, False, False),
    "not compiled, every=1": (1, False, False),
}
LIBRARY = torch.library.Library("benchmark", "DEF")
WARM_UP = 20
"""Steps before the first block; in record 13, gradlab looks closely for the last time before record 100."""


class Transformer(nn.Module):
    """Two layers of attention and GELU before a classifier: 64 tokens of 128 features, 8 samples."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.last = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.last(x.mean(1))


class Layer(nn.Module):
    """Attention and a small network, each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.other_norm = nn.LayerNorm(128), nn.LayerNorm(128)
        self.inputs, self.outputs = nn.Linear(128, 3 * 128), nn.Linear(128, 128)
        self.mlp = nn.Sequential(nn.Linear(128, 512), nn.GELU(), nn.Linear(512, 128))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.inputs(self.norm(x)).unflatten(-1, (3, 4, 32)).permute(2, 0, 3, 1, 4)
        x = x + self.outputs(nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))
        return x + self.mlp(self.other_norm(x))


def add_operators(model: nn.Module) -> None:
    """Put operators into what will be compiled of a model: for the output of each of its leaves, and for its δ."""

    def add_to(leaf: nn.Module, number: torch.Tensor) -> None:
        def note(module: nn.Module, inputs: object, x: torch.Tensor) -> None:
            torch.ops.benchmark.note(x.detach(), number)
            if x.requires_grad:
                x.register_hook(lambda delta: torch.ops.benchmark.note(delta.detach(), number))

        leaf.register_forward_hook(note)

    LIBRARY.define("note(Tensor x, Tensor number) -> ()")
    for kind in ("CPU", "Meta"):
        LIBRARY.impl("note", lambda x, number: None, kind)
    effects._register_effectful_op("benchmark::note", effects._EffectType.ORDERED)  # so it is never left out
    for number, leaf in enumerate(each for each in model.modules() if not [*each.children()]):
        add_to(leaf, torch.tensor(number))


def network(letter: str) -> tuple[str, overhead.Block, int]:
    """A network in training, by its letter: what it is, and the steps of a block."""
    if letter == "t":
        block = overhead.Block({"depth": 1, "width": 1, "activation": "relu"}, 8)
        block.model, block.x = Transformer(), torch.randn(8, 64, 128)
        block.optimizer = torch.optim.SGD(block.model.parameters(), lr=1e-3)
        return "transformer of 2 layers, width 128, 8 × 64 tokens", block, 20
    title, model, batch, steps = overhead.NETWORKS[letter]
    return title, overhead.Block(model, batch).flat(), steps


def work(way: str, letter: str, backend: str) -> None:
    """Train, a block for each line that comes in; print how long a step took."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    every, is_compiled, has_operators = WAYS[way]
    _, block, steps = network(letter)
    model = block.model
    if has_operators:
        add_operators(model)
    if is_compiled:
        block.model = torch.compile(model, backend=backend)
    with contextlib.ExitStack() as stack:
        if every is not None:
            stack.enter_context(gradlab.watch(model, block.optimizer, every=every))
        for _ in range(WARM_UP):
            block.step(None)
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.process_time()
            for _ in range(steps):
                block.step(None)
            print((time.process_time() - start) / steps, flush=True)


def measure(letter: str, blocks: int, backend: str) -> None:
    """Print the table of a network."""
    workers = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--work", way, "--networks", letter, "--backend", backend]
        workers[way] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        workers[way].stdout.readline()
    ratios: dict[str, list[float]] = {way: [] for way in WAYS}
    bares = []
    for _ in range(blocks):
        for way in WAYS:
            bares.append(_seconds(workers["compiled"]))
            ratios[way].append(1.0 if way == "compiled" else _seconds(workers[way]) / bares[-1])
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    print(f"({letter}) {network(letter)[0]}: compiled step {statistics.median(bares) * 1e3:.2f} ms")
    for way, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"    {way:36} {middle:6.2f}  [{low:.2f}, {high:.2f}]", flush=True)


def _seconds(worker: subprocess.Popen[str]) -> float:
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write("\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--networks", default="act")
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--work", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.networks, arguments.backend)
        return
    for letter in arguments.networks:
        measure(letter, arguments.blocks, arguments.backend)


if __name__ == "__main__":
    main()
