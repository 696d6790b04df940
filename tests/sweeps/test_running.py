"""Sweeps under way, with real worker processes: each point ends exactly once, whatever happens to the others."""

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

import gradlab
from gradlab import run_folder
from gradlab.sweeps import states
from gradlab.sweeps.local import LocalEngine, cores
from gradlab.sweeps.running import run_sweep
from tests.sweeps.vocabulary import (
    LONG,
    Recording,
    in_thread,
    process_writing,
    summary,
    sweep_yaml,
    tiny_points,
    training,
    wait_until,
)

TIMINGS = ("step_seconds", "record_seconds")
IN_PROC = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="finds the worker in /proc")  # noqa: PTH112


def sweep(points, runs, *, workers=2, listener=None, **options):
    listener = listener or Recording()
    report = run_sweep(points, LocalEngine(workers), runs=runs, listener=listener, **options)
    return report, listener


def statuses(report, points):
    return [report.states[point.config.id].status for point in points]


def test_a_sweep_gives_the_runs_that_one_by_one_gives(tmp_path):
    points = tiny_points({"model.batch_norm": "none"}, {"model.batch_norm": "before"}, {"seed": 1})
    report, listener = sweep(points, tmp_path / "sweep")
    assert statuses(report, points) == ["completed"] * 3
    assert sorted(listener.over) == sorted((point.config.id, "completed") for point in points)
    for point in points[1:]:
        swept = gradlab.load_run(report.states[point.config.id].path)
        one = [sys.executable, "-m", "gradlab", "run", swept.path / "config.yaml", "--no-plots", "--runs", "alone"]
        subprocess.run(one, cwd=tmp_path, check=True, capture_output=True)
        alone = gradlab.load_run(tmp_path / "alone" / swept.path.name)
        assert alone.config == swept.config == point.config
        assert swept.steps.drop(TIMINGS).equals(alone.steps.drop(TIMINGS))
        for table in ("layers", "evaluations", "histograms", "theory"):
            assert getattr(swept, table).equals(getattr(alone, table)), table
        assert report.states[point.config.id].verdict == alone.verdict
        assert not run_folder.plots_folder(swept.path).exists(), "no pictures unless asked for"
        assert swept.environment["threads"] == 1, "small networks take one thread"


def test_workers_are_reused_and_share_the_cores(tmp_path):
    engine = LocalEngine(1)
    assert engine.threads == cores()
    assert LocalEngine(10_000).threads == 1
    assert LocalEngine().workers == cores()
    pids = set()
    points = tiny_points(*({"seed": seed, "train.steps": 2} for seed in range(3)))
    with engine:
        pids = {engine._pool.schedule(os.getpid).result() for _ in points}
    assert len(pids) == 1


def test_what_is_settled_is_not_run_again(tmp_path):
    points = tiny_points({"seed": 0}, {"seed": 1})
    gradlab.run(points[0].config, runs=tmp_path, plots=False)
    before = (run_folder.run_path(tmp_path, points[0].config) / "summary.json").stat().st_mtime_ns
    report, listener = sweep(points, tmp_path)
    assert listener.begun == [points[1].config.id] == list(report.ran)
    assert (run_folder.run_path(tmp_path, points[0].config) / "summary.json").stat().st_mtime_ns == before
    again, listener = sweep(points, tmp_path)
    assert (again.ran, listener.begun, statuses(again, points)) == (frozenset(), [], ["completed"] * 2)


def test_a_crash_costs_its_point_only_and_is_kept_until_a_retry(tmp_path):
    points = tiny_points(
        {"seed": 0},
        {"device": "cuda:99"},  # raises before the first step
        {"model.width": 1_000_000},  # 4 TB a layer: out of memory
        {"train.learning_rate": 1e6, "train.steps": 50},  # NaN
        {"seed": 1},
    )
    report, listener = sweep(points, tmp_path)
    assert statuses(report, points) == ["completed", "failed", "failed", "diverged", "completed"]
    assert Counter(listener.begun) == Counter(point.config.id for point in points), "each once"
    assert report.failed
    assert not report.interrupted
    assert "cuda:99 is not on this machine" in summary(tmp_path, points[1])["traceback"]
    assert "Traceback" in summary(tmp_path, points[2])["traceback"]
    assert "cuda:99" in report.states[points[1].config.id].reason
    assert "memory" in report.states[points[2].config.id].reason
    kept, listener = sweep(points, tmp_path)
    assert (listener.begun, statuses(kept, points)) == ([], statuses(report, points))
    assert kept.states == report.states
    retried, listener = sweep(points, tmp_path, retry_failed=True)
    assert set(listener.begun) == {points[1].config.id, points[2].config.id}
    assert statuses(retried, points) == statuses(report, points)


