import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gradlab import marker
from gradlab.errors import RunFolderError, UserError
from gradlab.measures.headline import MEASURES
from gradlab.measures.settings import flat
from gradlab.run_folder import lock_run
from gradlab.views.comparison.columns import column_names
from gradlab.views.comparison.comparison import ComparedConfiguration, compare
from gradlab.views.comparison.runs import FinishedRun, collect
from tests.faults.commands import gradlab, orderly
from tests.views.comparison.folders import SEED_NOISE, write_run, write_sweep


def folded(tmp_path, **options):
    return compare(collect([tmp_path]), **options)


def test_a_row_is_a_configuration_and_its_seeds_are_folded(tmp_path):
    write_sweep(tmp_path)
    comparison = folded(tmp_path)
    assert comparison.differing == ["model.depth", "model.activation"]
    assert [(*row.settings.values(), len(row.runs)) for row in comparison.rows] == [
        (5, "relu", 5),
        (5, "sigmoid", 5),
        (20, "relu", 5),
        (20, "sigmoid", 5),
    ]
    assert comparison.folded == {"seed": 5}
    assert comparison.shared["model.width"] == 100
    assert not {"seed", "model.depth"} & set(comparison.shared)


def test_means_and_intervals_are_those_of_scipy(tmp_path):
    write_sweep(tmp_path)
    for row in folded(tmp_path).rows:
        for name in MEASURES:
            summaries = [json.loads((run.path / "summary.json").read_text()) for run in row.runs]
            values = [s[name] for s in summaries if s[name] is not None]
            mean = row.means[name]
            assert mean.count == len(values)
            assert mean.value == pytest.approx(np.mean(values), rel=1e-14)
            spread = np.std(values, ddof=1) / math.sqrt(len(values))
            expected = stats.t.interval(0.95, len(values) - 1, scale=spread)[1] if spread else 0
            assert mean.half_width == pytest.approx(expected, rel=1e-9)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        runs = [
            FinishedRun(Path(), "", "completed", "healthy", 3, {}, {"test_loss": x}, {}) for x in rng.normal(size=4)
        ]
        mean = ComparedConfiguration({}, runs).means["test_loss"]
        inside += abs(mean.value) <= mean.half_width
    assert 0.935 < inside / 2000 < 0.965


def test_one_run_has_no_interval(tmp_path):
    write_run(tmp_path)
    mean = folded(tmp_path).rows[0].means["test_accuracy"]
    assert (mean.value, mean.half_width, mean.count) == (0.9, None, 1)


def test_a_diverged_run_is_a_result_without_a_final_loss(tmp_path):
    write_sweep(tmp_path)
    row = next(row for row in folded(tmp_path).rows if row.settings == {"model.depth": 20, "model.activation": "relu"})
    assert row.means["test_loss"].count == 4
    assert row.means["decades_per_layer_start"].count == 5
    assert row.verdicts == [("healthy", 4), ("diverged", 1)]
    assert row.verdict == "healthy"
    others = [run for run in row.runs if run.status == "completed"]
    assert row.profile("end", 5) == ComparedConfiguration({}, others).profile("end", 5)
    alone = ComparedConfiguration({}, [run for run in row.runs if run.status == "diverged"])
    assert all(math.isnan(value) for value in alone.profile("end", 5))


def test_of_as_many_verdicts_the_worse_counts(tmp_path):
    write_run(tmp_path, config={"seed": 0})
    write_run(tmp_path, config={"seed": 1}, verdict="dead-units", severity="warning")
    write_run(tmp_path, config={"seed": 2}, verdict="vanishing-gradient", severity="error")
    assert [name for name, _ in folded(tmp_path).rows[0].verdicts] == ["vanishing-gradient", "dead-units", "healthy"]


