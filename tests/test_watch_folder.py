"""Run folders of watched trainings: gone on with, on a full disk, killed, forked, ended by signals."""

import json
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest
import torch
from torch import nn

import gradlab
from gradlab import run_folder, watch_folder
from gradlab.errors import RunFolderError
from gradlab.results import Run
from gradlab.run_folder import writing

X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch):
    """They take most of the time."""
    monkeypatch.setattr(Run, "save_plots", lambda *_: None)


def network(depth=2, width=6):
    torch.manual_seed(0)
    hidden = [part for _ in range(depth) for part in (nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 6))]
    return nn.Sequential(*hidden, nn.Linear(6, 2))


def train(into, steps=5, model=None, error=None, **options):
    model = network() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=into, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            model(X).square().mean().backward()
            optimizer.step()
        if error is not None:
            raise error
    return recorder


def interrupted(into, steps=5, **options):
    with pytest.raises(KeyboardInterrupt):
        train(into, steps, error=KeyboardInterrupt(), **options)


def test_an_interrupted_training_goes_on_and_reads_back_as_one(tmp_path):
    interrupted(tmp_path / "run", 5)
    id = run_folder.read_summary(tmp_path / "run")["id"]
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "run", 4, error=ZeroDivisionError())
    recorder = train(tmp_path / "run", 3)
    run = run_folder.read_tables(tmp_path / "run")
    assert run.steps["step"].to_list() == list(range(12))
    assert run.recorded_steps == list(range(12))
    assert run.layers.height == 12 * 7
    assert run.layers.equals(recorder.rows())
    summary = run.summary
    assert (summary["status"], summary["steps"], summary["resumed"], summary["id"]) == ("completed", 12, [5, 9], id)
    assert "traceback" not in summary
    assert summary["problems"] == []
    assert summary["step_seconds"] == pytest.approx(run.steps["step_seconds"].sum())


def test_a_training_that_was_killed_goes_on_after_its_last_record(tmp_path):
    interrupted(tmp_path / "run", 11, every=5)
    summary = run_folder.read_summary(tmp_path / "run")
    for told in ({**summary, "status": "running"}, "{", None):
        if told is None:
            (tmp_path / "run" / "summary.json").unlink()
        else:
            (tmp_path / "run" / "summary.json").write_text(told if told == "{" else json.dumps(told))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if told == "{" else "error")
            interrupted(tmp_path / "run", 6, every=5)
    run = run_folder.read_tables(tmp_path / "run")
    # Each process records its first step, so that numbers go on even if none lives for five steps.
    assert run.recorded_steps == [0, 5, 10, 11, 15, 16, 20, 21, 25]
    assert run.summary["resumed"] == [21]


@pytest.mark.parametrize("status", ["completed", "diverged"])
def test_a_finished_training_is_refused_on_entering(tmp_path, status):
    interrupted(tmp_path / "run")
    path = tmp_path / "run" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": status}))
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    model = network()
    watch = gradlab.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), into=tmp_path / "run")
    with pytest.raises(RunFolderError, match=f"holds a finished run \\({status}\\)"):
        watch.__enter__()
    assert not any(module._forward_hooks for module in model.modules())
    assert {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before
    assert not run_folder.is_busy(tmp_path / "run")


def test_another_model_is_refused_on_entering(tmp_path):
    interrupted(tmp_path / "run")
    with pytest.raises(RunFolderError, match="another model: it has rows of 4, 5, 6, which this model does not have"):
        train(tmp_path / "run", model=network()[:4])
    with pytest.raises(RunFolderError, match="another model: its parameters have other names or shapes"):
        train(tmp_path / "run", model=network(width=7))
    assert run_folder.read_tables(tmp_path / "run").recorded_steps == [0, 1, 2, 3, 4]


def test_a_configured_run_is_refused(tmp_path):
    run = gradlab.run({"model": {"depth": 2, "width": 4}, "data": "wine", "train": {"steps": 3}}, runs=tmp_path)
    path = run.path / "summary.json"
    path.write_text(json.dumps({**run.summary, "status": "interrupted"}))
    with pytest.raises(RunFolderError, match="a run of a config"):
        train(run.path)


@pytest.mark.parametrize("table", ["layers", "steps"])
@pytest.mark.parametrize("damage", [b"", b"PAR1 and then nothing", None])
def test_damaged_last_parts_do_not_keep_a_training_from_going_on(tmp_path, table, damage):
    for _ in range(3):
        interrupted(tmp_path / "run", 2)
    last = sorted((tmp_path / "run" / table).iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-9] if damage is None else damage)
    train(tmp_path / "run", 2)
    run = run_folder.read_tables(tmp_path / "run")
    assert run.summary["status"] == "completed"
    whole = run.steps["step"].to_list() if table == "layers" else run.recorded_steps
    assert whole == list(range(8))
    assert run.summary["resumed"] == [2, 4, 6]
    assert (run.layers.height, run.steps.height) in ((7 * 6, 8), (7 * 8, 6))
    assert [problem.split(" cannot")[0] for problem in run.problems] == [f"{table}/{last.name}"]


