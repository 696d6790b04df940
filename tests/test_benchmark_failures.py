"""The benchmark of failing trainings: what counts as right, the halves, and a run of one case."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import failures
from failing.case import Failure
from failing.judging import verdict
from failing.registry import CASES

from gradlab.diagnosis import RULES
from gradlab.tables import Finding

FAMILIES = {
    "MLP", "CNN", "RNN", "transformer", "GAN", "autoencoder", "RL", "physics-informed", "diffusion",
}  # fmt: skip


def case(right=("diverged",), **more):
    return Failure("name", "MLP", "cause", lambda fixed, watch: 0.0, 1.0, right, **more)


def test_there_are_enough_cases_of_all_kinds():
    own = [each for each in CASES.values() if not each.seen]
    assert len(own) >= 40
    assert {each.family for each in own} == FAMILIES
    held_out = sum(each.held_out for each in own)
    assert 0.3 * len(own) <= held_out <= 0.7 * len(own)
    for each in CASES.values():
        assert set(each.right) <= set(RULES)
        assert set(each.tolerated) <= set(RULES)
        assert not each.cause.endswith(("?", " "))


def test_the_name_decides_about_the_half():
    assert case().held_out == Failure("name", "CNN", "x", lambda fixed, watch: 0.0, 2.0, ()).held_out
    assert not case(seen=True).held_out


@pytest.mark.parametrize(
    ("options", "serious", "expected"),
    [
        ({}, [], "missed"),
        ({}, [("diverged", "x")], "right"),
        ({}, [("dead-units", "x")], "partly"),
        ({}, [("dead-units", "x"), ("diverged", "x")], "right"),
        ({}, [("dead-units", "x"), ("eval-mode", "x"), ("diverged", "x")], "partly"),
        ({"phase": "loss"}, [("diverged", "it arose in the loss")], "right"),
        ({"phase": "loss"}, [("diverged", "it arose in the input")], "partly"),
        ({"modules": ("head",)}, [("diverged", "at `head`")], "right"),
        ({"modules": ("head",)}, [("diverged", "at `forehead`")], "partly"),
        ({"modules": ("head",)}, [("diverged", "x", ("body.head.0",))], "right"),
        ({"modules": ("head",)}, [("diverged", "at `head`", ("body",))], "partly"),
    ],
)
def test_what_counts_as_right(options, serious, expected):
    said = [Finding(rule, "error", message, modules=tuple(*modules)) for rule, message, *modules in serious]
    assert verdict(case(**options), said) == expected


@pytest.mark.parametrize(
    ("broken", "repaired", "expected"),
    [(2.0, 0.5, True), (float("nan"), 0.5, True), (0.5, 0.5, False), (2.0, 1.5, False), (2.0, float("nan"), False)],
)
def test_a_case_has_to_fail_and_its_repair_to_work(broken, repaired, expected):
    assert case().as_meant(broken, repaired) == expected


def test_a_case_that_is_not_there():
    with pytest.raises(SystemExit, match=r"no such case: nothing; there are"):
        failures.chosen_cases("all", ["nothing"])
    assert {each.held_out for each in failures.chosen_cases("held-out", [])} == {True}
    assert len(failures.chosen_cases("all", [])) == len(CASES)


@pytest.mark.slow
def test_a_run_writes_its_tables_between_the_markers(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{failures.BEGIN}\nstale\n{failures.END}\nafter\n", encoding="utf-8")
    failures.main(["detached", "--seeds", "1", "--workers", "1", "--details", "--markdown", str(page)])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert "1 cases with 1 seeds each" in text
    assert "| gradlab | 1.000 [0.207, 1.000] of 1 | 0 | 0 | 0.000" in text
    assert capsys.readouterr().out.strip() in text
    failures.main(["detached", "--seeds", "1", "--outcomes"])
    assert "detached, seed 0: broken 1, repaired 0 (works: 0.5) as meant" in capsys.readouterr().out
