"""What the graph of a step costs, on a transformer of some 300 modules: `python benchmarks/step_graph.py`."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import gradlab
from gradlab.recording.step_graph import LOOKS, StepGraph

STEPS = 40
REPEATS = 5


def timed(function: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    """The same function, which notes how long it takes."""

    def call(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments)
        into.append(time.perf_counter() - start)
        return result

    return call


def main() -> None:
    torch.set_num_threads(1)
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 30, enable_nested_tensor=False), nn.Linear(64, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    walks: list[float] = []
    StepGraph.walk = timed(StepGraph.walk, walks)  # type: ignore[method-assign]

    def step() -> None:
        optimizer.zero_grad()
        model(torch.randn(4, 16, 64)).square().mean().backward()
        optimizer.step()

    plain: list[float] = []
    walked: list[float] = []
    others: list[float] = []
    rows: list[float] = []
    for _ in range(REPEATS):
        for _ in range(STEPS):
            timed(step, plain)()
        with gradlab.watch(model, optimizer) as recorder:
            for number in range(STEPS):
                timed(step, walked if number in LOOKS else others)()
            timed(recorder._recorder.module_rows, rows)()
    count = sum(1 for _ in model.modules())
    milliseconds = [1e3 * statistics.median(each) for each in (plain, walks, walked, others, rows)]
    print(
        f"{count} modules. A step: {milliseconds[0]:.1f} ms, watched {milliseconds[3]:.1f} ms; in the records in which "
        f"the graph is walked {milliseconds[2]:.1f} ms, of which the walk takes {milliseconds[1]:.1f} ms. The rows of "
        f"the table: {milliseconds[4]:.1f} ms, once."
    )


if __name__ == "__main__":
    main()
