"""Every private name of PyTorch that gradlab uses. No other file uses one: a test searches for them.

PyTorch may rename such a name in any version. `missing` says which ones the installed version lacks.
"""

import importlib
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.autograd import graph
from torch.autograd.variable import Variable
from torch.nn.modules import batchnorm
from torch.nn.parallel import DistributedDataParallel

NormBase: type[nn.Module] = batchnorm._NormBase
"""The base of batch and instance normalization."""
operators = torch._C._nn
"""Functions like `torch._C._nn.gelu`, which `torch.nn.functional` may hand out under its own name."""
GRADIENT_HOOKS = "_post_accumulate_grad_hooks"
"""What is called when the gradient of a tensor is there; an optimizer may step in it."""
BACKWARD_HOOKS, REGISTER_HOOK_DICT = "_backward_hooks", "_register_hook_dict"
"""A tensor's hooks, and the method of its node that makes them known; the native hooks ask for them by these names."""

stands_in: Callable[[Tensor], bool] = torch._C._functorch.is_functorch_wrapped_tensor
"""Whether a tensor is a stand-in inside `torch.func`, without entries of its own."""

# Without these three, gradlab records less, and what it cannot see is null.
current_pass: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", lambda: -1)
"""The number of the backward pass that is going on; −1 outside of one."""
_BACKWARD_CODE = getattr(getattr(graph, "_engine_run_backward", None), "__code__", None)
_saved_tensor_hooks: Callable[[bool], Any] = getattr(
    torch._C._autograd, "_top_saved_tensors_default_hooks", lambda ignore_is_tracing: None
)
_COMPILED_MODULE, _COMPILED_CALL, _REPEATING = "OptimizedModule", "compile_wrapper", "_recomputation_hook"
_COMPILER, _COMPILED_NODE = "torch._dynamo.eval_frame", "CompiledFunctionBackward"
_OWN_CALLERS = ("torch._higher_order_ops.", "torch.nn.attention.")
"""Parts of PyTorch that compile what they are given, whether their user has compiled anything or not."""


def after_backward(function: Callable[[], None]) -> None:
    """Call a function when the backward pass that is going on has ended."""
    Variable._execution_engine.queue_callback(function)


class BackwardCall(NamedTuple):
    """A call of autograd.

    Attributes:
        roots: what was differentiated.
        gradients: the gradients of the roots that the pass begins with.
        keeps_graph: whether the graph stays, so that another pass can go through it.
        inputs: with respect to what; empty where everything is meant.
        accumulates: whether the gradients are added to those of the leaves, as `backward` does and `grad` does not.
    """

    roots: tuple[Any, ...]
    gradients: tuple[Any, ...]
    keeps_graph: bool
    inputs: tuple[Any, ...]
    accumulates: bool


def backward_call(frame: FrameType) -> BackwardCall | None:
    """The call of autograd, if this frame is one; otherwise None."""
    if frame.f_code is not _BACKWARD_CODE:
        return None
    values = frame.f_locals
    gradients, keeps_graph, _, inputs = (*values.get("args", ()), (), False, False, ())[:4]
    accumulates = values.get("kwargs", {}).get("accumulate_grad", True)
    return BackwardCall(
        tuple(values.get("t_outputs", ())), tuple(gradients), bool(keeps_graph), tuple(inputs), accumulates
    )


