"""The native hooks: they do what the recorder's own methods do, keep nothing alive, and survive what they are given."""

import dataclasses
import gc
import sys
import tracemalloc
import weakref

import pytest
import torch
from torch import nn

import gradlab
from gradlab.recording import native, python_hooks
from gradlab.recording.calls import Device
from gradlab.recording.devices import CPU, Devices
from gradlab.recording.plain import Plain
from gradlab.recording.recorder import Recorder
from gradlab.recording.step import Step

HOOKS = native.LIBRARY and native.LIBRARY.hooks
pytestmark = pytest.mark.skipif(HOOKS in (None, python_hooks), reason="gradlab was installed without native hooks")
X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        return x + self.inner(x)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        Residual(),
        nn.Dropout(0.2),
        nn.Linear(8, 300),
        nn.ReLU(),
        nn.Linear(300, 300),
        nn.LeakyReLU(),
        nn.Linear(300, 2),
    )


def train(steps=4, model=None, x=X, between=lambda step, model: None, **options):
    model = network() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.manual_seed(1)
    with gradlab.watch(model, optimizer, **options) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
            between(step, model)
    return recorder


def test_they_record_what_the_recorder_records_without_them(monkeypatch):
    hooked = train(steps=12)
    monkeypatch.setattr(native, "LIBRARY", dataclasses.replace(native.LIBRARY, hooks=python_hooks))
    called = train(steps=12)
    assert hooked.rows().equals(called.rows())
    same = ["step", "loss", "gradient_norm"]
    assert hooked.steps.select(same).equals(called.steps.select(same))


def test_they_are_used():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer):
        kinds = {type(hook) for module in model.modules() for hook in module._forward_hooks.values()}
        assert HOOKS.Output in kinds
        large = model[7].weight._post_accumulate_grad_hooks
        assert [type(hook) for hook in large.values()] == [HOOKS.Gradient]
        optimizer.zero_grad()
        model(X).sum().backward()
        optimizer.step()
        out = model[0](X)  # the step after the one with histograms
        for _ in range(3):  # in the first steps, the graph is walked
            optimizer.zero_grad()
            model(X).sum().backward()
            optimizer.step()
        assert [type(hook) for hook in model[0](X)._backward_hooks.values()] == [HOOKS.Delta]
        assert out.grad_fn is not None


def test_memory_and_references_are_steady():
    model, kept = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step():
        optimizer.zero_grad()
        loss = model(X).square().mean()
        loss.backward()
        kept[:] = [loss]  # as loops do: its graph is there while the next one is made
        optimizer.step()

    shared = (None, torch.float32, torch.Tensor, HOOKS.Output, HOOKS.Delta)
    with Recorder(model, [optimizer], emit=lambda record: None):
        for _ in range(30):
            step()
        gc.collect()
        before = [sys.getrefcount(each) for each in shared]
        tracemalloc.start()
        try:
            for _ in range(300):  # until Python's own stocks of small objects consist of such as are traced
                step()
            start = tracemalloc.get_traced_memory()[0]
            for _ in range(300):
                step()
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - start
        finally:
            tracemalloc.stop()
        after = [sys.getrefcount(each) for each in shared]
    assert grown < 20_000, f"{grown} bytes in 300 steps"
    # what tests before this one have left may go in the meantime
    assert max(b - a for a, b in zip(before, after, strict=True)) < 100, (before, after)


def hooks_that_are_there():
    return {id(each): each for each in gc.get_objects() if type(each) in (HOOKS.Output, HOOKS.Delta, HOOKS.Gradient)}


def test_a_watch_that_is_over_leaves_nothing():
    before = hooks_that_are_there()  # of tests before this one, and kept here so that no id is used twice
    recorder = train()
    seen = weakref.ref(recorder._recorder)
    del recorder
    gc.collect()
    assert seen() is None
    assert hooks_that_are_there().keys() <= before.keys()


