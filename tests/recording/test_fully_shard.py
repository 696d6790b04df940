"""`fully_shard` (FSDP2) and other distributed tensors: rows of all ranks, against one process with the whole batch."""

import contextlib
import warnings

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

import gradlab
from tests.ranked import Ranks
from tests.recording.test_data_parallel import Net, X
from tests.test_watch_ranks import assert_same_rows, own_share


@pytest.fixture(scope="module")
def ranks():
    with Ranks(2) as processes:
        yield processes


def sharded(what, model):
    if what == "the root only":
        return fully_shard(model)
    if what.startswith("two replicas"):
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
        fully_shard(model.large, mesh=mesh)
        return fully_shard(model, mesh=mesh)
    for part in (model.first, model.large):
        fully_shard(part, reshard_after_forward=what != "kept after forward")
    if what == "divided by one":
        fully_shard(model)
        for module in model.modules():
            if hasattr(module, "set_gradient_divide_factor"):
                module.set_gradient_divide_factor(1.0)
        return model
    return fully_shard(model)


def loop(model, batches, *, micro=1, clip=False, factor=1.0, evaluate=False, late_all_reduce=False, **options):
    """Train; gradients of micro-batches are reduced with the last one."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if evaluate:
        with torch.no_grad():
            model(batches[0])
    with warnings.catch_warnings(), gradlab.watch(model, optimizer, strict=True, **options) as recorder:
        warnings.simplefilter("error", RuntimeWarning)
        for batch in batches:
            optimizer.zero_grad()
            for number, part in enumerate(batch.chunk(micro)):
                if hasattr(model, "set_requires_gradient_sync"):
                    sync = "set_requires_all_reduce" if late_all_reduce else "set_requires_gradient_sync"
                    getattr(model, sync)(number == micro - 1)
                (model(part).square().mean() * factor / micro).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            if evaluate:
                with torch.no_grad():
                    model(batch)
    return recorder


def on_a_rank(what, path, options):
    model = Net().double()
    model.first.weight.requires_grad_("frozen" not in what)
    model = sharded(what, model)
    recorder = loop(model, own_share(), into=path, **options)
    return recorder.layers.null_count()["weight_norm"][0] == recorder.layers.height


CASES = [
    ("nested", {}),
    ("the root only", {}),
    ("kept after forward", {"evaluate": True}),
    ("a frozen weight", {}),
    ("gathered when the watch begins", {"evaluate": True}),
    ("divided by one", {}),
    ("nested", {"micro": 2}),
    ("nested", {"clip": True, "micro": 2}),
]


@pytest.mark.parametrize(("what", "options"), CASES, ids=str)
def test_the_rows_are_those_of_the_whole_batch(ranks, tmp_path, what, options):
    path = tmp_path / "run"
    assert ranks(on_a_rank, what, str(path), options)[1], "no rank alone knows a weight"
    model = Net().double()
    model.first.weight.requires_grad_("frozen" not in what)
    alone = loop(model, X, **options, factor=2.0 if what == "divided by one" else 1.0)
    run = assert_same_rows(path, alone)
    assert run.summary["incomplete_steps"] == 0
    assert run.summary["graph"]["unreached"] == {}
    assert run.summary["graph"]["not_optimized"] == {}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["nested", "two replicas of two shards", "two replicas that are reduced late"])
def test_four_ranks(tmp_path, what):
    """There are more ranks than rows of the last weight and entries of its bias: some shards are empty."""
    with Ranks(4) as four:
        late = {"micro": 2, "late_all_reduce": True} if "late" in what else {}
        four(on_a_rank, what, str(tmp_path / "run"), late)
    assert_same_rows(tmp_path / "run", loop(Net().double(), X, micro=late.get("micro", 1)))


class Odd(nn.Module):
    """Layers whose rows are not a multiple of the ranks."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(6, 5), nn.Linear(5, 1)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


def uneven(path):
    model = Odd().double()
    fully_shard(model.first)
    loop(fully_shard(model), own_share(), into=path)


def test_uneven_and_empty_shards(ranks, tmp_path):
    ranks(uneven, str(tmp_path / "run"))
    assert_same_rows(tmp_path / "run", loop(Odd().double(), X))


