"""A run folder that several ranks fill: one folder, with the rows that one process with the whole batch has."""

import os
import signal
import time
import warnings
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

import gradlab
from gradlab import watch_folder, watch_ranks
from gradlab.errors import RunFolderError
from gradlab.recording import ranks as handing_over
from gradlab.recording.guard import Guard
from gradlab.recording.parameter_sums import OF_PARAMETERS
from gradlab.recording.step_sums import OUTPUTS
from gradlab.statistics import STATISTICS
from gradlab.watch_folder import RecordsInFolder
from gradlab.watch_records import RecordsInMemory
from tests.ranked import Ranks
from tests.recording.test_data_parallel import Net, X, train

OF_ONE_RANK = [
    name
    for name, statistic in STATISTICS.items()
    if not set(statistic.made_of) <= {*OUTPUTS, *OF_PARAMETERS, "gradient_scale"}
]
"""Numbers of a whole batch that do not follow from those of its parts."""


@pytest.fixture(scope="module")
def ranks():
    with Ranks(2) as processes:
        yield processes


def own_share():
    return X.chunk(distributed.get_world_size(), dim=1)[distributed.get_rank()]


def wrapped(model):
    return DistributedDataParallel(model)


def write(path, wrap=wrapped):
    """Train on this rank; returns what this rank's recorder says."""
    model = wrap(Net().double())
    recorder = train(model, own_share(), model, into=path)
    return {name: recorder.layers[name].to_list() for name in ("step", "delta_rms", "weight_norm")}, recorder.status


def assert_same_rows(path, alone, rtol=1e-6):
    run = gradlab.load_run(path)
    for table in ("layers", "steps"):
        found, expected = getattr(run, table), getattr(alone, table)
        assert found.height == expected.height
        for name in expected.columns:
            if name in ("step_seconds", "record_seconds"):
                continue
            if name in OF_ONE_RANK:
                assert found[name].null_count() == found.height
                continue
            ours, theirs = found[name].to_list(), expected[name].to_list()
            if name == "module":
                ours = [module.removeprefix("module").removeprefix(".") for module in ours]
            if expected[name].dtype.is_float():
                assert [value is None for value in ours] == [value is None for value in theirs], name
                ours, theirs = np.array(ours, float), np.array(theirs, float)
                np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-15, err_msg=name)
            else:
                assert ours == theirs, name
    return run