@IN_PROC
def test_a_killed_worker_costs_its_point_only(tmp_path):
    points = tiny_points({"seed": 0}, {"train.steps": LONG}, {"seed": 1}, {"seed": 2})
    victim = points[1]

    def kill():
        wait_until(lambda: training(tmp_path, victim), "the first flush")
        os.kill(process_writing(tmp_path, victim), signal.SIGKILL)

    listener = Recording(on_start=lambda point: point is victim and in_thread(kill))
    report, listener = sweep(points, tmp_path, listener=listener)
    assert statuses(report, points) == ["completed", "failed", "completed", "completed"]
    assert Counter(listener.begun) == Counter(point.config.id for point in points)
    assert "SIGKILL" in report.states[victim.config.id].reason
    assert summary(tmp_path, victim)["status"] == "failed"
    assert len(gradlab.load_run(report.states[victim.config.id].path).steps), "what was recorded is kept"
    assert sweep(points, tmp_path)[1].begun == []


@IN_PROC
def test_the_only_worker_may_die_again_and_again(tmp_path):
    points = tiny_points({"train.steps": LONG}, {"train.steps": LONG, "seed": 1}, {"seed": 2})

    def kill(point):
        os.kill(wait_until(lambda: process_writing(tmp_path, point), "a worker"), signal.SIGKILL)

    def on_start(point):
        if point is not points[2]:
            in_thread(lambda: kill(point))

    report, _ = sweep(points, tmp_path, workers=1, listener=Recording(on_start))
    assert statuses(report, points) == ["failed", "failed", "completed"]


def test_a_run_that_was_cut_off_is_run_again(tmp_path):
    (point,) = tiny_points({"seed": 0})
    with run_folder.lock_run(tmp_path, point.config) as writer:
        writer.start({})
        assert states.look_up(tmp_path, point.config).status == "running"
    assert states.look_up(tmp_path, point.config).status == "interrupted"
    report, _ = sweep([point], tmp_path, workers=1)
    assert statuses(report, [point]) == ["completed"]


def test_states_of_what_never_began(tmp_path):
    (point,) = tiny_points({"seed": 0})
    assert states.look_up(tmp_path, point.config).status == "pending"
    assert states.record_interruption(tmp_path, point.config).status == "pending"
    assert not list(tmp_path.iterdir())
    failed = states.record_failure(tmp_path, point.config, "killed")
    assert (failed.status, failed.reason) == ("failed", "killed")
    assert states.look_up(tmp_path, point.config) == failed
    assert run_folder.read_tables(failed.path).config == point.config
    gradlab.run(point.config, runs=tmp_path, plots=False)
    states.record_failure(tmp_path, point.config, "too late")
    assert states.look_up(tmp_path, point.config).status == "completed"


