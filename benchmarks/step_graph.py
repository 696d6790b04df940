"""What walking the graph of a step costs, on a transformer of some 300 modules: `python benchmarks/step_graph.py`."""

import statistics
import time

import torch
from torch import nn

from gradlab.recording.step_graph import StepGraph


def main() -> None:
    torch.set_num_threads(1)
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 30, enable_nested_tensor=False), nn.Linear(64, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    walks, steps = [], []
    for _ in range(20):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = model(torch.randn(4, 16, 64)).square().mean()
        graph = StepGraph(model, [optimizer])
        middle = time.perf_counter()
        graph.walk(0, [loss])
        walked = time.perf_counter()
        loss.backward()
        optimizer.step()
        walks.append(walked - middle)
        steps.append(time.perf_counter() - start - walks[-1])
    modules = sum(1 for _ in model.modules())
    walk, step = statistics.median(walks), statistics.median(steps)
    print(
        f"{modules} modules: the walk takes {1e3 * walk:.1f} ms, a step {1e3 * step:.1f} ms ({walk / step:.2f} of it)"
    )


if __name__ == "__main__":
    main()