def test_options_of_a_choice_are_columns_only_where_they_say_more(tmp_path):
    write_run(tmp_path, config={"model": {"activation": "gelu"}})
    write_run(tmp_path, config={"model": {"activation": {"name": "leaky_relu", "negative_slope": 0.1}}})
    assert folded(tmp_path).differing == ["model.activation"]
    write_run(tmp_path, config={"model": {"activation": {"name": "leaky_relu", "negative_slope": 0.2}}})
    comparison = folded(tmp_path)
    assert comparison.differing == ["model.activation", "model.activation.negative_slope"]
    assert [row.settings["model.activation.negative_slope"] for row in comparison.rows] == [None, 0.1, 0.2]


def test_profiles_of_different_depths_are_aligned_by_relative_position(tmp_path):
    write_run(tmp_path, config={"model": {"depth": 2}}, log10_delta_end=[-4.0, 0.0])
    write_run(tmp_path, config={"model": {"depth": 5}}, log10_delta_end=[-4.0, -3.0, -2.0, -1.0, 0.0])
    for row in folded(tmp_path).rows:
        assert row.profile("end", 5) == [-4, -3, -2, -1, 0]
        assert row.profile("end", 3) == [-4, -2, 0]


@pytest.mark.parametrize("positions", [1, 2, 7, 40])
def test_profiles_agree_with_numpy(tmp_path, positions):
    profile = np.random.default_rng(0).normal(size=9).tolist()
    write_run(tmp_path, log10_delta_end=profile)
    expected = np.interp(np.linspace(0, 8, positions), np.arange(9), profile)
    np.testing.assert_allclose(folded(tmp_path).rows[0].profile("end", positions), expected, rtol=1e-12)


def test_exact_zeros_and_divergence_in_a_profile(tmp_path):
    write_run(tmp_path, config={"seed": 0}, log10_delta_end=[None, -3.0])
    assert folded(tmp_path).rows[0].profile("end", 2) == [-math.inf, -3]
    write_run(tmp_path, config={"model": {"depth": 3}}, log10_delta_end=[], log10_delta_start=[])
    assert folded(tmp_path).rows[0].profile("end", 3) == [None, None, None]


def test_conditions_on_settings_choose_runs_and_those_on_results_rows(tmp_path):
    write_sweep(tmp_path)
    rows = folded(tmp_path, where="seed < 2 and test_accuracy > 0.7").rows
    assert [(row.settings["model.depth"], len(row.runs)) for row in rows] == [(5, 2), (5, 2)]
    assert rows[0].means["test_accuracy"].value == pytest.approx(0.75 + np.mean(SEED_NOISE[:2]))
    rows = folded(tmp_path, where="verdict != 'healthy'").rows
    assert [row.settings["model.activation"] for row in rows] == ["sigmoid", "sigmoid"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": "model.dept > 3"}, "did you mean 'model.depth'"),
        ({"where": "seed > 2 or test_accuracy > 0.5"}, "Join conditions"),
        ({"where": "model.activation == 'rleu'"}, "model.activation is relu, sigmoid"),
        ({"where": "verdict == 'fine'"}, "verdict is diverged, healthy, vanishing-gradient"),
        ({"sort": ["accuracy"]}, "'test_accuracy'"),
        ({"group_by": ["model.act"]}, "'model.act' here"),
    ],
)
def test_wrong_names_are_answered_with_the_right_ones(tmp_path, options, message):
    write_sweep(tmp_path)
    with pytest.raises(UserError) as caught:
        folded(tmp_path, **options)
    assert message in str(caught.value)


def test_sorting_and_what_has_no_value_comes_last(tmp_path):
    for depth, loss in ((1, 0.3), (2, None), (3, 0.1)):
        write_run(tmp_path, config={"model": {"depth": depth}}, test_loss=loss)
    depths = {
        key: [row.settings["model.depth"] for row in folded(tmp_path, sort=[key]).rows]
        for key in ("test_loss", "-test_loss", "-model.depth")
    }
    assert depths == {"test_loss": [3, 1, 2], "-test_loss": [1, 3, 2], "-model.depth": [3, 2, 1]}


