"""What once ended or changed a training, or stayed behind. Each kind has a test."""

import contextlib
import copy
import gc
import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gradlab
from gradlab.recording import native, outputs
from gradlab.recording.recorder import Recorder

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def train(model, steps=3, x=X, between=lambda step: None, **options):
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.01)
    with gradlab.watch(model, optimizer, **options) as recorder:
        for step in range(steps):
            between(step)
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    assert hooks(model) == 0
    return recorder


def test_an_error_of_gradlab_is_one_warning_and_the_training_is_the_same(monkeypatch):
    alone, watched = network(), network()
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        alone(X).square().mean().backward()
        optimizer.step()

    def fail(*arguments):
        raise RuntimeError("a fault of gradlab")

    monkeypatch.setattr(native, "LIBRARY", None)
    monkeypatch.setattr(outputs, "main_tensor", fail)
    monkeypatch.setattr(outputs, "is_readable", fail)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train(watched)
    messages = [str(each.message) for each in said]
    assert [message.partition(". ")[0] for message in messages] == [
        f"gradlab could not record the module {name}: RuntimeError: a fault of gradlab"
        for name in ("'0' (Linear)", "'1' (ReLU)", "'2' (Linear)")
    ]
    for one, other in zip(alone.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(RuntimeError, match="a fault of gradlab"):
        train(network(), strict=True)


def test_an_error_at_the_end_of_a_step_costs_that_step_only():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    steps = []

    def emit(record):
        if record.step == 1:
            raise OSError("the disk is not there")
        steps.append(record.step)

    def loop():
        for _ in range(4):
            optimizer.zero_grad()
            model(X).sum().backward()
            optimizer.step()

    recorder = Recorder(model, [optimizer], emit=emit)
    with pytest.warns(RuntimeWarning, match="could not record the update of the weights"), recorder:
        loop()
    assert steps == [0, 2, 3]


def test_an_error_on_entering_removes_all_hooks(monkeypatch):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def fail(*arguments):
        raise RuntimeError("no")

    monkeypatch.setattr("gradlab.recording.model_hooks.ModelHooks._place_on_parameters", fail)
    with pytest.warns(RuntimeWarning, match="could not record this training"):
        train(model)
    assert not optimizer._optimizer_step_pre_hooks
    with pytest.raises(RuntimeError, match="no"), gradlab.watch(model, optimizer, strict=True):
        pass
    assert hooks(model) == 0
    assert not optimizer._optimizer_step_pre_hooks


def image_network(memory_format=torch.contiguous_format):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (2, 1, 3)), nn.Conv2d(2, 4, (1, 3), padding="same"), nn.Flatten(), nn.Linear(12, 2)
    )
    return model.to(memory_format=memory_format)


def lazy_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(2))


def network_without_entries():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 0), nn.Linear(0, 4), nn.Linear(4, 2))


def turn_round(model, step):
    if step == 1:
        model.to(memory_format=torch.channels_last)


ONCE_ENDED = {
    "lazy": (lazy_network, None),
    "empty parameters": (network_without_entries, None),
    "channels last": (lambda: image_network(torch.channels_last), None),
    "channels last from the second step on": (image_network, turn_round),
    "in evaluation mode": (lambda: network().eval(), None),
}


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors", "ignore:Lazy modules are a new feature")
@pytest.mark.parametrize("kind", ONCE_ENDED)
def test_models_that_once_ended_a_training_train_as_they_do_alone(kind):
    build, change = ONCE_ENDED[kind]
    alone, watched = build(), build()
    for model in (alone, watched):
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        watch = gradlab.watch(model, optimizer, strict=True) if model is watched else contextlib.nullcontext()
        with watch as recorder:
            for step in range(3):
                if change is not None:
                    change(model, step)
                optimizer.zero_grad()
                model(X).square().mean().backward()
                optimizer.step()
    for one, other in zip(alone.parameters(), watched.parameters(), strict=True):
        assert torch.equal(one, other)
    assert hooks(watched) == 0
    for step in range(3):
        norms = recorder.rows().filter(step=step)["parameter_gradient_norm"]
        assert (norms**2).sum() == pytest.approx(recorder.steps["gradient_norm"][step] ** 2, rel=1e-6)
        assert recorder.steps["gradient_norm"][step] > 0


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_lazy_parameters_that_the_first_closure_makes():
    model = lazy_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = model(X).square().mean()
        loss.backward()
        return loss

    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for _ in range(2):
            optimizer.step(closure)
    gradient = torch.cat([p.grad.double().flatten() for p in model.parameters()])
    assert recorder.steps["gradient_norm"][1] == pytest.approx(gradient.norm().item())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_part_is_a_warning():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), torch.jit.script(nn.Linear(6, 6)), nn.Linear(6, 2))
    with pytest.warns(RuntimeWarning, match="could not record the module '1'"):
        recorder = train(model)
    rows = recorder.rows().filter(step=0)
    assert rows["module"].to_list() == ["0", "2", "1"]
    assert rows["calls"].to_list() == [1, 1, 0]
    assert (rows["parameter_gradient_norm"] ** 2).sum() == pytest.approx(recorder.steps["gradient_norm"][0] ** 2)


