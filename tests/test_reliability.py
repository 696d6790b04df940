"""The script that counts what is survived: each fault is counted, and none twice."""

import json

import pytest

from scripts import reliability


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(reliability, "RESULTS", tmp_path / "reliability.json")
    return tmp_path / "reliability.json"


def faults(monkeypatch, *numbers):
    def tried(kind, first, count):
        return ((seed, "broken" if seed in numbers else "") for seed in range(first, first + count))

    monkeypatch.setattr(reliability, "tried", tried)


def test_tries_and_what_is_survived_are_counted(results, monkeypatch, capsys):
    faults(monkeypatch, 3, 11)
    assert reliability.report(["configs"], 0, 10, keep=True) == 1
    assert json.loads(results.read_text()) == {"configs": {"tried": 10, "survived": 9}}
    assert reliability.report(["configs"], 10, 5, keep=True) == 1
    assert reliability.report(["configs"], 20, 5, keep=True) == 0, "tries that do not begin where the last ones end"
    assert json.loads(results.read_text()) == {"configs": {"tried": 15, "survived": 13}}
    assert reliability.report(["claims"], 0, 5, keep=False) == 1
    assert "configs, try 11: broken" in capsys.readouterr().err
    assert list(reliability.table())[2:] == [
        "| configs | 15 | 13 | understood, or refused with one message |",
        "| together | 15 | 13 | |",
    ]


def test_a_process_that_dies_has_failed_the_try_it_was_at(monkeypatch):
    def answers(kind, first, count, place):
        yield from ((seed, "") for seed in range(first, first + count) if seed < 2 or first > 2)

    monkeypatch.setattr(reliability, "_answers", answers)
    assert list(reliability.tried("configs", 0, 5)) == [
        (0, ""), (1, ""), (2, "the process died, or hung"), (3, ""), (4, ""),
    ]  # fmt: skip


def test_a_real_try_is_made_in_a_process_of_its_own(tmp_path):
    assert list(reliability.tried("conditions", 7, 2)) == [(7, ""), (8, "")]


def test_every_kind_is_there():
    for name, kind in reliability.KINDS.items():
        module = reliability.importlib.import_module(f"tests.faults.{kind.module}")
        assert name in dict(module.TRIES)