def test_graphs_of_earlier_steps_and_of_watches_that_are_over():
    """A graph of step 1 is differentiated in step 2, and after all."""
    outs, leaf = [], torch.ones(16, 8, requires_grad=True)

    def extra(step, model):
        if step == 0:
            outs.append(model[2](leaf))
        if step == 2:
            outs[0].sum().backward(retain_graph=True)

    recorder, plain = train(between=extra), train()
    for step in (0, 2, 3):
        assert recorder.rows().filter(step=step).equals(plain.rows().filter(step=step))
    del recorder
    gc.collect()
    outs[0].sum().backward()
    torch.testing.assert_close(leaf.grad, 2 * (1 - torch.tanh(leaf.detach()) ** 2))


def test_hooks_that_users_add_to_the_same_output_stay():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    seen = []
    with gradlab.watch(model, optimizer) as recorder:
        for step in range(6):
            optimizer.zero_grad()
            out = model(X)
            if step % 2 == 0:
                out.register_hook(lambda delta, step=step: seen.append(step))
            out.sum().backward()
            optimizer.step()
    assert seen == [0, 2, 4]
    assert recorder.rows().filter(module="9")["delta_rms"].to_list() == [1.0] * 6


def test_errors_go_to_whoever_trains():
    def fails(*arguments):
        raise ValueError("stop")

    current = HOOKS.Current()
    hook = HOOKS.Output(current, fails, fails, fails, fails, (0, 0, -1), True)
    with pytest.raises(ValueError, match="stop"):
        hook(nn.Linear(1, 1), (X,), X)  # before the first step: on_output
    current.step = Step(0, Devices()[CPU], [0])
    with pytest.raises(ValueError, match="stop"):
        hook(nn.Linear(1, 1), (X,), X)  # closed: on_output
    fields = current.step.fields
    fields.open, fields.backward_pass = True, -5
    with pytest.raises(ValueError, match="stop"):
        hook(nn.Linear(1, 1), (X,), X.clone().requires_grad_() * 1)  # describe
    hook = HOOKS.Output(current, lambda *call: call, fails, fails, fails, (0, 0, -1), True)
    out = X.clone().requires_grad_() * 1
    assert hook(nn.Linear(1, 1), (X,), out) is None
    with pytest.raises(ValueError, match="stop"):
        out.sum().backward()  # on_delta: nobody has told of this pass
    assert fields.calls == [(96, 0, torch.float32)]


@pytest.mark.parametrize("arguments", [(), (1,), (None, 1, 2, 3, 4, (0, 0, 0), True)])
def test_wrong_arguments_are_errors(arguments):
    for make in (HOOKS.Output, HOOKS.Gradient, HOOKS.gradients, HOOKS.starts):
        with pytest.raises(TypeError):
            make(*arguments)
    with pytest.raises(IndexError):
        HOOKS.gradients([], (5,), 0, 0)
    with pytest.raises(TypeError):
        HOOKS.Delta()
    with pytest.raises(TypeError, match="a step has Fields"):
        HOOKS.Current().step = Step(0, Device(CPU, Plain(CPU)), [0])
    with pytest.raises(AttributeError, match="no step"):
        HOOKS.Current().step  # noqa: B018


class Subclass(torch.Tensor):
    pass


