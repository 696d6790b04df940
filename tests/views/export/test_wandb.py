import json
import struct
import time

import pytest

from gradlab.errors import RunFolderError, UserError
from gradlab.views.export.exporting import export_run
from tests.views.export.vocabulary import (
    MIDNIGHT,
    a_run,
    assert_same,
    assert_same_histograms,
    expected,
    expected_histograms,
)
from tests.views.synthetic import ODD_RUNS


def records(folder):
    """The messages of an offline run, all of them: wandb's service writes on for a moment after the run is finished."""
    (file,) = folder.glob("*.wandb")
    for _ in range(500):
        found = list(parsed(file.read_bytes()))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.02)
    raise AssertionError(f"{file} has no end")


def parsed(data):
    """The messages in LevelDB's log format, after a header of 7 bytes, as far as they have been written."""
    from wandb.proto.wandb_internal_pb2 import Record

    place, message = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no header fits into the rest of this block
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if place + 7 + length > len(data):
            return
        message += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(message)
            message = b""


def history(folder):
    """Numbers and histograms by name and step; times by step."""
    scalars, histograms, times = {}, {}, {}
    for record in records(folder):
        if record.WhichOneof("record_type") == "history":
            row = {}
            for item in record.history.item:
                place, *inside = item.nested_key or [item.key]
                value = json.loads(item.value_json)
                row[place] = row.get(place, {}) | {inside[0]: value} if inside else value
            step = row.pop("_step", record.history.step.num)
            times[step] = row.pop("_timestamp")
            for name, value in row.items():
                if isinstance(value, dict) and value["_type"] == "histogram":
                    histograms[name, step] = (value["bins"], value["values"])
                elif not isinstance(value, dict) and not name.startswith("_"):
                    scalars[name, step] = float(value)
                else:
                    assert name in ("theory", "_runtime"), value
    return scalars, histograms, times


@pytest.mark.parametrize("name", ["vanishing", "diverged", "overflow", "uneven steps"])
def test_wandb_has_every_number(name, tmp_path, wandb, capfd):
    run = a_run(tmp_path, **ODD_RUNS[name])
    folder = export_run(run, "wandb")
    assert folder.parent == run.path / "export" / "wandb"
    scalars, histograms, times = history(folder)
    assert_same(scalars, expected(run))
    assert_same_histograms(histograms, expected_histograms(run))
    assert times[run.steps["step"][0]] == pytest.approx(MIDNIGHT + 0.03, abs=1e-3)
    (about,) = [record.run for record in records(folder) if record.WhichOneof("record_type") == "run"]
    assert (about.run_id, about.project, about.display_name) == ("0123456789ab", "gradlab", run.path.name)
    settings = {item.key: json.loads(item.value_json) for item in about.config.update}
    assert settings["model"] == run.summary["config"]["model"]
    assert not "".join(capfd.readouterr())


def test_wandb_exported_again_is_the_same_run_and_there_once(tmp_path, wandb):
    run = a_run(tmp_path)
    export_run(run, "wandb", tmp_path / "elsewhere")
    folder = export_run(run, "wandb", tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere" / "wandb").glob("offline-run-*")) == [folder]
    assert_same(history(folder)[0], expected(run))


def test_wandb_without_an_account_says_what_to_do(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    wandb.teardown()  # it reads the environment once
    with pytest.raises(UserError, match="wandb login"):
        export_run(a_run(tmp_path), "wandb")


def test_wandb_that_is_disabled_drops_nothing_silently(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb.teardown()
    with pytest.raises(UserError, match="disabled"):
        export_run(a_run(tmp_path), "wandb")


def test_wandb_writes_and_removes_nothing_through_a_link(tmp_path, wandb):
    run = a_run(tmp_path)
    outside = tmp_path / "outside"
    old = outside / f"offline-run-20200101_000000-{run.summary['id']}"
    old.mkdir(parents=True)
    (old / "precious.txt").write_text("somebody's")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "wandb").symlink_to(outside)
    with pytest.raises(RunFolderError, match="is a link"):
        export_run(run, "wandb", folder)
    assert [path.name for path in outside.rglob("*")] == [old.name, "precious.txt"]
