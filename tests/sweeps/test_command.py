"""`gradlab sweep` as a user meets it: exit codes, what is printed, what is written."""

import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import gradlab
from gradlab import run_folder
from gradlab.cli import app, main
from gradlab.config.files import load_config
from gradlab.views.sweep import PointLine, print_report, sweep_progress
from tests.sweeps.vocabulary import TINY, sweep_yaml

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    """Call `gradlab sweep` in this process, in an empty directory; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gradlab", "sweep", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_sweep_prints_a_line_a_run_and_what_it_came_to(sweep, tmp_path):
    sweep_yaml(tmp_path / "s.yaml", {"seed": [0, 1]})
    code, out, err = sweep("s.yaml", "--workers", 1)
    assert (code, err) == (0, "")
    first, second, total, verdicts, blank, compared, *_ = out.splitlines()
    assert (blank, compared) == ("", "2 runs in 1 configuration; mean ± 95 % interval (t) over seeds")
    assert re.fullmatch(r"1/2  completed  seed=0  [\d.]+ s  [a-z-]+", first)
    assert re.fullmatch(r"2/2  completed  seed=1  [\d.]+ s  [a-z-]+", second)
    assert re.fullmatch(r"2 points: 2 completed · 2 in [\d:]+", total)
    assert verdicts.startswith("verdicts: ")
    code, out, _ = sweep("s.yaml")
    assert (code, out.splitlines()[0]) == (0, "2 points: 2 completed · 2 settled before")
    assert len(list(run_folder.find_runs(tmp_path / "runs"))) == 2


def test_the_plan_says_what_is_done_and_writes_nothing(sweep, tmp_path):
    sweep_yaml(tmp_path / "s.yaml", {"model.activation": ["relu", "tanh"], "seed": [0, 1], "model.depth": [2]})
    code, out, _ = sweep("s.yaml", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "4 points: 4 pending")
    assert files(tmp_path) == ["s.yaml"]
    done = gradlab.run(TINY, {"model.activation": "tanh"}, runs="runs", plots=False)
    before = files(tmp_path)
    lines = sweep("s.yaml", "--dry-run")[1].splitlines()
    assert lines[-1] == "4 points: 3 pending, 1 completed"
    assert not any("depth" in line for line in lines), "what all points share is no column"
    (row,) = [line for line in lines if "completed" in line and "points" not in line]
    assert row.split() == ["tanh", "0", "completed", done.verdict, done.path.name]
    assert max(map(len, lines)) <= 80
    assert files(tmp_path) == before


def test_failed_runs_and_checks_exit_with_1(sweep, tmp_path):
    sweep_yaml(tmp_path / "s.yaml", {"device": ["cpu", "cuda:99"]})
    code, out, _ = sweep("s.yaml", "--workers", 1)
    assert code == 1
    assert "failed  device=cuda:99" in out
    assert "cuda:99 is not on this machine" in out
    assert "--retry-failed runs them again" in out
    code, out, _ = sweep("s.yaml")
    assert (code, "2 settled before" in out) == (1, True), "it is kept as failed"
    sick = {"model.depth": 15, "model.activation": "sigmoid", "model.initializer": "glorot_uniform", "train.steps": 60}
    settings = [f"{key}={value}" for key, value in sick.items()]
    gradlab.run(TINY, sick, runs="runs", plots=False)
    sweep_yaml(tmp_path / "sick.yaml", {"seed": [0]})
    assert sweep("sick.yaml", *settings)[0] == 0
    assert sweep("sick.yaml", *settings, "--check")[0] == 1


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"model.dpeth": [1]}, "model.dpeth: unknown key; did you mean 'depth'?"),
        ({"seed": []}, "seed: has no values"),
        ({"seed": "range(0, 10000000)"}, "a sweep has at most 100000 points; this one has 10000000"),
        ({"data": [{"name": "file", "path": "nowhere.csv"}]}, "nowhere.csv"),
    ],
)
@pytest.mark.parametrize("plan", [[], ["--dry-run"]])
def test_bad_sweeps_are_one_message_and_write_nothing(sweep, tmp_path, grid, message, plan):
    sweep_yaml(tmp_path / "s.yaml", grid)
    code, out, err = sweep("s.yaml", *plan)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert files(tmp_path) == ["s.yaml"]


def test_data_that_cannot_be_loaded_are_one_message_and_write_nothing(sweep, tmp_path):
    (tmp_path / "a.csv").write_text("x,class\n1,a\n2,b\n")
    sweep_yaml(tmp_path / "s.yaml", {"data": [{"name": "file", "path": "a.csv"}], "seed": [0, 1, 2]})
    code, out, err = sweep("s.yaml")
    assert (code, out) == (2, "")
    assert err.count("has no column 'target'") == 1
    assert files(tmp_path) == ["a.csv", "s.yaml"]


def test_a_sweep_that_is_not_there(sweep):
    assert sweep("nowhere.yaml")[0] == 2


def test_a_folder_that_cannot_be_written_is_one_message(sweep, tmp_path):
    sweep_yaml(tmp_path / "s.yaml", {"seed": [0, 1]})
    (tmp_path / "taken").write_text("")
    code, out, err = sweep("s.yaml", "--runs", "taken")
    assert (code, out) == (2, "")
    assert "cannot write" in err
    assert files(tmp_path) == ["s.yaml", "taken"]


def test_pictures_only_where_asked_for(sweep, tmp_path):
    sweep_yaml(tmp_path / "s.yaml", {"seed": [0]})
    assert sweep("s.yaml", "--workers", 1, "--plots")[0] == 0
    (path,) = run_folder.find_runs(tmp_path / "runs")
    assert (path / "plots" / "overview.png").is_file()


CLAIM = {
    "title": "Wine is learned",
    "sentence": "Networks of two layers learn wine.",
    "expect": [{"says": "relu learns", "of": {"model.activation": "relu"}, "measure": "test_accuracy", "above": -1}],
    "picture": [{"draw": "points", "measure": "test_accuracy", "across": "model.activation", "title": "accuracy"}],
}
GRID = {"model.activation": ["relu", "tanh"], "seed": [0, 1]}


def claim_yaml(path, grid=GRID, **expect):
    """Write a sweep file that ends in a claim."""
    claim = {**CLAIM, "expect": [{**CLAIM["expect"][0], **expect}]}
    path.write_text(json.dumps({"base": TINY, "grid": grid, "claim": claim}))
    return path


def test_a_claim_is_judged_and_drawn(sweep, tmp_path):
    for activation in GRID["model.activation"]:
        for seed in GRID["seed"]:
            gradlab.run(TINY, {"model.activation": activation, "seed": seed}, runs="runs", plots=False)
    claim_yaml(tmp_path / "s.yaml")
    code, out, err = sweep("s.yaml", "--check")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    begin = lines.index("claim: Wine is learned")
    assert lines[begin + 1 : begin + 3] == ["  holds      relu learns", f"{'':13}test accuracy; model.activation=relu"]
    assert re.fullmatch(r" {13}measured [\d.]+ ± [\d.]+ \(2 seeds\), expected > −1", lines[begin + 3])
    assert lines[begin + 4 :] == ["verdict: confirmed", "drew runs/s.png"]
    assert (tmp_path / "runs" / "s.png").read_bytes().startswith(b"\x89PNG")

    claim_yaml(tmp_path / "wrong.yaml", above=2)
    assert sweep("wrong.yaml")[0] == 0, "only --check asks"
    code, out, _ = sweep("wrong.yaml", "--check")
    assert code == 1
    assert "verdict: not what we measured" in out
    assert (tmp_path / "runs" / "wrong.png").is_file()

    code, out, _ = sweep("wrong.yaml", "seed=0", "--check")
    assert (code, "verdict: not decided by these runs" in out) == (1, True), "one seed decides nothing"

    before = files(tmp_path)
    for arguments, expected in ((("--check",), 1), ((), 0)):
        code, out, _ = sweep("s.yaml", "model.activation=tanh", *arguments)
        assert code == expected
        assert out.splitlines()[-1] == (
            "the claim is not judged: claim.expect.0.of: no run of the sweep is like this; "
            "model.activation is never 'relu'  (values: 'tanh')"
        )
    assert files(tmp_path) == before


def test_a_claim_is_not_judged_while_runs_are_missing(sweep, tmp_path):
    claim_yaml(tmp_path / "s.yaml", {"model.activation": ["relu"], "seed": [0, 1]})
    for seed in (0, 1):
        with run_folder.lock_run(tmp_path / "runs", load_config(TINY, {"seed": seed})) as writer:
            writer.start({})
            writer.write_summary({"status": "failed", "traceback": "RuntimeError: out of memory"})
    code, out, _ = sweep("s.yaml")
    assert code == 1
    assert out.splitlines()[-1] == "the claim is not judged: 2 of 2 runs are not finished"
    assert not (tmp_path / "runs" / "s.png").exists()


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ({"measure": "test_acuracy"}, "claim.expect.0.measure: 'test_acuracy' is not a number of a run; did you mean"),
        ({"of": {"model.activaton": "relu"}}, "claim.expect.0.of: 'model.activaton' is not a setting; did you mean"),
    ],
)
@pytest.mark.parametrize("plan", [[], ["--dry-run"]])
def test_a_wrong_claim_is_one_message_and_nothing_is_run(sweep, tmp_path, expect, message, plan):
    claim_yaml(tmp_path / "s.yaml", **expect)
    code, out, err = sweep("s.yaml", *plan)
    assert (code, out) == (2, "")
    assert message in re.sub(r"\s+", " ", err)
    assert "s.yaml:1" in err
    assert files(tmp_path) == ["s.yaml"]


def test_planning_does_not_import_torch(tmp_path):
    sweep_yaml(tmp_path / "s.yaml", {"seed": [0]})
    code = (
        "import sys, gradlab.cli\n"
        "sys.argv = ['gradlab', 'sweep', 's.yaml', '--dry-run']\n"
        "try: gradlab.cli.main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        "heavy = {'torch', 'matplotlib', 'sklearn', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)


def test_help(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    out = CliRunner().invoke(app, ["sweep", "--help"], color=False).output
    golden = GOLDEN / "help-sweep.txt"
    lines = [line.rstrip() for line in out.splitlines()]
    assert "\n".join(lines).strip() + "\n" == golden.read_text(), f"if this is meant, write it to {golden}"
    assert max(map(len, lines)) <= 80


# ---------------------------------------------------------------------------------------------------------- the views


def test_in_a_terminal_there_is_a_bar_and_a_line_a_worker():
    terminal, plain = Console(width=80, force_terminal=True, file=StringIO()), Console(width=80)
    with sweep_progress(terminal) as progress:
        progress.planned(4)
        progress.started(0, "seed=0")
        progress.started(1, "seed=1")
        progress.ended(0, PointLine({"seed": "0"}, "diverged", Path("a")))
        progress.started(0, "seed=2")
        progress.ended(1, PointLine({"seed": "1"}, "running", Path("b")))
        with plain.capture() as capture:
            plain.print(progress.draw())
    bar, line = capture.get().splitlines()
    assert "1/4" in bar
    assert "1 diverged" in bar
    assert line.split() == ["1", "seed=2", "0:00:00"]


def test_the_report_lists_failures_up_to_a_limit(capsys):
    rows = [
        PointLine({"seed": str(seed)}, "failed", Path(f"runs/x-{seed}"), reason="ValueError: no") for seed in range(25)
    ]
    print_report(rows, ran=25, seconds=65, console=Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "25 points: 25 failed · 25 in 0:01:05"
    assert lines[1:4] == ["failed  seed=0", "        ValueError: no", "        runs/x-0"]
    assert lines[-2] == "and 5 more"