def test_sorting_numbers_and_words_together(tmp_path):
    for width in (5, [1, 2], 100):
        write_run(tmp_path, config={"model": {"depth": 2, "width": width}})
    assert [row.settings["model.width"] for row in folded(tmp_path).rows] == [5, 100, (1, 2)]


def test_group_by_makes_a_row_of_each_value(tmp_path):
    write_sweep(tmp_path)
    comparison = folded(tmp_path, group_by=["model.activation"])
    assert [(row.settings, len(row.runs)) for row in comparison.rows] == [
        ({"model.activation": "relu"}, 10),
        ({"model.activation": "sigmoid"}, 10),
    ]
    assert comparison.folded == {"seed": 5, "model.depth": 2}
    assert len(folded(tmp_path, group_by=["seed"]).rows) == 5


def test_names_are_shown_where_they_tell_configurations_apart(tmp_path):
    write_run(tmp_path, name="wide", config={"model": {"width": 50}})
    write_run(tmp_path, name="narrow", config={"model": {"width": 5}})
    assert folded(tmp_path).differing == ["name", "model.width"]


def test_true_is_not_1(tmp_path):
    write_run(tmp_path, config={"model": {"residual": True, "depth": 1}})
    write_run(tmp_path, config={"model": {"residual": False, "depth": 1}})
    assert folded(tmp_path, where="model.residual == true").rows[0].settings == {}


def test_runs_that_are_not_finished_are_kept_apart(tmp_path):
    write_sweep(tmp_path)
    runs = collect([tmp_path])
    assert sorted((run.status, run.settings["seed"], run.reason) for run in runs.unfinished) == [
        ("failed", 9, "RuntimeError: out of memory"),
        ("interrupted", 7, ""),
        ("interrupted", 8, ""),
    ]


def test_a_run_that_somebody_writes_is_running(tmp_path):
    from gradlab.config import Config

    config = Config()
    with lock_run(tmp_path, config) as writer:
        writer.start({})
        assert [run.status for run in collect([tmp_path]).unfinished] == ["running"]
    assert [run.status for run in collect([tmp_path]).unfinished] == ["interrupted"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"status": "completed"}', '{"status": "completed", "config": 3}']
)
def test_damaged_summaries_are_kept_apart(tmp_path, text):
    write_run(tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "summary.json").write_text(text)
    runs = collect([tmp_path])
    assert len(runs.finished) == 1
    assert [run.status for run in runs.unfinished] == ["unreadable"]
    assert "summary.json" in runs.unfinished[0].reason


def test_every_run_counts_once(tmp_path):
    folder = write_run(tmp_path / "a")
    assert len(collect([tmp_path, tmp_path / "a", folder]).finished) == 1
    write_run(tmp_path / "b")
    runs = collect([tmp_path])
    assert (len(runs.finished), [path.parent.name for path in runs.copies]) == (1, ["b"])


def test_a_folder_that_claims_the_id_of_another_run_does_not_take_its_place(tmp_path):
    """Someone else's folder, which is read first."""
    good = write_run(tmp_path / "b")
    foreign = write_run(tmp_path / "a", config={"seed": 7, "model": {"depth": 3}})
    file = foreign / "summary.json"
    claimed = json.loads((good / "summary.json").read_text())["id"]
    file.write_text(json.dumps({**json.loads(file.read_text()), "id": claimed}))
    runs = collect([tmp_path])
    assert ([run.path for run in runs.finished], runs.copies) == ([foreign, good], [])


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown"])
def test_a_folder_that_claims_to_be_a_run_that_gradlab_has_written_is_named(tmp_path, form):
    """The very config of a good run, in a folder that is read first."""
    good = write_run(tmp_path / "b")
    marker.start(good, good.name.rpartition("-")[2], [])
    foreign = write_run(tmp_path / "a", test_accuracy=0.1)
    foreign = foreign.rename(tmp_path / "a" / "made-up")
    again = write_run(tmp_path / "c", step_ms=11.0)
    runs = collect([tmp_path])
    assert [run.path for run in runs.finished] == [good]
    assert sorted(runs.copies) == [foreign, again]
    assert runs.contradicting == [foreign]
    ended = gradlab("compare", tmp_path, "--format", form)
    orderly(ended, (0,))
    said = ended.out if form == "table" else ended.err
    assert "1 folder says something else of a run that is shown" in said
    assert "0.1" not in ended.out.replace("-0.1", "")