def parts(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """The dictionaries in which a module has its parameters and its modules."""
    return module._parameters, module._modules


def running_wrapper() -> DistributedDataParallel | None:
    """The `DistributedDataParallel` whose module is computing now."""
    return getattr(DistributedDataParallel, "_active_ddp_module", None)


def job_store() -> Any:
    """The store of the default process group: what one process of a job puts there, the others read."""
    return importlib.import_module("torch.distributed.distributed_c10d")._get_default_store()


def version(tensor: Tensor) -> int:
    """How often a tensor has been written to."""
    return tensor._version


def take_gradient_hooks(tensor: Tensor) -> dict[int, Any]:
    """Take away what is called when the gradient of a tensor is there; to be put back with `put_gradient_hooks`."""
    hooks = getattr(tensor, GRADIENT_HOOKS, None) or {}
    taken = dict(hooks)
    hooks.clear()
    return taken


def put_gradient_hooks(tensor: Tensor, taken: dict[int, Any]) -> None:
    """Put back what was taken."""
    if taken:
        getattr(tensor, GRADIENT_HOOKS).update(taken)


def loss_scale(scaler: GradScaler) -> Tensor | float:
    """A scaler's loss scale, as a tensor where `get_scale()` would wait for the device."""
    scale = scaler._scale
    return float(scaler.get_scale()) if scale is None else scale.detach().clone()


def is_checkpoint_repeating() -> bool:
    """Whether activation checkpointing is repeating a forward pass in order to keep what it did not keep before."""
    hooks = _saved_tensor_hooks(True)
    return bool(hooks) and _REPEATING in getattr(hooks[0], "__qualname__", "")


def is_compiled(module: nn.Module) -> bool:
    """Whether a module has been compiled, in place or by a wrapper around it."""
    return is_compiled_wrapper(module) or getattr(module, "_compiled_call_impl", None) is not None


def is_compiled_wrapper(module: nn.Module) -> bool:
    """Whether a module is what `torch.compile(module)` has put around another one."""
    return type(module).__name__ == _COMPILED_MODULE


def without_wrapper(model: nn.Module) -> nn.Module:
    """The model that was given to `torch.compile`; any other model itself."""
    while is_compiled_wrapper(model):
        model = model._orig_mod  # type: ignore[assignment]
    return model


def bare_name(name: str) -> str:
    """The qualified name of a module or parameter, as it was before a module around it was compiled or sharded."""
    return re.sub(r"(^|\.)(_orig_mod|_fsdp_wrapped_module)(?=\.|$)", "", name).removeprefix(".")


def is_compiler_there() -> bool:
    """Whether anything can have been compiled. Making an optimizer imports the compiler."""
    return _COMPILER in sys.modules


def compiler_stance() -> object:
    """The stance of the compiler, an object that `torch.compiler.set_stance` has put there."""
    return sys.modules[_COMPILER]._stance


class _EagerStance:
    """Runs what users have compiled as it was written, and leaves PyTorch's own calls of the compiler alone.

    `torch.cond` and the like call it whenever they run. Under the stance "force_eager", some of them raise errors.
    """

    skip_guard_eval_unsafe = False
    backend = None

    @property
    def stance(self) -> str:
        """The name of the stance, for whoever calls the compiler now."""
        caller: FrameType | None = sys._getframe(1)
        while caller is not None and caller.f_globals.get("__name__") == _COMPILER:
            caller = caller.f_back
        name = "" if caller is None else caller.f_globals.get("__name__", "")
        return "default" if name.startswith(_OWN_CALLERS) else "force_eager"


def set_eager() -> Any:
    """Run everything without the compiler from now on; gives the setting, whose `__exit__` brings back what was."""
    setting: Any = torch.compiler.set_stance("force_eager")
    setting.stance = _EagerStance()
    setting.__enter__()
    return setting


def is_call_of_compiled(frame: FrameType) -> bool:
    """Whether this frame calls something that has been compiled."""
    return frame.f_code.co_name == _COMPILED_CALL and frame.f_globals.get("__name__") == _COMPILER


def is_compiled_operation(node: Any) -> bool:
    """Whether a node of autograd's graph stands for all that something compiled has computed."""
    return bool(node.name() == _COMPILED_NODE)


def register_hook(tensor: Tensor, function: Callable[[Tensor], None]) -> None:
    """`tensor.register_hook(function)` in half the time: nobody needs the handle that would remove it again."""
    node = tensor.grad_fn
    if tensor._backward_hooks is None and node is not None:
        tensor._backward_hooks = OrderedDict(((-1, function),))
        node._register_hook_dict(tensor)
    else:
        tensor.register_hook(function)


def operation(node: Any) -> str:
    """The operation whose derivative a node of autograd's graph computes: `Addmm`."""
    return _without_backward(type(node).__name__)


@cache
def _without_backward(name: str) -> str:
    return re.sub(r"Backward\d*$", "", name)


def output_shape(node: Any) -> list[int]:
    """The shape of what the operation of a node has computed; of several tensors, of the first one."""
    metadata = getattr(node, "_input_metadata", ())
    return [int(size) for size in metadata[0].shape] if metadata else []


def metadata(node: Any) -> dict[str, Any]:
    """What may be noted at a node of autograd's graph; it is gone with the graph."""
    found: dict[str, Any] = node.metadata  # PyTorch's own types say that it is a method
    return found


def is_innermost_mode(mode: Any) -> bool:
    """Whether a `TorchFunctionMode` is on, and no other one was entered after it."""
    modes = torch.overrides._get_current_function_mode_stack()
    return bool(modes) and modes[-1] is mode


def missing() -> list[str]:
    """The private names that this version of PyTorch lacks."""
    return [name for name, owner in _uses() if not _has(owner, name)]


def _has(owner: Callable[[], Any], name: str) -> bool:
    try:
        return hasattr(owner(), name) or name in owner()
    except (AttributeError, ImportError, TypeError):
        return False


def _uses() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each private name, and what should have it as an attribute or in it."""
    yield "_NormBase", lambda: batchnorm
    yield "_nn", lambda: torch._C
    yield "_current_graph_task_id", lambda: torch._C
    yield "is_functorch_wrapped_tensor", lambda: torch._C._functorch
    yield "_top_saved_tensors_default_hooks", lambda: torch._C._autograd
    yield "_engine_run_backward", lambda: graph
    yield "t_outputs", lambda: graph._engine_run_backward.__code__.co_varnames
    yield "args", lambda: graph._engine_run_backward.__code__.co_varnames
    yield "_version", lambda: Tensor
    yield "_parameters", nn.Identity
    yield "_modules", nn.Identity
    yield "_get_current_function_mode_stack", lambda: torch.overrides
    yield "queue_callback", lambda: Variable._execution_engine
    yield "_input_metadata", lambda: (torch.ones(1, requires_grad=True) * 1).grad_fn
    yield BACKWARD_HOOKS, lambda: Tensor
    yield GRADIENT_HOOKS, lambda: Tensor
    yield REGISTER_HOOK_DICT, lambda: (torch.ones(1, requires_grad=True) * 1).grad_fn
    yield "_get_fsdp_state", lambda: importlib.import_module("torch.distributed.fsdp").FSDPModule
    yield "_get_default_store", lambda: importlib.import_module("torch.distributed.distributed_c10d")
    yield "_active_ddp_module", lambda: DistributedDataParallel
    yield "_scale", lambda: GradScaler("cpu")
    yield "_compiled_call_impl", nn.Identity
    yield _COMPILED_MODULE, lambda: importlib.import_module(_COMPILER)
    yield "_stance", lambda: importlib.import_module(_COMPILER)
    yield _REPEATING, lambda: importlib.import_module("torch.utils.checkpoint")
