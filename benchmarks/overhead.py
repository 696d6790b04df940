"""What recording costs: the time of a training step with a tool on, as a ratio to the bare step, and peak memory.

    python benchmarks/overhead.py [--threads 1] [--blocks 15] [--networks abc] [--only gradlab]
    python benchmarks/overhead.py --memory

Blocks of bare and recorded steps alternate in one process; a row gives the median of the ratios of neighbouring blocks,
and their middle half. Bare against bare says how noisy the machine is. Entering a tool and its first twenty steps,
in which it looks around, are not counted; a slow tool does as many as it can within PATIENCE. Other tools are measured
where they are: pip install -e '.[bench]', and for three more
pip install fastai torchexplorer cockpit-for-pytorch 'setuptools<81'. Of these, fastai brings a torchvision that has to
be of the same build as torch, or Lightning cannot be imported beside it; torchexplorer needs Graphviz's `dot`.
"""

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

import gradlab
from gradlab.choices import MLP
from gradlab.networks.mlp import build_mlp
from gradlab.recording import native

NETWORKS = {
    # model, batch size, steps a block: a multiple of ten, so that every=10 records its share
    "a": ("20 × 100 tanh, batch 128", {"depth": 20, "width": 100, "activation": "tanh"}, 128, 40),
    "b": (
        "50 × 256 ReLU + BatchNorm, batch 128",
        {"depth": 50, "width": 256, "activation": "relu", "batch_norm": "before"},
        128,
        10,
    ),
    "c": ("10 × 1024 ReLU, batch 256", {"depth": 10, "width": 1024, "activation": "relu"}, 256, 10),
}
Model = nn.Module
Optimizer = torch.optim.Optimizer


# A tool is a context around the loop; it may yield what is to be called instead of `loss.backward()`.


def after(function: Callable[[], object]) -> Callable[..., None]:
    """Backward, and then something."""

    def backward(loss: torch.Tensor, *_: torch.Tensor) -> None:
        loss.backward()
        function()

    return backward


@contextmanager
def bare(model: Model, optimizer: Optimizer) -> Iterator[None]:
    yield


def watch(every: int) -> Callable:
    @contextmanager
    def tool(model: Model, optimizer: Optimizer) -> Iterator[None]:
        with gradlab.watch(model, optimizer, every=every):
            yield

    return tool


@contextmanager
def watch_plainly(model: Model, optimizer: Optimizer) -> Iterator[None]:
    """gradlab without its native library, as on a platform for which there are none."""
    library, native.LIBRARY = native.LIBRARY, None
    try:
        with gradlab.watch(model, optimizer):
            yield
    finally:
        native.LIBRARY = library


@contextmanager
def item(model: Model, optimizer: Optimizer) -> Iterator[Callable[..., None]]:
    """What people write: `.item()` for mean, std, extremes, zeros and the norm of δ, in hooks; weights by norm()."""
    rows = []

    def on_output(module: Model, inputs: object, x: torch.Tensor) -> None:
        v = x.detach()
        rows.append([v.mean().item(), v.std().item(), v.min().item(), v.max().item(), (v == 0).sum().item()])
        x.register_hook(lambda delta: rows.append([delta.norm().item()]))

    def after_backward() -> None:
        rows.append([(p.norm().item(), p.grad.norm().item()) for p in model.parameters()])

    handles = [m.register_forward_hook(on_output) for m in model.modules() if next(m.children(), None) is None]
    yield after(after_backward)
    for handle in handles:
        handle.remove()


@contextmanager
def tensorboard_histograms(model: Model, optimizer: Optimizer) -> Iterator[Callable[..., None]]:
    """Histograms of activations, gradients and weights, as in TensorBoard's tutorials."""
    from torch.utils.tensorboard import SummaryWriter

    writer, step = SummaryWriter(tempfile.mkdtemp()), [0]

    def on_output(name: str) -> Callable:
        return lambda module, inputs, x: writer.add_histogram(f"{name}.output", x, step[0])

    def after_backward() -> None:
        for name, p in model.named_parameters():
            writer.add_histogram(name, p, step[0])
            writer.add_histogram(f"{name}.grad", p.grad, step[0])
        step[0] += 1

    handles = [m.register_forward_hook(on_output(n)) for n, m in model.named_modules() if not [*m.children()]]
    yield after(after_backward)
    for handle in handles:
        handle.remove()
    writer.close()


@contextmanager
def wandb_watch(model: Model, optimizer: Optimizer) -> Iterator[Callable[..., None]]:
    """wandb.watch(log="all"): histograms of gradients and weights."""
    import wandb

    os.environ["WANDB_SILENT"] = "true"
    run = wandb.init(project="overhead", mode="offline", dir=tempfile.mkdtemp())
    run.watch(model, log="all", log_freq=1)
    yield after(lambda: run.log({"loss": 0.0}))
    run.unwatch(model)
    run.finish()


@contextmanager
def lightning_grad_norm(model: Model, optimizer: Optimizer) -> Iterator[Callable[..., None]]:
    """Norms of the weight gradients, nothing else."""
    from lightning.pytorch.utilities import grad_norm

    yield after(lambda: grad_norm(model, norm_type=2))


@contextmanager
def fastai_activation_stats(model: Model, optimizer: Optimizer) -> Iterator[Callable[..., None]]:
    """fastai's callback without its training loop: mean, spread and share near zero of every output."""
    from fastai.callback.hook import ActivationStats, Hooks

    rows = []
    leaves = [module for module in model.modules() if not [*module.children()]]
    with Hooks(leaves, ActivationStats().hook) as hooks:
        yield after(lambda: rows.append(hooks.stored))