def test_no_folder_and_no_runs(tmp_path):
    with pytest.raises(RunFolderError, match="no folder"):
        collect([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="no runs"):
        collect([tmp_path])


def test_flat():
    config = {"seed": 1, "model": {"activation": {"name": "elu", "alpha": 2.0}, "width": [1, 2]}}
    assert flat(config) == {
        "seed": 1,
        "model.activation": "elu",
        "model.activation.alpha": 2.0,
        "model.width": (1, 2),
    }


def write_normalized(runs):
    for place in ("none", "before", "after"):
        for seed in (0, 1):
            write_run(runs, config={"seed": seed, "model": {"batch_norm": place}}, test_accuracy=len(place) / 10)


def test_batch_norm_can_be_asked_for_in_short(tmp_path):
    write_normalized(tmp_path)
    assert folded(tmp_path).differing == ["model.normalization", "model.normalization.place"]
    before = folded(tmp_path, where="model.batch_norm == 'before'")
    assert [len(row.runs) for row in before.rows] == [2]
    assert len(folded(tmp_path, where="model.normalization == 'batch_norm'").rows) == 2
    assert len(folded(tmp_path, where="model.batch_norm == 'none' or test_accuracy > 0.55").rows) == 2
    grouped = folded(tmp_path, group_by=["model.batch_norm"])
    assert [row.settings for row in grouped.rows] == [
        {"model.batch_norm": word} for word in ("after", "before", "none")
    ]
    ordered = folded(tmp_path, sort=["-model.batch_norm"])
    assert [row.values["model.batch_norm"] for row in ordered.rows] == ["none", "before", "after"]
    assert "model.batch_norm" in column_names(ordered)
    with pytest.raises(UserError, match=r"did you mean 'model\.batch_norm'"):
        folded(tmp_path, where="model.batch_nrm == 'before'")


def test_tags_and_notes_are_no_noise_and_can_be_asked_for(tmp_path):
    for seed, tags in enumerate((["lecture"], ["lecture", "old"], [])):
        write_run(tmp_path, config={"seed": seed, "tags": tags, "notes": f"number {seed}"})
    comparison = folded(tmp_path)
    assert (len(comparison.rows), comparison.folded, comparison.differing) == (1, {"seed": 3}, [])
    assert not {"tags", "notes"} & set(comparison.shared)
    assert len(folded(tmp_path, where="'lecture' in tags").rows[0].runs) == 2
    assert len(folded(tmp_path, where="notes == 'number 2'").rows[0].runs) == 1
    assert len(folded(tmp_path, group_by=["tags"]).rows) == 3


def test_a_watched_model_stands_beside_configured_runs_that_differ_in_a_setting_with_a_shorthand(tmp_path):
    write_run(tmp_path, config={"model": {"batch_norm": "before"}})
    path = write_run(tmp_path, name="watched", config={"seed": 7})
    summary = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps({**summary, "id": "0123456789ab", "config": {"watch": {"every": 1}}}))
    write_run(tmp_path, config={"seed": 3})
    rows = compare(collect([tmp_path])).rows
    assert sorted(row.settings["name"] for row in rows) == ["made-up", "made-up", "watched"]
    assert [row.values.get("model.batch_norm") for row in rows if row.settings["name"] == "watched"] == [None]
