"""The Ray engine, on a real cluster of two nodes that this machine pretends to be."""

import os
import signal
import socket
import time
import warnings
from collections import Counter

import pytest

import gradlab
from gradlab.errors import UserError
from gradlab.sweeps.ray import RayEngine
from gradlab.sweeps.running import run_sweep
from tests.sweeps.vocabulary import Recording, in_thread, process_writing, tiny_points, wait_until

ray = pytest.importorskip("ray", reason="Ray has no wheel for this Python or system; pip install 'gradlab[ray]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

# Ray's own code warns, of its future defaults and of sockets that it leaves to the garbage collector.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture
def cluster(monkeypatch):
    """A cluster with a head that has no room for runs; `add` gives it a node that has."""
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    memory = {"object_store_memory": 80 * 2**20}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
        try:
            yield cluster, lambda: cluster.add_node(num_cpus=1, **memory)
        finally:
            ray.shutdown()
            cluster.shutdown()


def node_of(pid):
    """The worker's node: Ray's raylet, its parent."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return int(file.read().rpartition(")")[2].split()[1])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="finds the worker in /proc")  # noqa: PTH112
def test_a_node_that_is_killed_in_mid_sweep_costs_no_point(cluster, tmp_path):
    cluster, add = cluster
    nodes = [add(), add()]
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in nodes}
    # Long enough to be caught in training, short enough to be run to the end afterwards.
    points = tiny_points({"train.steps": 3000}, {"device": "cuda:99"}, {"seed": 1}, {"seed": 2}, {"seed": 3})
    victim, lost = points[0], []

    def kill():
        pid = wait_until(lambda: process_writing(tmp_path, victim), "a worker")
        lost.append(node_of(pid))
        cluster.remove_node(raylets[lost[0]], allow_graceful=False)

    listener = Recording(on_start=lambda point: point is victim and in_thread(kill))
    engine = RayEngine(address=cluster.address)
    report = run_sweep(points, engine, runs=tmp_path, listener=listener)
    assert lost, "the node was killed while the point was training"
    assert [report.states[point.config.id].status for point in points] == [
        "completed",
        "failed",
        "completed",
        "completed",
        "completed",
    ]
    assert Counter(listener.over) == Counter((key, state.status) for key, state in report.states.items())
    assert gradlab.load_run(report.states[victim.config.id].path).steps["step"].to_list() == list(range(3000))
    assert "cuda:99 is not on this machine" in report.states[points[1].config.id].reason


def test_a_run_that_has_no_room_is_one_message(cluster, tmp_path):
    cluster, add = cluster
    add()
    with pytest.raises(UserError, match="a run of 2 CPUs and 0 GPUs has no room in a cluster of 1 CPUs and 0 GPUs"):
        run_sweep(
            tiny_points({"seed": 0}),
            RayEngine(address=cluster.address, cpus_per_run=2),
            runs=tmp_path,
            listener=Recording(),
        )
    assert not list(tmp_path.iterdir())
    assert not ray.is_initialized()


def test_a_cluster_that_is_not_there_is_one_message(tmp_path):
    engine = RayEngine(address="127.0.0.1:1")
    with pytest.raises(UserError, match=r"there is no Ray cluster at 127\.0\.0\.1:1"):
        run_sweep(tiny_points({"seed": 0}), engine, runs=tmp_path, listener=Recording())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n"])
def test_who_listens_and_is_no_ray_is_one_message(tmp_path, monkeypatch, answer):
    monkeypatch.setattr("gradlab.sweeps.ray.ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            connection, _ = server.accept()
            with connection:
                if answer is None:
                    time.sleep(3)
                connection.sendall(answer or b"")

        thread = in_thread(listen)
        engine = RayEngine(address=f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UserError, match="there is no Ray cluster at"):
            run_sweep(tiny_points({"seed": 0}), engine, runs=tmp_path, listener=Recording())
        thread.join()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [Exception("The current node timed out\nmore"), RuntimeError("no"), KeyError("x")])
def test_a_start_that_fails_is_one_message(tmp_path, monkeypatch, error):
    def fail(**options):
        raise error

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(UserError, match="Ray cannot be started here: ") as caught:
        run_sweep(tiny_points({"seed": 0}), RayEngine(), runs=tmp_path, listener=Recording())
    assert "\n" not in caught.value.message
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="finds the worker in /proc")  # noqa: PTH112
def test_a_killed_worker_leaves_no_point_running(cluster, tmp_path):
    cluster, add = cluster
    add()
    points = tiny_points({"train.steps": 3000}, {"seed": 1})
    killed = []

    def kill():
        killed.append(wait_until(lambda: process_writing(tmp_path, points[0]), "a worker"))
        os.kill(killed[0], signal.SIGKILL)

    listener = Recording(on_start=lambda point: point is points[0] and in_thread(kill))
    report = run_sweep(points, RayEngine(address=cluster.address), runs=tmp_path, listener=listener)
    assert killed
    assert [report.states[point.config.id].status for point in points] == ["completed"] * 2
    assert gradlab.load_run(report.states[points[0].config.id].path).steps["step"].to_list() == list(range(3000))
