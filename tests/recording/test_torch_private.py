"""Private names of PyTorch: all in one file, and all there."""

import re
from pathlib import Path

import pytest
import torch
import torch.utils.checkpoint

import gradlab
from gradlab.recording import torch_private

PACKAGE = Path(gradlab.__file__).parent
PRIVATE = re.compile(
    r"\btorch(\.\w+)*\._(?!_)\w+|\bVariable\._|\b(_engine_run_backward|_execution_engine|queue_callback|_backward_hooks"
    r"|_register_hook_dict|_forward_hooks|_top_saved_tensors_default_hooks|_current_graph_task_id|_recomputation_hook"
    r"|is_functorch_wrapped_tensor|_compiled_call_impl|_NormBase|OptimizedModule|t_outputs|(?<=\.)_version)\b|\bscaler\._"
)


def test_this_version_of_torch_has_every_private_name():
    assert torch_private.missing() == [], f"torch {torch.__version__} lacks private names that gradlab uses"


@pytest.mark.parametrize(
    ("owner", "name", "missing"),
    [
        (torch._C, "_current_graph_task_id", ["_current_graph_task_id"]),
        (torch.autograd.graph, "_engine_run_backward", ["_engine_run_backward", "t_outputs", "args"]),
        (torch.nn.modules.batchnorm, "_NormBase", ["_NormBase"]),
        (torch._C, "_nn", ["_nn"]),
        (torch.utils.checkpoint, "_recomputation_hook", ["_recomputation_hook"]),
    ],
)
def test_a_name_that_is_missing_is_named(owner, name, missing, monkeypatch):
    monkeypatch.delattr(owner, name)
    assert torch_private.missing() == missing


@pytest.mark.parametrize("suffix", ["py", "c", "inc"])
def test_no_other_file_uses_one(suffix):
    found = [
        f"{path.relative_to(PACKAGE)}: {match.group()}"
        for path in PACKAGE.rglob(f"*.{suffix}")
        if path.name not in ("torch_private.py", "torch_private_sharding.py")
        for match in PRIVATE.finditer(path.read_text(encoding="utf-8"))
        if match.group() not in ("s_backward_hooks", "s_register_hook_dict")
    ]
    assert not found
