"""gradlab: see gradients vanish and explode, layer by layer.

import gradlab

run = gradlab.run("configs/vanishing.yaml", {"model.depth": 50})
run.layers, run.findings, run.figure("gradient_flow")
gradlab.load_run(run.path)
gradlab.sweep("configs/vanishing.yaml", {"model.depth": [5, 50]}).runs
gradlab.compare("runs"), gradlab.load_runs("runs")
gradlab.predict("configs/vanishing.yaml").decades_per_layer

with gradlab.watch(model, optimizer) as recorder:   # any nn.Module, around an unchanged training loop
    …
recorder.rows(), recorder.diagnose()

gradlab.inspect(model, batch, loss_of)              # one forward and one backward pass, before it trains
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradlab.config import Config
    from gradlab.errors import StopTraining
    from gradlab.experiment import run
    from gradlab.fixing import fix
    from gradlab.inspecting import Inspection, inspect
    from gradlab.results import Run, compare, load_run, load_runs
    from gradlab.sweeping import predict, sweep
    from gradlab.watching import watch

__version__ = "0.1.0"
__all__ = [
    "Config",
    "Inspection",
    "Run",
    "StopTraining",
    "compare",
    "fix",
    "inspect",
    "load_run",
    "load_runs",
    "predict",
    "run",
    "sweep",
    "watch",
]

_HOMES = {
    "Config": "config",
    "Inspection": "inspecting",
    "Run": "results",
    "StopTraining": "errors",
    "fix": "fixing",
    "inspect": "inspecting",
    "compare": "results",
    "load_run": "results",
    "load_runs": "results",
    "predict": "sweeping",
    "run": "experiment",
    "sweep": "sweeping",
    "watch": "watching",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `import gradlab` alone takes no time and no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gradlab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gradlab.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
