"""Run folders of another version are read as far as it goes, shown, compared and judged, and that is said once."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradlab.claims.claim import Claim
from gradlab.claims.judging import judge
from gradlab.claims.measuring import Observation
from gradlab.cli import app
from gradlab.config import SCHEMA
from gradlab.config.files import load_config
from gradlab.measures.settings import configuration, settings_of
from gradlab.results import load_run
from gradlab.run_folder import find_runs, read_tables
from gradlab.tables import SCHEMAS
from gradlab.views.comparison.comparison import compare
from gradlab.views.comparison.runs import collect
from tests.views.comparison.folders import write_run

OLD = Path(__file__).parent / "data" / "schema1"
PLAIN, NORMALIZED = OLD / "old-a433d53a0ab4", OLD / "old-202ae5420278"
SAME = {
    "model": {"depth": 2, "width": 4, "activation": "sigmoid", "initializer": "glorot_uniform"},
    "data": {"name": "wine", "batch_size": 32},
    "train": {"steps": 4},
    "record": {"histograms": 0, "dead_units": 2},
}
"""What the old configs say."""


def shown(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return " ".join(done.output.split())


def test_an_old_folder_is_read_with_todays_words():
    for folder, where in ((PLAIN, "none"), (NORMALIZED, "before")):
        run = load_run(folder)
        assert (run.config.model.kind, run.config.model.normalization.where) == ("mlp", where)
        assert all(set(SCHEMAS[name]) <= set(getattr(run, name).columns) for name in SCHEMAS)
        assert run.layers.height
        assert run.status == "completed"
        run.figure("overview")


def test_show_says_once_that_another_version_wrote_it():
    assert shown("show", NORMALIZED).count(f"another version of gradlab (schema 1; this one is {SCHEMA})") == 1


def test_a_column_that_an_old_table_lacks_is_null(tmp_path):
    folder = Path(shutil.copytree(PLAIN, tmp_path / "old-1"))
    part = folder / "layers" / "000000.parquet"
    table = read_tables(folder).layers
    table.drop("revived_fraction").write_parquet(part)
    again = read_tables(folder).layers
    assert again["revived_fraction"].null_count() == again.height
    assert again.drop("revived_fraction").equals(table.drop("revived_fraction"))


def test_old_and_new_runs_of_one_network_are_one_configuration(tmp_path):
    shutil.copytree(OLD, tmp_path / "old")
    for seed in (1, 2):
        for place in ("none", "before"):
            write_run(tmp_path / "new", config={**SAME, "seed": seed, "model": {**SAME["model"], "batch_norm": place}})
    runs = collect([tmp_path])
    comparison = compare(runs)
    assert comparison.differing == ["model.normalization"]
    assert [(row.settings["model.normalization"], len(row.runs)) for row in comparison.rows] == [
        ("batch_norm", 3),
        ("none", 3),
    ]
    said = shown("compare", tmp_path)
    assert said.count(f"2 runs were written by another version of gradlab (schema 1; this one is {SCHEMA})") == 1
    assert "another version" not in shown("compare", tmp_path / "new")


def test_the_same_run_of_both_versions_counts_once(tmp_path):
    shutil.copytree(OLD, tmp_path / "old")
    write_run(tmp_path / "new", config={**SAME, "tags": ["again"]})
    runs = collect([tmp_path])
    assert (len(runs.finished), len(runs.copies)) == (2, 1)


def test_a_claim_is_judged_on_old_folders():
    claim = Claim.model_validate(
        {
            "title": "T",
            "sentence": "S.",
            "expect": [
                {"says": "one", "measure": "diverged", "of": {"model.batch_norm": "before"}, "below": 1},
                {
                    "says": "other",
                    "measure": "test_loss",
                    "of": {"model.normalization": "batch_norm"},
                    "minus": {"model.batch_norm": False},
                    "above": -9,
                },
            ],
            "picture": [{"draw": "points", "measure": "diverged", "across": "model.batch_norm", "title": "P"}],
        }
    )
    verdict = judge(claim, [Observation.of(read_tables(folder)) for folder in find_runs(OLD)])
    assert [judged.seeds for judged in verdict.judgements] == [1, 1]
    assert verdict.judgements[0].mean.value == 0
    losses = [read_tables(folder).summary["test_loss"] for folder in (NORMALIZED, PLAIN)]
    assert verdict.judgements[1].mean.value == pytest.approx(losses[0] - losses[1])


def test_old_and_new_settings_are_the_same():
    recorded = json.loads((NORMALIZED / "summary.json").read_text())["config"]
    assert "kind" not in recorded["model"]
    new = load_config({**SAME, "model": {**SAME["model"], "normalization": "batch_norm"}, "notes": "new"})
    assert configuration(settings_of(recorded)) == configuration(settings_of(new))


def test_a_folder_of_a_newer_version_is_shown_and_compared(tmp_path):
    folder = Path(shutil.copytree(PLAIN, tmp_path / "new-1"))
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"schema": SCHEMA + 1}
    summary["config"]["model"] |= {"kind": "mlp", "wings": 2}
    config = (folder / "config.yaml").read_text().replace("model:\n", "model:\n  wings: 2\n")
    (folder / "config.yaml").write_text(config)
    (folder / "summary.json").write_text(json.dumps(summary))
    assert load_run(folder).config is None
    assert f"(schema {SCHEMA + 1}; this one is {SCHEMA})" in shown("show", folder)
    assert f"1 run was written by another version of gradlab (schema {SCHEMA + 1}" in shown("compare", tmp_path)
    assert shown("compare", tmp_path, "--where", "model.wings == 2")
    summary["schema"] = SCHEMA  # then it is no other version, but damaged
    (folder / "summary.json").write_text(json.dumps(summary))
    damaged = load_run(folder).tables
    assert damaged.config is None
    assert any("wings: unknown key" in problem for problem in damaged.problems)


@pytest.mark.parametrize("schema", [None, [], "\x1b[31m", "x" * 1000, 1e999])
def test_whatever_stands_for_the_schema_is_shown_without_harm(tmp_path, schema):
    folder = Path(shutil.copytree(PLAIN, tmp_path / "x-1"))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "schema": schema}))
    for said in (shown("show", folder), shown("compare", tmp_path)):
        assert "\x1b" not in said
        assert "x" * 30 not in said