# ------------------------------------------------------------------------------------------------------ a full disk


def full(*arguments, **options):
    raise OSError(28, "No space left on device")


def test_on_a_full_disk_nothing_is_forgotten_and_the_folder_says_what_happened(tmp_path, monkeypatch):
    monkeypatch.setattr(watch_folder, "FLUSH_SECONDS", 0.0)
    real = writing.write_together
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = gradlab.watch(model, optimizer, into=tmp_path / "run")
    with watch as recorder, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in range(9):
            monkeypatch.setattr(writing, "write_together", full if 3 <= step < 6 else real)
            optimizer.zero_grad()
            model(X).square().mean().backward()
            optimizer.step()
            assert recorder.rows()["step"].unique().sort().to_list() == list(range(step + 1))
            told = run_folder.read_summary(tmp_path / "run")["problems"]
            if step == 4:
                assert len(told) == 1
                assert told[0].startswith("nothing could be written from step 3 on: cannot write")
    assert [str(each.message).split(". ")[0] for each in said] == [
        f"cannot write {tmp_path / 'run'}: No space left on device"
    ]
    run = run_folder.read_tables(tmp_path / "run")
    assert run.recorded_steps == list(range(9))
    assert run.summary["status"] == "completed"
    assert run.summary["problems"][0].startswith("steps 3 to 6 were written late: cannot write")
    assert run_folder.read_tables(tmp_path / "run").problems == run.summary["problems"]


def test_a_disk_that_stays_full_costs_the_folder_and_not_the_training(tmp_path, monkeypatch):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with gradlab.watch(model, optimizer, into=tmp_path / "run") as recorder:
            monkeypatch.setattr(writing, "write_together", full)
            monkeypatch.setattr(writing, "write_file", full)
            for _ in range(3):
                optimizer.zero_grad()
                model(X).square().mean().backward()
                optimizer.step()
    assert len(said) == 2
    assert "gradlab could not finish" in str(said[1].message)
    assert recorder.status == "completed"
    assert recorder.rows()["step"].unique().sort().to_list() == [0, 1, 2]
    monkeypatch.undo()
    interrupted(tmp_path / "run", 2)  # what says `running` and is dead is gone on with
    assert run_folder.read_tables(tmp_path / "run").recorded_steps == [0, 1]


def test_memory_is_bounded_while_nothing_can_be_written(tmp_path, monkeypatch):
    from gradlab import watch_records

    monkeypatch.setattr(watch_records, "MEMORY_ROWS", 100)
    monkeypatch.setattr(watch_folder, "FLUSH_SECONDS", 0.0)
    real = writing.write_together
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradlab.watch(model, optimizer, into=tmp_path / "run") as recorder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkeypatch.setattr(writing, "write_together", full)
        for step in range(60):
            if step == 59:
                monkeypatch.setattr(writing, "write_together", real)
            optimizer.zero_grad()
            model(X).square().mean().backward()
            optimizer.step()
            assert recorder._open.folder._waiting.rows <= 100
    run = run_folder.read_tables(tmp_path / "run")
    assert run.recorded_steps[:3] == [0, 8, 16]
    assert "; of their records, one of 8 was kept: cannot write" in run.summary["problems"][0]


def test_a_small_limit_on_files_is_a_full_disk(tmp_path):
    code = (
        TRAINING
        + """
import resource, warnings
warnings.simplefilter("ignore")
with gradlab.watch(model, optimizer, into=sys.argv[1]) as recorder:
    step()
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    recorder.rows()
    step()
    assert recorder.rows()["step"].unique().sort().to_list() == [0, 1]
assert recorder.status == "completed"
"""
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "run"], check=True)
    told = run_folder.read_summary(tmp_path / "run")
    assert told["problems"][0].startswith("nothing could be written from step 0 on")
    assert "File too large" in told["problems"][0]


