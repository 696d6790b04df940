"""Received run folders: whatever is in them, commands that read them end in order, and nothing outside is written."""

import json
import os
import shutil
import sys

import pytest

from gradlab.results import load_run
from gradlab.tables import SCHEMAS
from tests.faults.commands import gradlab, orderly
from tests.faults.folders import COMPARISONS, ESCAPES, good_folders, try_folder
from tests.views.comparison.folders import write_run

unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


@pytest.fixture(scope="module")
def goods(tmp_path_factory):
    return good_folders(tmp_path_factory.mktemp("goods"))


@unix
@pytest.mark.parametrize("seeds", [range(first, first + 25) for first in range(0, 100, 25)], ids=str)
def test_damaged_folders_are_read_as_far_as_they_go(goods, tmp_path, seeds):
    for seed in seeds:
        try_folder(goods, tmp_path / str(seed), seed)


@unix
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_damaged_folders_are_drawn_and_exported(goods, tmp_path, seed):
    try_folder(goods, tmp_path, seed, slow=True)


def bad(kind, folder):
    summary = json.loads((folder / "summary.json").read_text())
    file = folder / "summary.json"
    match kind:
        case "text" | "list" | "empty":
            file.write_text({"text": "hello", "list": "[1]", "empty": ""}[kind])
        case "deep":
            file.write_text('{"status": "completed", "a": ' + "[" * 20_000 + "]" * 20_000 + "}")
        case "400 digits":
            file.write_text(json.dumps({**summary, "log10_delta_end": [10**399] * 3, "verdict": 10**399}))
        case "5000 digits":
            file.write_text('{"status": "completed", "steps": ' + "9" * 5000 + "}")
        case "pipe":
            file.unlink()
            os.mkfifo(file)
        case "device":
            file.unlink()
            file.symlink_to("/dev/zero")
        case "loop":
            file.unlink()
            file.symlink_to(file.name)
        case "no status":
            file.write_text(json.dumps({name: value for name, value in summary.items() if name != "status"}))
        case "types":
            file.write_text(json.dumps({**summary, "test_accuracy": "high", "findings": 3}))
        case "no verdict":
            file.write_text(json.dumps({name: value for name, value in summary.items() if name != "verdict"}))


BAD = {
    "text": "cannot be read",
    "list": "no JSON object",
    "empty": "cannot be read",
    "deep": "nested too deeply",
    "400 digits": "verdict is not a word",
    "5000 digits": "cannot be read",
    "pipe": "a pipe and not a file",
    "device": "a device and not a file",
    "loop": "cannot be read",
    "no status": "does not say how the run ended",
    "types": "test_accuracy is not a number",
    "no verdict": "no verdict",
}


@unix
@pytest.mark.parametrize("form", COMPARISONS)
def test_ten_good_runs_beside_one_of_each_bad_kind(tmp_path, form):
    for seed in range(10):
        write_run(tmp_path, config={"seed": seed, "model": {"depth": 5 + seed}})
    for number, kind in enumerate(BAD):
        bad(kind, write_run(tmp_path, name=f"bad-{number}", config={"seed": 100 + number}))
    ended = gradlab("compare", tmp_path, "--format", form)
    orderly(ended, (0,))
    said = ended.out if form == "table" else ended.err
    assert f"not compared: {len(BAD)} unreadable" in said
    lines = {number: line for number in range(len(BAD)) for line in said.splitlines() if f"bad-{number}-" in line}
    for number, reason in enumerate(BAD.values()):
        assert reason in lines[number]
    match form:
        case "json":
            compared = json.loads(ended.out)
            assert len(compared["rows"]) == 10
            assert [run["status"] for run in compared["not_compared"]] == ["unreadable"] * len(BAD)
        case "csv":
            assert len(ended.out.strip().splitlines()) == 11
        case "markdown":
            assert len(ended.out.strip().splitlines()) == 12
        case "table":
            assert "10 runs in 10 configurations" in ended.out


@pytest.mark.parametrize("form", COMPARISONS)
def test_where_no_run_can_be_read_that_is_an_error(tmp_path, form):
    bad("text", write_run(tmp_path))
    ended = gradlab("compare", tmp_path, "--format", form)
    orderly(ended, (2,))
    assert ended.out == ""
    assert "not compared: 1 unreadable" in ended.err


@pytest.mark.parametrize("form", COMPARISONS)
def test_nan_and_words_of_somebody_else_in_a_comparison(tmp_path, form):
    write_run(tmp_path)
    for number, word in enumerate(ESCAPES):
        folder = write_run(tmp_path, config={"seed": 1 + number}, verdict=word, test_loss=float("nan"))
        summary = json.loads((folder / "summary.json").read_text())
        summary |= {
            "id": f"x{number}",
            "config": {"watch": {word: word}},
            "name": word,
            "log10_delta_end": [float("-inf")],
        }
        (folder / "summary.json").write_text(json.dumps(summary))
        odd = write_run(tmp_path / "failed", config={"seed": 1 + number}, status=word)
        (odd / "summary.json").write_text(json.dumps({**summary, "status": word, "traceback": f"x\n{word}"}))
        shutil.move(odd, tmp_path / f"odd-{number}")
    ended = gradlab("compare", tmp_path, "--format", form)
    orderly(ended, (0,))
    if form == "json":
        rows = json.loads(ended.out, parse_constant=pytest.fail)["rows"]
        assert {row["verdict"] for row in rows} == {"healthy", *ESCAPES}


@pytest.mark.parametrize("word", ESCAPES)
def test_words_of_somebody_else_in_a_summary(goods, tmp_path, word):
    folder = tmp_path / "run"
    shutil.copytree(goods[0], folder)
    summary = json.loads((folder / "summary.json").read_text())
    finding = {"rule": word, "severity": "error", "message": word, "modules": [word], "remedies": [word, f"{word}."]}
    summary |= {"name": word, "status": word, "verdict": word, "findings": [finding], "not_judged": {word: word}}
    summary["config"] |= {"tags": [word], "notes": word}
    (folder / "summary.json").write_text(json.dumps(summary))
    for arguments in (["show", folder], ["show", folder, "--json"], ["export", folder, "--to", "csv"]):
        orderly(gradlab(*arguments), (0,))


def test_of_good_folders_nothing_is_left_out(goods):
    for folder in goods:
        run = load_run(folder)
        for table in SCHEMAS:
            getattr(run, table)
        assert run.tables.problems == []
    summary = json.loads((goods[-1] / "summary.json").read_text())
    assert goods[-1].name == "watched"
    assert summary["unfinished"] == {"passes": 0, "skipped": 0}


@pytest.mark.parametrize("factory", ["{folder}/evil.py:build", "evil.py:build", "evil:build"])
def test_no_code_that_a_folder_brings_is_run(goods, tmp_path, factory, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(goods[0], folder)
    monkeypatch.chdir(folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef build(**options): ...\n")
    code = factory.format(folder=folder)
    config = {
        "model": {"kind": "python", "factory": code},
        "data": {"name": "python", "factory": code},
        "train": {"steps": 3},
    }
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "config.yaml").write_text(json.dumps(config))
    for status in ("completed", "running"):
        told = {**summary, "config": config, "status": status}
        if status == "running":
            del told["verdict"]
        (folder / "summary.json").write_text(json.dumps(told))
        for words in (["show", folder], ["compare", tmp_path], ["export", folder, "--to", "csv"]):
            orderly(gradlab(*words), (0, 2))
        orderly(gradlab("report", folder, "--output", tmp_path / "page.html"), (0, 2))
    assert not (tmp_path / "ran").exists()
