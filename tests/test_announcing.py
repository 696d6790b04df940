import logging

import pytest
import torch
from torch import nn

import gradlab
from gradlab.announcing import FIRST, Announcer
from gradlab.tables import Finding


def finding(rule, severity="warning"):
    return Finding(rule, severity, f"{rule} was found")


def trained(on_finding, *, steps=120, bad_step=None, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    done = 0
    with gradlab.watch(model, optimizer, on_finding=on_finding, **options) as recorder:
        for step in range(steps):
            x = torch.randn(16, 3)
            optimizer.zero_grad()
            (model(x) - x.sum(1, keepdim=True)).square().mean().mul(float("nan") if step == bad_step else 1).backward()
            optimizer.step()
            done += 1
    return recorder, done


def test_each_finding_is_handed_on_once_and_again_when_it_is_worse():
    heard = []
    announcer = Announcer(heard.append)
    for said in ([finding("a")], [finding("a"), finding("b", "info")], [finding("a", "error"), finding("b", "info")]):
        announcer.announce(lambda said=said: said)
    assert [(each.rule, each.severity) for each in heard] == [("a", "warning"), ("b", "info"), ("a", "error")]


def test_it_is_due_at_first_soon_and_then_seldom(monkeypatch):
    announcer = Announcer(print)
    due = [record for record in range(1, 400) if announcer.is_due(finite=True)]
    assert due == [*FIRST, 76, 115, 173, 260, 391]


def test_a_diagnosis_that_took_long_is_not_repeated_soon():
    announcer = Announcer(lambda each: None)
    announcer._cost = 1e6
    assert not any(announcer.is_due(finite=True) for _ in range(100))
    assert announcer.is_due(finite=False)
    assert not announcer.is_due(finite=False)


def test_nobody_hears():
    announcer = Announcer(None)
    assert not announcer.wanted
    assert not any(announcer.is_due(finite=False) for _ in range(100))


def test_a_finding_is_handed_on_while_the_training_goes_on():
    heard = []
    trained(lambda each: heard.append(each.rule), bad_step=30)
    assert heard[0] == "diverged"
    assert len(heard) == len(set(heard))


def test_training_is_stopped_cleanly():
    def stop(each):
        if each.rule == "diverged":
            raise gradlab.StopTraining

    recorder, _ = trained(stop, bad_step=30)
    assert recorder.status == "diverged"
    assert recorder.steps.height == 31
    assert not recorder._model[0]._forward_hooks


def test_training_is_stopped_cleanly_in_a_run_folder(tmp_path):
    def stop(each):
        raise gradlab.StopTraining

    recorder, _ = trained(stop, bad_step=3, into=tmp_path / "run")
    run = gradlab.load_run(tmp_path / "run")
    assert run.verdict == recorder.verdict == "diverged"
    assert run.steps.height == 4


def test_other_exceptions_go_their_way():
    with pytest.raises(RuntimeError, match="mine"), gradlab.watch(*_pair(), on_finding=print):
        raise RuntimeError("mine")


def _pair():
    model = nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def test_an_error_of_the_function_ends_no_training():
    def broken(each):
        raise ValueError("a bug of the function")

    with pytest.warns(RuntimeWarning, match="a bug of the function"):
        _, done = trained(broken, bad_step=3)
    assert done == 120


def test_a_stop_after_the_last_step_changes_nothing():
    def stop(each):
        raise gradlab.StopTraining

    recorder, done = trained(stop, steps=3, bad_step=None)
    assert (recorder.status, done) == ("completed", 3)


def test_a_line_on_the_log(caplog):
    with caplog.at_level(logging.INFO, logger="gradlab"):
        trained(None, bad_step=30)
    assert [record.levelname for record in caplog.records if record.message.startswith("diverged: ")] == ["ERROR"]


def test_the_training_is_the_same_with_and_without():
    with_it = trained(lambda each: None)[0]._model.state_dict()
    without = trained(None)[0]._model.state_dict()
    assert all(torch.equal(with_it[name], without[name]) for name in without)


def test_a_run_folder_is_diagnosed_while_it_is_written(tmp_path):
    model, optimizer = _pair()
    with gradlab.watch(model, optimizer, into=tmp_path / "run") as recorder:
        for _ in range(3):
            (model(torch.randn(4, 2)).mean() * float("nan")).backward()
            optimizer.step()
        assert recorder.verdict == "diverged"  # which has written what there is
        run = gradlab.load_run(tmp_path / "run")
        assert (run.status, run.verdict) == ("running", "diverged")
        assert next(each.rule for each in run.findings) == "diverged"
