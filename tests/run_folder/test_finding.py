"""Which run is meant by a path, a name, an id, or nothing."""

import os
from pathlib import Path

import pytest

from gradlab.errors import RunFolderError
from gradlab.run_folder import runs_meant


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Three runs in `runs`, `b-2…` the newest and `a-1…` the oldest."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(["b-222222222222", "a-333333333333", "a-111111111111"]):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text("{}")
        os.utime(folder / "summary.json", (1e9 - age, 1e9 - age))
    return Path("runs")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        (None, ["b-222222222222", "a-333333333333", "a-111111111111"]),
        ("runs", ["b-222222222222", "a-333333333333", "a-111111111111"]),
        ("runs/a-111111111111", ["a-111111111111"]),
        ("a-111111111111", ["a-111111111111"]),
        ("a", ["a-333333333333", "a-111111111111"]),
        ("3333", ["a-333333333333"]),
        ("222222222222", ["b-222222222222"]),
    ],
)
def test_the_runs_that_a_word_may_mean_are_found_the_newest_first(root, word, found):
    assert [run.name for run in runs_meant(word and Path(word), root)] == found


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("333", "there is no run 333\nRuns there are: runs/a-333333333333, "),
        ("runs/c", "there is no run runs/c\nRuns there are: runs/"),
        ("file", "file is not a run folder"),
        ("empty", "empty is not a run folder: it has no summary.json, and no run is in it"),
    ],
)
def test_what_means_no_run_is_told_with_the_nearest_runs(root, word, message):
    Path("file").touch()
    Path("empty").mkdir()
    with pytest.raises(RunFolderError) as caught:
        runs_meant(Path(word), root)
    assert str(caught.value).startswith(message)


def test_where_there_are_no_runs_it_is_said_what_writes_them(tmp_path):
    with pytest.raises(RunFolderError) as caught:
        runs_meant(None, tmp_path / "nowhere")
    assert str(caught.value).endswith("nowhere\ngradlab run and gradlab sweep write them.")