def mixed_precision(path):
    """Returns the norms that PyTorch finds when it clips, and those of the weights before each step."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model = Net()
    fully_shard(model.large, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    gradients, weights = [], []
    with gradlab.watch(model, optimizer, into=path, strict=True):
        for batch in own_share().float():
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            gradients.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.1).full_tensor()))
            weights.append(float(model.large.weight.full_tensor().norm()))
            optimizer.step()
    return gradients, weights


def test_mixed_precision(ranks, tmp_path):
    gradients, weights = ranks(mixed_precision, str(tmp_path / "run"))[0]
    run = gradlab.load_run(tmp_path / "run")
    large = run.layers.filter(module="large")
    np.testing.assert_allclose(run.steps["gradient_norm"], gradients, rtol=1e-6)
    np.testing.assert_allclose(large["weight_norm"], weights, rtol=1e-6)
    assert large["dtype"].unique().to_list() == ["bfloat16"]


def harmless(wrap):
    """Outputs after a training, with and without a watch, and the warnings."""
    ends = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for watched in (False, True):
            model = sharded("nested", Net()) if wrap == "fully_shard" else flattened(Net(), wrap)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            with gradlab.watch(model, optimizer) if watched else contextlib.nullcontext():
                for batch in own_share().float():
                    optimizer.zero_grad()
                    model(batch).square().mean().backward()
                    optimizer.step()
                    with torch.no_grad():
                        model.eval()(batch)
                        model.train()
            ends.append(model(X[0].float()).tolist())
    return ends, [str(each.message) for each in said if "gradlab" in str(each.message)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrap", ["fully_shard", "FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD"])
def test_the_training_is_bit_identical(ranks, wrap):
    for (alone, watched), said in ranks(harmless, wrap):
        assert alone == watched
        assert said == []


def tensor_parallel(shards):
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    if shards and distributed.get_world_size() == 4:
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    else:
        mesh = init_device_mesh("cpu", (1, distributed.get_world_size()), mesh_dim_names=("data", "tensor"))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    parallelize_module(model, mesh["tensor"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
    if shards:
        fully_shard(model, mesh=mesh["data"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ends = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with gradlab.watch(model, optimizer) as recorder:
            for batch in X.float():
                optimizer.zero_grad()
                model(batch).square().mean().backward()
                optimizer.step()
                ends.append([p.full_tensor().tolist() for p in model.parameters()])
    rows = recorder.layers
    null = [rows[name].null_count() == rows.height for name in ("weight_norm", "weight_gradient_norm", "update_ratio")]
    messages = [str(each.message) for each in said if "gradlab" in str(each.message)]
    return null, recorder.steps["gradient_norm"].null_count(), messages, rows.height


def test_tensor_parallel_weights_are_null_and_a_warning_says_so(ranks):
    for null, norms, said, rows in ranks(tensor_parallel, False):
        assert all(null)
        assert norms == len(X)
        assert len(said) == 1
        assert "distributed tensors" in said[0]
        assert rows > 0


@pytest.mark.slow
def test_sharded_and_tensor_parallel_weights():
    with Ranks(4) as four:
        for null, norms, said, _ in four(tensor_parallel, True):
            assert all(null)
            assert norms == len(X)
            assert said == []


def flattened(model, strategy, *, keeps_names=True):
    """A model in `FullyShardedDataParallel` (FSDP1), and a part of it in one of its own."""
    from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy

    options = {"device_id": torch.device("cpu"), "use_orig_params": keeps_names}
    options["sharding_strategy"] = ShardingStrategy[strategy]
    if strategy == "HYBRID_SHARD":
        options["device_mesh"] = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    if hasattr(model, "large"):
        model.large = FullyShardedDataParallel(model.large, **options)
    return FullyShardedDataParallel(model, **options)


def in_flat_parameters(keeps_names, path, micro, strategy="FULL_SHARD", make=Net):
    """Gradients of micro-batches are reduced with the last one."""
    model = flattened(make().double(), strategy, keeps_names=keeps_names)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if keeps_names:
        with torch.no_grad():
            model(own_share()[0])  # the watch begins while the root is gathered
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with gradlab.watch(model, optimizer, into=path):
            for batch in own_share():
                optimizer.zero_grad()
                for number, part in enumerate(batch.chunk(micro)):
                    with model.no_sync() if number < micro - 1 else contextlib.nullcontext():
                        (model(part).square().mean() / micro).backward()
                optimizer.step()
    return [str(each.message) for each in said if "gradlab" in str(each.message)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("micro", [1, 2])
def test_flat_parameters_are_null_and_a_warning_says_so(ranks, tmp_path, micro):
    for said in ranks(in_flat_parameters, False, str(tmp_path / "run"), micro):
        assert len(said) == 1, said
        assert "FullyShardedDataParallel" in said[0]
    run, alone = gradlab.load_run(tmp_path / "run"), loop(Net().double(), X, micro=micro)
    np.testing.assert_allclose(run.steps["loss"], alone.steps["loss"], rtol=1e-6)
    assert run.steps["gradient_norm"].null_count() == len(X)
    for module in ("first", "large", "last"):
        rows = run.layers.filter(module=module)
        expected = alone.layers.filter(module=module)
        np.testing.assert_allclose(rows["delta_rms"], expected["delta_rms"], rtol=1e-6)
        assert rows["weight_norm"].null_count() == rows["weight_gradient_norm"].null_count() == rows.height


STRATEGIES = ["FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("micro", [1, 2])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_flat_parameters_that_keep_their_names_have_the_rows_of_the_whole_batch(ranks, tmp_path, strategy, micro):
    assert ranks(in_flat_parameters, True, str(tmp_path / "run"), micro, strategy) == [[], []]
    run = assert_same_rows(tmp_path / "run", loop(Net().double(), X, micro=micro))
    assert run.summary["incomplete_steps"] == 0


class Recurrent(nn.Module):
    """A module without a `weight`: its matrices stand for it, and not its biases."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.last = nn.RNNCell(6, 5), nn.Linear(5, 1)
        self.own = nn.Parameter(torch.ones(5))

    def forward(self, x):
        return self.last(self.cell(x) * self.own)


@pytest.mark.filterwarnings("ignore")
def test_matrices_that_have_become_vectors(ranks, tmp_path):
    assert ranks(in_flat_parameters, True, str(tmp_path / "run"), 1, "FULL_SHARD", Recurrent) == [[], []]
    assert_same_rows(tmp_path / "run", loop(Recurrent().double(), X))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strategy", ["FULL_SHARD", "HYBRID_SHARD"])
def test_four_ranks_with_flat_parameters(tmp_path, strategy):
    with Ranks(4) as four:
        four(in_flat_parameters, True, str(tmp_path / "run"), 2, strategy)
    assert_same_rows(tmp_path / "run", loop(Net().double(), X, micro=2))