def test_a_loss_module_that_owns_weights():
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 6))

        def forward(self, x):
            return functional.cross_entropy(x @ self.weight.t(), torch.zeros(len(x), dtype=torch.long))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.loss = nn.Linear(6, 6), Loss()

        def forward(self, x):
            return self.loss(self.body(x))

    recorder = train(Net())
    assert set(recorder.rows()["module"]) == {"body", "loss"}


@pytest.mark.parametrize("norm_first", [False, True])
def test_an_evaluation_runs_as_if_gradlab_were_not_there(norm_first):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=norm_first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = nn.TransformerEncoder(layer, 2)
    model = nn.ModuleDict({"encoder": encoder, "head": nn.Linear(8, 2)})
    model.forward = lambda x, mask=None: model["head"](encoder(x, src_key_padding_mask=mask))
    x = torch.randn(3, 5, 8)
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[0, 3:] = True
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def evaluate(part):
        model.eval()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = model(x, mask) if part == "model" else encoder(x, src_key_padding_mask=mask)
        model.train()
        return y

    for part in ("model", "encoder"):
        expected = evaluate(part)
        with gradlab.watch(model, optimizer):
            before = hooks(model)
            found = evaluate(part)
            assert hooks(model) == before > 0
        assert torch.equal(found, expected)
        assert hooks(model) == 0


def test_an_evaluation_that_fails_and_one_that_is_interrupted():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as recorder:
        placed = hooks(model)
        for error in (RuntimeError, KeyboardInterrupt):
            handle = model[1].register_forward_pre_hook(lambda *_, error=error: (_ for _ in ()).throw(error("stop")))
            with pytest.raises(error, match="stop"), torch.no_grad():
                model(X)
            handle.remove()
            with torch.no_grad():
                model(X)
            assert hooks(model) == placed
        for _ in range(2):
            model(X).sum().backward()
            optimizer.step()
    assert recorder.rows().height == 6
    assert not nn.modules.module._global_forward_hooks


def test_a_model_that_is_saved_meanwhile_needs_no_gradlab(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer):
        torch.save(model, tmp_path / "model.pt")
        torch.save(copy.deepcopy(model), tmp_path / "copy.pt")
    code = (
        "import sys, torch\n"
        "sys.modules['gradlab'] = None\n"
        "for path in sys.argv[1:]:\n"
        "    print(torch.load(path, weights_only=False)(torch.ones(1, 6)).tolist())\n"
    )
    files = [str(tmp_path / name) for name in ("model.pt", "copy.pt")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.splitlines())) == 1
    buffer = io.BytesIO()
    torch.save(model, buffer)