def test_all_ranks_make_one_folder_with_the_rows_of_the_whole_batch(ranks, tmp_path):
    answers = ranks(write, str(tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    model = Net().double()
    run = assert_same_rows(tmp_path / "run", train(model, X, model))
    assert run.summary["ranks"] == 2
    assert run.summary["incomplete_steps"] == 0
    assert [status for _, status in answers] == ["completed", "completed"]
    assert answers[1][0]["delta_rms"], "the other rank has the rows of its share"


@pytest.mark.slow
def test_four_ranks(tmp_path):
    with Ranks(4) as four:
        four(write, str(tmp_path / "run"))
    model = Net().double()
    run = assert_same_rows(tmp_path / "run", train(model, X, model))
    assert run.summary["ranks"] == 4


def write_uneven(path):
    """Batches of 5 and 3 on two ranks; the loss is the average of their means."""
    own = X.split([5, 3], dim=1)[distributed.get_rank()]
    model = wrapped(Net().double())
    train(model, own, model, into=path)


def test_shares_of_different_sizes(ranks, tmp_path):
    ranks(write_uneven, str(tmp_path / "run"))
    model = Net().double()

    class Called(nn.Module):
        def forward(self, x):  # the same loss: each sample of the first five weighs 1/10, of the last three 1/6
            out = model(x)
            weight = torch.tensor([8 / 10] * 5 + [8 / 6] * 3).double().sqrt()
            return out * weight[:, None]

    alone = train(model, X, Called(), watched=model)
    found, expected = gradlab.load_run(tmp_path / "run").layers, alone.layers
    for name in ("activation_mean", "activation_std", "activation_max", "delta_rms", "weight_gradient_norm"):
        ours, theirs = (np.array(table[name].to_list(), float) for table in (found, expected))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-15, err_msg=name)


def write_where_told(paths):
    return write(paths[distributed.get_rank()])


def test_ranks_that_are_told_different_folders_write_them(ranks, tmp_path):
    paths = [str(tmp_path / "one"), str(tmp_path / "other")]
    with_warnings = ranks(write_with_warnings, paths)
    for path, (answer, said) in zip(paths, with_warnings, strict=True):
        assert gradlab.load_run(path).layers["delta_rms"].to_list() == pytest.approx(answer, nan_ok=True)
        assert len(said) == (path == paths[0]), said  # rank 0 expects the others


def write_with_warnings(paths):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = wrapped(Net().double())
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        path = paths[distributed.get_rank()]
        with gradlab.watch(model, optimizer, into=path) if path else warnings.catch_warnings() as recorder:
            for batch in own_share():
                optimizer.zero_grad()
                model(batch).square().mean().backward()
                optimizer.step()
    rows = [] if recorder is None or not path else recorder.layers["delta_rms"].to_list()
    return rows, [str(each.message) for each in said if "gradlab" in str(each.message)]


def test_only_rank_0_is_watched(ranks, tmp_path):
    (rows, said), (_, nothing) = ranks(write_with_warnings, [str(tmp_path / "run"), ""])
    assert rows
    assert nothing == []
    assert len(said) == 1
    assert "without the share of rank 1" in said[0]
    run = gradlab.load_run(tmp_path / "run")
    assert run.summary["incomplete_steps"] == run.steps.height == len(X)
    assert run.layers["weight_gradient_norm"].null_count() < run.layers.height


def unwrapped(path):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = Net().double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with gradlab.watch(model, optimizer, into=path):
            model(own_share()[0]).square().mean().backward()
            optimizer.step()
    return [str(each.message) for each in said if "gradlab" in str(each.message)]


def test_a_model_that_nothing_averages_has_the_rows_of_rank_0(ranks, tmp_path):
    said, nothing = ranks(unwrapped, str(tmp_path / "run"))
    assert nothing == []
    assert len(said) == 1
    assert "the rows of rank 0 only" in said[0]
    assert gradlab.load_run(tmp_path / "run").steps.height == 1


def refused(path):
    try:
        write(path)
    except RunFolderError as error:
        return str(error)


def go_on(path):
    """Two trainings into one folder; the first one is interrupted."""
    for interrupted in (True, False):
        torch.manual_seed(0)
        model = wrapped(Net().double())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        try:
            with gradlab.watch(model, optimizer, into=path, strict=True):
                for batch in own_share():
                    optimizer.zero_grad()
                    model(batch).square().mean().backward()
                    optimizer.step()
                if interrupted:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass


def test_an_interrupted_training_goes_on_with_all_ranks(ranks, tmp_path):
    ranks(go_on, str(tmp_path / "run"))
    run = gradlab.load_run(tmp_path / "run")
    assert run.steps["step"].to_list() == [*range(2 * len(X))]
    assert (run.summary["resumed"], run.summary["incomplete_steps"]) == ([len(X)], 0)
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(run.steps[name][: len(X)], run.steps[name][len(X) :], rtol=1e-12)


def without_rank_0_reading(path):
    """Rank 0 does not read for a while: what waits is bounded, and the training goes on."""
    handing_over.UNREAD, watch_ranks.TOGETHER, watch_ranks.PATIENCE = 2 * 2000, 1, 0.0
    try:
        receive = handing_over.Receiver.receive
        handing_over.Receiver.receive = lambda receiver, until: receive(receiver, until) if until > 20 else []
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = wrapped(nn.Linear(6, 2).double())
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            with gradlab.watch(model, optimizer, into=path):
                for _ in range(30):
                    model(own_share()[0]).square().mean().backward()
                    optimizer.step()
                    distributed.barrier()
        return [str(each.message) for each in said if "gradlab" in str(each.message)]
    finally:
        handing_over.Receiver.receive = receive
        handing_over.UNREAD, watch_ranks.TOGETHER, watch_ranks.PATIENCE = 2**28, 64, 30.0


def test_what_waits_for_rank_0_is_bounded(ranks, tmp_path):
    (first,), (second,) = ranks(without_rank_0_reading, str(tmp_path / "run"))
    assert "without the share of rank 1" in first
    assert "leaves out" in second
    run = gradlab.load_run(tmp_path / "run")
    assert run.steps["step"].to_list() == [*range(30)]
    assert 20 <= run.summary["incomplete_steps"] < 30


def test_a_finished_folder_is_refused_on_all_ranks(ranks, tmp_path):
    ranks(write, str(tmp_path / "run"))
    first, second = ranks(refused, str(tmp_path / "run"))
    assert "holds a finished run" in first
    assert second.startswith("rank 0 says: ")
    assert "holds a finished run" in second


def hand_nothing_over(path):
    """Rank 1 goes on training, and nothing of it arrives."""
    send, patience = handing_over.Sender.send, watch_ranks.LAST_PATIENCE
    handing_over.Sender.send, watch_ranks.LAST_PATIENCE = lambda *_: True, 0.2
    handing_over.Sender.end, end = lambda *_: None, handing_over.Sender.end
    try:
        return write_with_warnings([path, path])[1]
    finally:
        handing_over.Sender.send, watch_ranks.LAST_PATIENCE, handing_over.Sender.end = send, patience, end


def test_a_rank_of_which_nothing_arrives_costs_its_share(ranks, tmp_path):
    (said,), nothing = ranks(hand_nothing_over, str(tmp_path / "run"))
    assert nothing == []
    assert "without the share of rank 1" in said
    run = gradlab.load_run(tmp_path / "run")
    assert (run.status, run.steps.height, run.summary["incomplete_steps"]) == ("completed", len(X), len(X))


def die_after_a_step(path):
    """Rank 1 is killed in the second step; rank 0 goes on without its partner, and leaves the block by an error."""
    model = wrapped(Net().double())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    own = own_share()
    start = None
    watch_ranks.SECONDS = 0.0
    try:
        with gradlab.watch(model, optimizer, into=path):
            for step in range(3):
                if step == 2 and distributed.get_rank() == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                optimizer.zero_grad()
                start = time.perf_counter()
                model(own[step]).square().mean().backward()
                optimizer.step()
    except RuntimeError:
        return time.perf_counter() - start


def test_a_rank_that_dies_hangs_nobody_and_its_steps_are_there(tmp_path):
    with Ranks(2) as two:
        seconds, _ = two(die_after_a_step, str(tmp_path / "run"))
    assert seconds is not None
    run = gradlab.load_run(tmp_path / "run")
    assert run.status == "failed", run.summary
    assert run.steps["step"].to_list() == [0, 1]
    assert run.summary["incomplete_steps"] == 0


@pytest.mark.parametrize(("duration", "lag"), [(0.01, 1.0), (0.9, 1.8), (1.1, 0.01), (3.0, 0.02), (6.0, 0.05)])
def test_rank_0_writes_a_step_within_five_seconds(monkeypatch, duration, lag):
    """Shares of the other rank come late; between two writings of a record and its step are never more than 5 s."""
    clock, there, written = [0.0], {}, {}

    class Folder(RecordsInFolder):
        def write(self):
            written.update({record.step: clock[0] for record, _ in self._waiting.records})
            self._waiting = RecordsInMemory()
            return True

    class Other:
        expected: ClassVar = {1}
        last = -1

        def receive(self, until):
            new = [step for step in range(self.last + 1, until + 1) if there[step] + lag <= clock[0]]
            self.last += len(new)
            return [(1, SimpleNamespace(step=step)) for step in new]

    def later(seconds):
        clock[0] += seconds

    for module in (watch_ranks, watch_folder):
        monkeypatch.setattr(module, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(watch_ranks, "sleep", later)
    monkeypatch.setattr(watch_ranks, "merge", lambda *_, complete: complete)
    earlier = SimpleNamespace(step_seconds=0.0, record_seconds=0.0)
    inner = Folder(SimpleNamespace(earlier=earlier), None, strict=True)
    records = watch_ranks.RecordsOfRanks(inner, SimpleNamespace(world=2, receiver=Other), Guard(strict=True))
    for step in range(int(30 / duration)):
        later(duration)
        there[step] = clock[0]
        share = SimpleNamespace(step=step, ranks=2)
        record = SimpleNamespace(
            step=step, will_be_shared=lambda: None, share=lambda share=share: share, become=lambda complete: None
        )
        records.add(record, duration, 3)
    late = {step: written.get(step, clock[0]) - when for step, when in there.items()}
    assert max(late.values()) < 5.0, late
    assert written, "and something is written at all"
    assert len(set(written.values())) <= max(30 / 3, 30 / duration)


def take_fewer_steps(path):
    """Rank 1 has two batches less; `Join` takes its part in the reductions then."""
    rank = distributed.get_rank()
    model = wrapped(Net().double())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=path), Join([model]):
        for batch in own_share()[: len(X) - 2 * rank]:
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()


@pytest.mark.filterwarnings("ignore")
def test_a_rank_that_takes_fewer_steps_costs_its_share_of_the_others(ranks, tmp_path):
    ranks(take_fewer_steps, str(tmp_path / "run"))
    run = gradlab.load_run(tmp_path / "run")
    assert run.status == "completed"
    assert run.steps["step"].to_list() == [*range(len(X))]
    assert run.summary["incomplete_steps"] == 2
    assert run.steps["loss"].null_count() == run.steps["gradient_norm"].null_count() == 0