def test_a_folder_that_is_moved_away_does_not_end_the_training(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with gradlab.watch(model, optimizer, into=tmp_path / "run") as recorder:
            (tmp_path / "run").rename(tmp_path / "moved")
            model(X).square().mean().backward()
            optimizer.step()
    assert "No such file" in str(said[0].message)
    assert recorder.rows().height == 7
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------- how processes may end

TRAINING = """
import os, signal, sys, time
import torch, gradlab
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(8, 6)
def step():
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()
"""


def ended(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", TRAINING + code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.7, 6.0])
def test_a_killed_training_loses_five_seconds_at_most(tmp_path, pause):
    code = (
        TRAINING
        + """
with gradlab.watch(model, optimizer, into=sys.argv[1]):
    while True:
        step()
        print(time.time(), flush=True)
        time.sleep(float(sys.argv[2]))
"""
    )
    command = [sys.executable, "-c", code, tmp_path / "run", str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        assert first
        threading.Timer(13.2, process.kill).start()
        done = [float(line) for line in [first, *process.stdout]]
    killed = time.time()
    run = run_folder.read_tables(tmp_path / "run")
    assert run.status == "running"
    assert not run_folder.is_busy(run.path)
    last = run.recorded_steps[-1]
    assert run.recorded_steps == run.steps["step"].to_list() == list(range(last + 1))
    lost = done[last + 1 :]
    assert not lost or killed - lost[0] < 5.5
    assert len(list((run.path / "layers").iterdir())) <= 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_process_does_so_after_all_is_written(tmp_path, number):
    code = """
with gradlab.watch(model, optimizer, into=sys.argv[1]):
    for _ in range(4):
        step()
    os.kill(os.getpid(), int(sys.argv[2]))
    time.sleep(60)
"""
    done = ended(code, tmp_path / "run", int(number))
    assert done.returncode == -number, done.stderr
    run = run_folder.read_tables(tmp_path / "run")
    assert (run.status, run.recorded_steps) == ("interrupted", [0, 1, 2, 3])
    assert not run_folder.is_busy(run.path)
    assert "verdict" in run.summary


def test_handlers_of_others_stay_and_defaults_come_back(tmp_path):
    code = """
mine = lambda *_: print("mine", flush=True)
signal.signal(signal.SIGHUP, mine)
with gradlab.watch(model, optimizer, into=sys.argv[1]):
    step()
    assert signal.getsignal(signal.SIGHUP) is mine
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGHUP)
    with gradlab.watch(model, optimizer, into=sys.argv[1] + "2"):
        step()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
with gradlab.watch(model, optimizer, into=sys.argv[1] + "3"):
    signal.signal(signal.SIGTERM, mine)
assert signal.getsignal(signal.SIGTERM) is mine
"""
    done = ended(code, tmp_path / "run")
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr


@pytest.mark.parametrize(
    ("how", "status"),
    [("sys.exit()", "interrupted"), ("sys.exit(143)", "interrupted"), ("sys.exit(3)", "failed"), ("1 / 0", "failed")],
)
def test_a_program_that_ends_inside_the_block(tmp_path, how, status):
    ended(f"with gradlab.watch(model, optimizer, into=sys.argv[1]):\n    step()\n    {how}\n", tmp_path / "run")
    run = run_folder.read_tables(tmp_path / "run")
    assert (run.status, run.recorded_steps) == (status, [0])
    assert ("traceback" in run.summary) == (status == "failed")


@pytest.mark.parametrize(
    "child", ["sys.exit()", "os._exit(0)", "del watch", "watch.__exit__(None, None, None)", "step()"]
)
def test_a_forked_child_does_nothing_to_the_folder(tmp_path, child):
    code = f"""
watch = gradlab.watch(model, optimizer, into=sys.argv[1])
watch.__enter__()
step()
before = open(sys.argv[1] + "/summary.json").read()
if not os.fork():
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    {child}
    os._exit(0)
assert os.wait()[1] == 0
assert open(sys.argv[1] + "/summary.json").read() == before
from gradlab import run_folder
from pathlib import Path
assert run_folder.is_busy(Path(sys.argv[1]))
step()
watch.__exit__(None, None, None)
"""
    done = ended(code, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    run = run_folder.read_tables(tmp_path / "run")
    assert (run.status, run.recorded_steps) == ("completed", [0, 1])


def test_a_block_that_is_never_left(tmp_path):
    def training():
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with gradlab.watch(model, optimizer, into=tmp_path / "run"):
            while True:
                model(X).square().mean().backward()
                optimizer.step()
                yield

    steps = training()
    next(steps), next(steps)
    del steps
    run = run_folder.read_tables(tmp_path / "run")
    assert (run.status, run.recorded_steps) == ("interrupted", [0, 1])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert not run_folder.is_busy(run.path)


def test_a_folder_that_is_being_written_knows_the_graph_of_the_step(tmp_path):
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3), nn.Softmax(-1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(8, 6), torch.arange(8) % 3
    with gradlab.watch(model, optimizer, into=tmp_path / "run") as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        assert recorder.tables.layers.height
        run = gradlab.load_run(tmp_path / "run")
        assert run.status == "running"
        assert "output-mismatch" in {finding.rule for finding in run.findings}
    assert gradlab.load_run(tmp_path / "run").summary["graph"] == json.loads(json.dumps(recorder.summary["graph"]))