@contextmanager
def torchexplorer(model: Model, optimizer: Optimizer) -> Iterator[None]:
    """Histograms of activations, gradients and weights of a sample, shown nowhere."""
    import torchexplorer

    torchexplorer.watch(model, log_freq=1, backend="none", verbose=False)
    yield


@contextmanager
def cockpit(model: Model, optimizer: Optimizer) -> Iterator[Callable[..., None]]:
    """The cheapest of Cockpit's configurations."""
    from backpack import extend
    from cockpit import Cockpit
    from cockpit.utils.configuration import configuration

    extend(model)
    mean, each = extend(nn.CrossEntropyLoss()), nn.CrossEntropyLoss(reduction="none")
    instruments, steps = Cockpit(model.parameters(), quantities=configuration("economy")), itertools.count()

    def backward(_: torch.Tensor, out: torch.Tensor, y: torch.Tensor) -> None:
        step, loss = next(steps), mean(out, y)
        info = {"batch_size": len(y), "individual_losses": each(out, y), "loss": loss, "optimizer": optimizer}
        with instruments(step, info=info):
            loss.backward(create_graph=instruments.create_graph(step))

    yield backward


TOOLS: dict[str, Callable] = {
    "bare": bare,
    "gradlab": watch(1),
    "gradlab every=10": watch(10),
    "gradlab plain operators": watch_plainly,
    ".item() for each statistic": item,
    "fastai ActivationStats": fastai_activation_stats,
    "Lightning grad_norm": lightning_grad_norm,
    "wandb.watch(log='all')": wandb_watch,
    "TensorBoard histograms": tensorboard_histograms,
    "torchexplorer": torchexplorer,
    "Cockpit 'economy'": cockpit,
}
LEAVE_TRACES = {"torchexplorer", "Cockpit 'economy'"}
"""Tools that stay on a model; they get one of their own."""
PATIENCE = 5.0
"""Seconds."""


class Block:
    """A network in training; `seconds(…)` times a block of its steps."""

    def __init__(self, model: dict, batch: int) -> None:
        width = model["width"]
        config = MLP.model_validate(model)
        cpu = torch.device("cpu")
        self.model = build_mlp(config, features=width, classes=10, seed=0, dtype=torch.float32, device=cpu)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.x, self.y = torch.randn(batch, width), torch.randint(10, (batch,))

    def flat(self) -> "Block":
        """The same layers in a row: BackPACK keeps what it needs in attributes, one of which the network has too."""
        self.model = nn.Sequential(*(module for module in self.model.modules() if not [*module.children()]))
        return self

    def seconds(self, steps: int, tool: Callable) -> float:
        """Of a step."""
        with tool(self.model, self.optimizer) as backward:
            self.run(20, backward)
            return self.run(steps, backward)

    def run(self, steps: int, backward: Callable[..., None] | None) -> float:
        start, done = time.perf_counter(), 0
        while done < steps and time.perf_counter() - start < PATIENCE:
            self.step(backward)
            done += 1
        return (time.perf_counter() - start) / done

    def step(self, backward: Callable[..., None] | None) -> None:
        self.optimizer.zero_grad()
        out = self.model(self.x)
        loss = nn.functional.cross_entropy(out, self.y)
        if backward is None:
            loss.backward()
        else:
            backward(loss, out, self.y)
        self.optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--networks", default="abc")
    parser.add_argument("--only", default="", help="tools whose name has this in it")
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    if arguments.memory:
        print_memory()
        return
    print(f"{arguments.threads} thread(s), {arguments.blocks} blocks: median ratio to the bare step [middle half]")
    for letter in arguments.networks:
        print_ratios(letter, {name: TOOLS[name] for name in TOOLS if arguments.only in name}, arguments.blocks)


def print_ratios(letter: str, tools: dict[str, Callable], count: int) -> None:
    title, model, batch, steps = NETWORKS[letter]
    block = Block(model, batch)
    ratios: dict[str, list[float]] = {}
    bares = []
    for _ in range(count):
        for name, tool in [("bare", bare), *((name, tool) for name, tool in tools.items() if name != "bare")]:
            its_own = Block(model, batch).flat() if name in LEAVE_TRACES else block
            try:
                bares.append(block.seconds(steps, bare))
                ratio = its_own.seconds(steps, tool) / bares[-1]
                ratios.setdefault(name, []).append(ratio)
            except Exception as error:
                why = "is not installed" if isinstance(error, ImportError) else "fails"
                print(f"({letter}) {name} {why}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
                del tools[name]
    print(f"({letter}) {title}: bare step {statistics.median(bares) * 1e3:.2f} ms")
    for name, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        print(f"    {name:28} {middle:6.2f}  [{low:.2f}, {high:.2f}]", flush=True)


def print_memory() -> None:
    """Peak resident size of a process that trains (c) for fifty steps, bare and watched, by turns."""
    peaks: dict[str, list[float]] = {"bare": [], "gradlab": []}
    for _ in range(5):
        for name, values in peaks.items():
            code = f"import overhead as o; o.train_c(o.TOOLS[{name!r}])"
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
            )
            values.append(float(done.stdout))
    bare_peak, watched = (statistics.median(values) for values in peaks.values())
    print(f"(c): peak resident size {bare_peak:.0f} MiB bare, {watched:.0f} MiB watched: {watched / bare_peak:.3f}")


def train_c(tool: Callable) -> None:
    torch.set_num_threads(1)
    _, model, batch, _ = NETWORKS["c"]
    Block(model, batch).seconds(40, tool)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
