"""DistributedDataParallel: rows of each rank, against those of one process that has the whole batch."""

import contextlib
import warnings

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import gradlab
from gradlab.recording import python_hooks
from gradlab.recording.device_parameters import LARGE
from tests.ranked import Ranks

STEPS, BATCH, FEATURES = 3, 8, 6
X = torch.randn(STEPS, BATCH, FEATURES, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture(scope="module")
def ranks():
    with Ranks(2) as processes:
        yield processes


class Net(nn.Module):
    def __init__(self, norm=nn.LayerNorm):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(FEATURES, 32)
        self.norm = norm(32)
        self.large = nn.Linear(32, LARGE // 32 + 8)  # its gradient would be read as soon as it is there
        self.last = nn.Linear(LARGE // 32 + 8, 2)

    def forward(self, x):
        return self.last(torch.tanh(self.large(torch.relu(self.norm(self.first(x))))))


def train(model, batches, called, *, micro=1, clip=False, watched=None, no_sync=contextlib.nullcontext, **options):
    """Train; `called` is what the loop calls and `watched` what gradlab is given. Returns the recorder."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    watching = gradlab.watch(watched or called, optimizer, strict=True, **options)
    with warnings.catch_warnings(), watching as recorder:
        warnings.simplefilter("error", RuntimeWarning)
        for batch in batches:
            optimizer.zero_grad()
            for number, part in enumerate(batch.chunk(micro)):
                with no_sync() if number < micro - 1 else contextlib.nullcontext():
                    (called(part).square().mean() / micro).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
    return recorder


def columns(recorder):
    """The rows, by name of column; modules without what a wrapper puts before their names."""
    table = {name: recorder.layers[name].to_list() for name in recorder.layers.columns}
    table["module"] = [name.removeprefix("module").removeprefix(".") for name in table["module"]]
    return table, {name: recorder.steps[name].to_list() for name in ("loss", "gradient_norm")}


def on_a_rank(what, options):
    own = X.chunk(distributed.get_world_size(), dim=1)[distributed.get_rank()]
    model = Net().double()
    if what == "before wrapping":
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        with gradlab.watch(model, optimizer, strict=True) as recorder:
            ddp = DistributedDataParallel(model)
            for batch in own:
                optimizer.zero_grad()
                ddp(batch).square().mean().backward()
                optimizer.step()
        return columns(recorder)
    settings = {"static_graph": True} if what == "static graph" else {}
    settings |= {"gradient_as_bucket_view": True, "bucket_cap_mb": 0.01} if what == "bucket views" else {}
    ddp = DistributedDataParallel(model, **settings)
    watched = model if what == "the module" else ddp
    return columns(train(model, own, ddp, watched=watched, no_sync=ddp.no_sync, **options))


WHOLE = ("weight_norm", "weight_gradient_norm", "parameter_gradient_norm", "update_ratio")


def assert_shares_of(shares, whole):
    """What each rank says of its share of the batch, against what one process says of all."""
    rows, steps = whole
    for name in ("step", "module", "layer", "kind", "calls"):
        assert all(share[0][name] == rows[name] for share in shares), name
    for name in WHOLE:
        for share, _ in shares:
            np.testing.assert_allclose(*_numbers(share[name], rows[name]), rtol=1e-6, err_msg=name)
    for name in ("delta_rms", "activation_rms"):
        squares = np.mean([np.square(np.array(share[0][name], float)) for share in shares], axis=0)
        np.testing.assert_allclose(np.sqrt(squares), np.array(rows[name], float), rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(np.mean([share[1]["loss"] for share in shares], axis=0), steps["loss"], rtol=1e-6)
    for share in shares:
        np.testing.assert_allclose(share[1]["gradient_norm"], steps["gradient_norm"], rtol=1e-6)


def _numbers(*lists):
    return [np.array(values, float) for values in lists]


@pytest.mark.parametrize("what", ["the wrapper", "the module", "before wrapping", "static graph", "bucket views"])
def test_each_rank_has_the_gradients_of_all_and_the_deltas_of_the_averaged_loss(ranks, what):
    model = Net().double()
    assert_shares_of(ranks(on_a_rank, what, {}), columns(train(model, X, model)))


@pytest.mark.parametrize("options", [{"micro": 2}, {"micro": 2, "clip": True}], ids=str)
def test_micro_batches_without_reduction_count_like_the_others(ranks, options):
    model = Net().double()
    assert_shares_of(ranks(on_a_rank, "the wrapper", options), columns(train(model, X, model, **options)))


def harmless(norm):
    """Parameters after a training, with and without a watch, and the warnings."""
    own = X.float().chunk(distributed.get_world_size(), dim=1)[distributed.get_rank()]
    ends = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for watched in (False, True):
            model = Net(norm)
            ddp = DistributedDataParallel(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            with gradlab.watch(ddp, optimizer) if watched else contextlib.nullcontext():
                for batch in own:
                    optimizer.zero_grad()
                    ddp(batch).square().mean().backward()
                    optimizer.step()
                    with torch.no_grad():
                        model.eval()(batch)
                        model.train()
            ends.append([value.tolist() for value in ddp.state_dict().values()])
    return ends, [str(each.message) for each in said if "gradlab" in str(each.message)]


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d])
def test_the_training_is_bit_identical(ranks, norm):
    for (alone, watched), said in ranks(harmless, norm):
        assert alone == watched
        assert said == []


def without_any_reduction():
    own = X.chunk(distributed.get_world_size(), dim=1)[distributed.get_rank()]
    model = Net().double()
    ddp = DistributedDataParallel(model)
    with ddp.no_sync():
        recorder = columns(train(model, own, ddp))
    alone = Net().double()
    return recorder, columns(train(alone, own, alone))


def test_ranks_that_do_not_reduce_are_alone(ranks):
    for apart, alone in ranks(without_any_reduction):
        assert apart == alone


def test_a_group_that_is_formed_while_the_model_is_watched(monkeypatch, tmp_path):
    """Hooks that read gradients as they come are gone from the next step on."""
    model = Net().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for step in range(3):
            if step == 1:
                distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
            optimizer.zero_grad()
            model(X[step]).square().mean().backward()
            placed = len(model.large.weight._post_accumulate_grad_hooks or ())
            assert placed == (step < 2), step
            optimizer.step()
    distributed.destroy_process_group()
    alone = Net().double()
    assert recorder.layers["delta_rms"].to_list() == columns(train_sgd(alone))[0]["delta_rms"]


def train_sgd(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, strict=True) as recorder:
        for batch in X:
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
    return recorder


def plain_hooks_rows():
    from gradlab.recording import native

    before, native.LIBRARY = native.LIBRARY, None
    try:
        return on_a_rank("the wrapper", {})
    finally:
        native.LIBRARY = before


def test_the_same_without_native_code(ranks):
    assert python_hooks.Fields is not None
    model = Net().double()
    assert_shares_of(ranks(plain_hooks_rows), columns(train(model, X, model)))
