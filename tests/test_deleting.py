"""gradlab delete: it lists first, asks, and removes what gradlab has written, and nothing else."""

import sys

import pytest

from gradlab import marker, run_folder
from gradlab.cli import main
from gradlab.config import Config
from gradlab.errors import RunBusyError, RunFolderError
from gradlab.locking import FileLock
from gradlab.run_folder import delete_run, lock_run


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Make a run folder as `gradlab run` does, with some rows and a picture."""
    monkeypatch.chdir(tmp_path)

    def write(status="completed", **config):
        with lock_run(tmp_path / "runs", Config.model_validate({"name": "made-up", **config})) as writer:
            writer.start({"torch": "2.13"})
            writer.append("evaluations", {"step": 0, "split": "test", "loss": 1.0, "accuracy": 0.5})
            writer.flush()
            verdict = {"verdict": "healthy", "findings": []} if status == "completed" else {}
            writer.write_summary({"status": status, **verdict})
            (writer.path / "plots").mkdir()
            picture = writer.path / "plots" / "overview.png"
            picture.write_bytes(b"picture")
            marker.note_written(writer.path, [picture])
            return writer.path

    return write


@pytest.fixture
def gradlab(monkeypatch, capsys):
    """Run the command line with an answer to its question; returns exit code, output and errors."""

    def call(*arguments, answer=None):
        monkeypatch.setattr(sys, "argv", ["gradlab", *map(str, arguments)])
        asked = []
        monkeypatch.setattr("typer.confirm", lambda question: asked.append(question) or answer)
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code or 0
        captured = capsys.readouterr()
        assert bool(asked) == (answer is not None)
        return code, captured.out, captured.err

    return call


def test_runs_are_listed_first_and_deleted_where_one_says_so(written, gradlab, tmp_path):
    first, second = written(seed=1), written(seed=2)
    code, out, _ = gradlab("delete", "made-up", answer=False)
    assert code == 0
    assert f"runs/{first.name}  completed healthy  " in out
    assert out.splitlines()[-2].startswith("2 runs, ")
    assert out.splitlines()[-1] == "nothing is deleted"
    assert first.is_dir()
    code, out, _ = gradlab("delete", first.name, answer=True)
    assert (code, out.splitlines()[-1]) == (0, f"deleted runs/{first.name}")
    assert list((tmp_path / "runs").iterdir()) == [second]
    assert gradlab("delete", second, "--yes")[0] == 0
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("where", "gone"),
    [
        ("status == 'failed'", [3]),
        ("'lecture' in tags", [2]),
        ("verdict == 'healthy' and seed < 2", [1]),
        ("model.depth == 20", [1, 2, 3]),
    ],
)
def test_runs_may_be_chosen_by_a_condition_also_those_that_failed(written, gradlab, where, gone):
    paths = {1: written(seed=1), 2: written(seed=2, tags=["lecture"]), 3: written("failed", seed=3)}
    assert gradlab("delete", "--where", where, "-y")[0] == 0
    assert [seed for seed, path in paths.items() if not path.exists()] == gone


def test_what_gradlab_has_not_written_stays_and_is_named(written, gradlab):
    path = written()
    (path / "notes.txt").write_text("mine")
    (path / "plots" / "mine.png").write_bytes(b"mine")
    (path / "layers").mkdir(exist_ok=True)
    (path / "layers" / "000000.parquet.bak").write_bytes(b"mine")
    code, out, _ = gradlab("delete", path, "-y")
    assert code == 0
    assert out.splitlines()[-1].endswith(", but for layers, notes.txt, plots, which gradlab has not written")
    left = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    assert left == ["layers/000000.parquet.bak", "notes.txt", "plots/mine.png"]


def test_nothing_outside_is_deleted_whatever_the_marker_lists_and_links_lead_to(written, tmp_path):
    path = written()
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("000000.parquet", "precious.txt"):
        (outside / name).write_text("precious")
    (path / "steps").rmdir() if (path / "steps").is_dir() else None
    (path / "steps").symlink_to(outside)
    (path / "link").symlink_to(outside / "precious.txt")
    marker._write(
        path, {**marker._read(path), "wrote": ["../outside/precious.txt", "steps/precious.txt", "link", str(outside)]}
    )
    delete_run(path)
    assert sorted(file.name for file in outside.iterdir()) == ["000000.parquet", "precious.txt"]
    assert not (path / "link").is_symlink(), "a link that the marker lists is removed itself"


def test_links_foreign_folders_and_runs_that_go_on_are_refused(written, tmp_path):
    path = written()
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(RunFolderError, match="is a link"):
        delete_run(link)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / run_folder.names.SUMMARY).write_text("{}")
    with pytest.raises(RunFolderError, match="no marker"):
        delete_run(foreign)
    lock = FileLock(path / run_folder.names.LOCK)
    with pytest.raises(RunBusyError):
        delete_run(path)
    lock.release()
    assert path.is_dir()
    assert (foreign / "summary.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which runs?"),
        (("nowhere",), "there is no run nowhere"),
        (("runs",), "runs is not a run folder"),
        (("--where", "seed == 77"), "holds of none of 1 run"),
        (("--where", "sede == 1"), "there is no 'sede' here; did you mean 'seed'?"),
    ],
)
def test_what_cannot_be_deleted_is_one_message_and_nothing_is(written, gradlab, arguments, message):
    path = written()
    code, out, err = gradlab("delete", *arguments, "--yes")
    assert (code, out) == (2, "")
    assert message in err
    assert path.is_dir()