def test_a_block_that_is_never_left_leaves_nothing(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def batches(into):
        with gradlab.watch(model, optimizer, into=into):
            for _ in range(5):
                optimizer.zero_grad()
                model(X).sum().backward()
                optimizer.step()
                yield

    loop = batches(tmp_path / "generator")
    next(loop)
    next(loop)
    del loop
    gc.collect()
    recorder = gradlab.watch(model, optimizer, into=tmp_path / "dropped").__enter__()
    model(X).sum().backward()
    optimizer.step()
    del recorder
    gc.collect()
    assert hooks(model) == 0
    assert not optimizer._optimizer_step_pre_hooks
    for name, steps in (("generator", 2), ("dropped", 1)):
        run = gradlab.load_run(tmp_path / name)
        assert (run.status, run.summary["steps"], run.steps.height) == ("interrupted", steps, steps)
    with gradlab.watch(model, optimizer, into=tmp_path / "dropped"):  # the lock is free
        pass


def test_a_module_that_takes_the_place_of_another_has_its_number():
    model = network()

    def between(step):
        if step == 1:
            model[0] = nn.Linear(6, 8)

    optimizer_groups = train(model, between=between).rows()
    assert optimizer_groups.filter(module="0")["layer"].to_list() == [0, 0, 0]
    assert optimizer_groups.filter(module="2")["kind"].to_list() == ["output"] * 3


def test_distributed_tensors_are_null_and_a_warning():
    tensor = pytest.importorskip("torch.distributed.tensor")
    from torch.distributed import destroy_process_group, init_process_group
    from torch.distributed.device_mesh import init_device_mesh

    store = torch.distributed.HashStore()
    init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        model = network()
        tensor.distribute_module(model[0], mesh)
        to_local = lambda module, inputs, output: output.to_local()  # noqa: E731
        model[0].register_forward_hook(to_local)
        model[0].register_forward_pre_hook(
            lambda module, inputs: (tensor.distribute_tensor(inputs[0], mesh, [tensor.Replicate()]),)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with gradlab.watch(model, optimizer) as recorder:
                for _ in range(2):
                    optimizer.zero_grad()
                    model(X).sum().backward()
                    optimizer.step()
        assert any("cannot read parameters like '0.weight'" in str(each.message) for each in said)
        rows = recorder.rows()
        assert rows.filter(module="0")["weight_norm"].null_count() == 2
        assert rows.filter(module="2")["weight_norm"].null_count() == 0
    finally:
        destroy_process_group()


def test_columns_agree_with_numpy_where_parameters_are_in_lists():
    class Adapter(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.scales = nn.Linear(6, 6).requires_grad_(False), nn.ParameterDict({"a": torch.ones(6)})

        def forward(self, x):
            return self.base(x) * self.scales["a"]

    model = Adapter()
    recorder = train(model)
    gradient = model.scales["a"].grad.double().numpy()
    rows = recorder.rows().filter(step=2)
    assert rows.filter(module="")["parameter_gradient_norm"][0] == pytest.approx(np.linalg.norm(gradient))
    assert rows.filter(module="base")["parameter_gradient_norm"][0] is None


class Frozen(nn.Module):
    """Calls a part of it without gradients, then an activation function of its own."""

    def __init__(self, part):
        super().__init__()
        self.part = part
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        with torch.no_grad():
            features = self.part(x)
        return functional.relu(self.linear(features))


class Repeated(nn.Module):
    """Computes its part again in the backward pass: its first pass is one without gradients."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return functional.relu(torch.utils.checkpoint.checkpoint(self.part, x, use_reentrant=True))


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


@pytest.mark.parametrize("around", [Frozen, Repeated])
@pytest.mark.parametrize("layers", [None, "2"])
def test_attention_without_gradients_inside_a_recorded_pass_takes_its_fast_path(around, layers):
    """In eval mode it does so only where no mode of `torch.overrides` is on, and its numbers are others there."""
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def trained(watched):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8), around(SelfAttention()), nn.Linear(8, 2)).eval()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        calls = []
        native_attention = torch._native_multi_head_attention

        def counted(*arguments, **options):
            calls.append(1)
            return native_attention(*arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "_native_multi_head_attention", counted)
            with gradlab.watch(model, optimizer, layers=layers) if watched else contextlib.nullcontext():
                for _ in range(6):
                    optimizer.zero_grad()
                    model(x).square().mean().backward()
                    optimizer.step()
        return len(calls), model.state_dict()

    (alone, expected), (watched, got) = trained(False), trained(True)
    assert watched == alone == 6
    assert all(torch.equal(got[key], expected[key]) for key in expected)


def test_a_mode_of_the_loop_inside_a_pass_without_gradients_stays_where_it_is():
    class Counting(torch.overrides.TorchFunctionMode):
        def __init__(self):
            super().__init__()
            self.seen = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.seen += 1
            return func(*args, **(kwargs or {}))

    class WithMode(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.linear = nn.Linear(8, 8), nn.Linear(8, 8)
            self.counts = []

        def forward(self, x):
            with Counting() as counting, torch.no_grad():
                x = self.part(x)
            self.counts.append(counting.seen)
            return functional.relu(self.linear(x))

    def counts(watched):
        torch.manual_seed(0)
        model = WithMode()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with gradlab.watch(model, optimizer) if watched else contextlib.nullcontext():
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.ones(2, 8)).sum().backward()
                optimizer.step()
        return model.counts

    assert [count > 0 for count in counts(True)] == [count > 0 for count in counts(False)] == [True] * 3
    assert not torch.overrides._get_current_function_mode_stack()