def command(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "gradlab", "sweep", *map(str, arguments)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(tmp_path):
    file = sweep_yaml(tmp_path / "s.yaml", {"seed": [0, 1, 2, 3]}, train={"steps": 5})
    (first,) = tiny_points({"seed": 0})
    process = command(file, "--workers", 1, cwd=tmp_path)
    wait_until(lambda: states.look_up(tmp_path / "runs", first.config).status == "completed", "the first run")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "interrupted; the same command goes on where this one ended" in out
    written = summary(tmp_path / "runs", first)
    again = command(file, "--workers", 1, cwd=tmp_path)
    out, err = again.communicate(timeout=240)
    assert (again.returncode, err) == (0, "")
    assert "4 points: 4 completed" in out
    assert summary(tmp_path / "runs", first) == written, "not run again"
    assert len(list(run_folder.find_runs(tmp_path / "runs"))) == 4


@pytest.mark.parametrize(
    ("number", "group"),
    [
        ("SIGINT", True),
        ("SIGINT", False),
        ("SIGTERM", True),
        ("SIGTERM", False),
        ("SIGHUP", True),
        ("SIGHUP", False),
    ],
    ids=["Ctrl-C", "kill -INT", "a system that stops", "kill", "a terminal that closes", "kill -HUP"],
)
def test_what_ends_a_sweep_ends_the_step_of_a_long_run(tmp_path, number, group):
    file = sweep_yaml(tmp_path / "s.yaml", {"seed": [0, 1, 2]}, train={"steps": LONG})
    points = tiny_points(*({"seed": seed, "train.steps": LONG} for seed in range(3)))
    process = command(file, "--workers", 2, cwd=tmp_path)
    wait_until(lambda: all(training(tmp_path / "runs", point) for point in points[:2]), "the first flush")
    (os.killpg if group else os.kill)(process.pid, getattr(signal, number))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "2 interrupted, 1 pending" in out
    assert [states.look_up(tmp_path / "runs", point.config).status for point in points] == [
        "interrupted",
        "interrupted",
        "pending",
    ]
    for point in points[:2]:
        run = gradlab.load_run(run_folder.run_path(tmp_path / "runs", point.config))
        assert (run.status, len(run.steps)) == ("interrupted", run.summary["steps"])


def test_no_worker_outlives_a_sweep_that_was_killed(tmp_path):
    file = sweep_yaml(tmp_path / "s.yaml", {"seed": [0, 1]}, train={"steps": LONG})
    points = tiny_points(*({"seed": seed, "train.steps": LONG} for seed in range(2)))
    process = command(file, "--workers", 2, cwd=tmp_path)
    wait_until(lambda: all(training(tmp_path / "runs", point) for point in points), "the first flush")
    process.kill()
    process.communicate(timeout=60)
    wait_until(
        lambda: not any(process_writing(tmp_path / "runs", point) for point in points), "the end of both workers"
    )
    for point in points:
        run = gradlab.load_run(run_folder.run_path(tmp_path / "runs", point.config))
        assert (run.status, len(run.steps)) == ("interrupted", run.summary["steps"])


def test_two_sweeps_at_once_share_the_work(tmp_path):
    seeds = range(8)
    file = sweep_yaml(tmp_path / "s.yaml", {"seed": list(seeds)}, train={"steps": 150})
    points = tiny_points(*({"seed": seed, "train.steps": 150} for seed in seeds))
    processes = [command(file, "--workers", 1, cwd=tmp_path) for _ in range(2)]
    outs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outs
    for out, err in outs:
        assert err == ""
        assert "8 points: 8 completed" in out
    # A run that began twice would have lost the folder's first config: the folder is written by one process only.
    assert len(list(run_folder.find_runs(tmp_path / "runs"))) == 8
    for point in points:
        run = gradlab.load_run(run_folder.run_path(tmp_path / "runs", point.config))
        assert run.steps["step"].to_list() == list(range(150))


@pytest.mark.parametrize("fate", ["completed", "failed"])
def test_a_run_that_another_process_writes_is_waited_for(tmp_path, fate):
    point, other = tiny_points({"seed": 0}, {"seed": 1})
    with run_folder.lock_run(tmp_path, point.config) as writer:
        writer.start({})
        listener = Recording()
        thread = in_thread(lambda: sweep([point, other], tmp_path, workers=1, listener=listener))
        wait_until(lambda: len(listener.begun) == 3, "the second look at the busy run")
        assert listener.over == [(point.config.id, "running"), (other.config.id, "completed")]
        writer.write_summary({"status": fate, "verdict": "theirs"})
    thread.join(60)
    assert listener.over[2:] == [(point.config.id, fate)]
    assert run_folder.read_summary(writer.path)["verdict"] == "theirs", "what the other process came to, not run again"