class Gives(nn.Module):
    """A layer whose output is made into something else."""

    def __init__(self, change):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6, 6))
        self.change = change

    def forward(self, x):
        return self.change(x @ self.weight)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[:0],
        lambda x: x.t(),
        lambda x: x[:, ::2],
        lambda x: x.as_subclass(Subclass),
        lambda x: x.bfloat16(),
        lambda x: x.half(),
        lambda x: x.double(),
        lambda x: x.to("meta"),
        lambda x: x.sum().expand(5, 5),
        lambda x: x.sum(),
        lambda x: x.to_sparse(),
        lambda x: x.reshape(1, 4, 4, 6).to(memory_format=torch.channels_last),
        lambda x: x.unbind(0)[3],
        lambda x: x.clone().detach(),
        lambda x: torch._efficientzerotensor((3, 4)),
        lambda x: (x, x.detach()),
        torch.vmap(nn.Linear(6, 6)),
        lambda x: torch.nested.nested_tensor([x[0], x[1]], layout=torch.jagged).values(),
    ],
)
@pytest.mark.parametrize("backend", ["native", "native, without hooks", "plain"])
def test_outputs_of_every_layout_and_format(change, backend, monkeypatch):
    if backend == "plain":
        monkeypatch.setattr(native, "LIBRARY", None)
    elif backend != "native":
        monkeypatch.setattr(native, "LIBRARY", dataclasses.replace(native.LIBRARY, hooks=python_hooks))
    model = nn.Sequential(nn.Linear(6, 6), Gives(change))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            out = model(X)
            out = out[0] if isinstance(out, tuple) else out
            if out.requires_grad and out.device.type == "cpu":
                out.to_dense().double().sum().backward()
            optimizer.step()
    rows = recorder.rows().filter(module="1")
    if out.numel() == 0:  # its parameters have a row all the same
        assert rows["calls"].to_list() == [0] * 3
    elif rows.height and out.requires_grad and out.device.type == "cpu" and not out.is_sparse:
        assert rows["delta_rms"].to_list() == [1.0] * 3
        wide = out.detach().as_subclass(torch.Tensor).double()
        assert rows["activation_rms"][2] == pytest.approx(float(wide.square().mean().sqrt()), rel=1e-12)


def test_parameters_that_get_other_data_while_they_are_watched():
    def other(step, model):
        if step == 1:
            model[0].weight.data = model[0].weight.data.t().contiguous().t()
            model[5].weight.data = model[5].weight.data.clone()
        if step == 3:
            model[2].weight.data = torch.full((1, 8), 0.5)
            model[2].bias.data = torch.zeros(1)

    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5), nn.Tanh(), nn.Flatten(), nn.Linear(5, 2))
    model[5] = nn.Linear(1, 2)
    model[2] = nn.Linear(8, 1)
    recorder = train(steps=6, model=model, between=other)
    norms = recorder.rows().filter(module="2")["weight_norm"].to_list()
    assert norms[2] < 1.3 < norms[4]
    assert recorder.rows().filter(module="0")["update_ratio"].min() > 0


def test_a_model_that_changes_its_format_while_it_is_watched():
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as recorder:
        for step in range(4):
            optimizer.zero_grad()
            if step == 2:
                model.double()
            model(X.to(model[0].weight.dtype)).sum().backward()
            optimizer.step()
    first = recorder.rows().filter(module="0")
    assert first["dtype"].to_list() == ["float32", "float32", "float64", "float64"]
    assert first["update_ratio"].min() > 0


def test_outputs_can_be_saved(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer):
        for _ in range(2):
            out = model(X)
            torch.save(out, tmp_path / "out.pt")
            out.sum().backward()
            optimizer.step()
    assert torch.equal(torch.load(tmp_path / "out.pt", weights_only=True), out)


def test_layers_inside_transformations_of_functions_are_left_alone():
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradlab.watch(model, optimizer) as recorder:
        for _ in range(3):
            torch.vmap(model)(X)
            torch.func.grad(lambda w: torch.func.functional_call(model, {"0.weight": w}, X).sum())(
                model[0].weight.detach()
            )
            model(X).sum().backward()
            optimizer.step()
    assert recorder.rows()["calls"].unique().to_list() == [1]


def test_weights_with_the_channels_last():
    def records(memory_format):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).to(memory_format=memory_format)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        torch.manual_seed(1)
        with gradlab.watch(model, optimizer) as recorder:
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(2, 3, 8, 8).to(memory_format=memory_format)).sum().backward()
                optimizer.step()
        return recorder.rows()

    usual, last = records(torch.contiguous_format), records(torch.channels_last)
    for column in ("activation_rms", "saturated_fraction", "delta_rms", "weight_norm", "update_ratio"):
        assert last[column].is_null().equals(usual[column].is_null())
        assert last[column].drop_nulls().to_list() == pytest.approx(usual[column].drop_nulls().to_list(), rel=1e-5)
