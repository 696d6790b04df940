import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from gradlab.views.comparison import formats
from gradlab.views.comparison.columns import DEFAULT_COLUMNS, DROPPED_FIRST, DROPPED_NEXT, MEASURE_COLUMNS
from gradlab.views.comparison.comparison import compare
from gradlab.views.comparison.runs import collect
from gradlab.views.comparison.table import print_comparison
from gradlab.views.progress import BLOCKS
from tests.views.comparison.folders import write_run, write_sweep

GOLDEN = Path(__file__).parents[2] / "golden" / "views"


def printed(folder, width=80, columns=(), **options):
    runs = collect([folder])
    console = Console(file=io.StringIO(), width=width)
    print_comparison(compare(runs, **options), runs, console, columns)
    text = console.file.getvalue().replace(str(folder), "RUNS")
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_comparison_is_the_golden_text(tmp_path, width):
    """To accept a change that you have read: BLESS=1 pytest tests/views"""
    write_sweep(tmp_path)
    text, file = printed(tmp_path, width), GOLDEN / f"comparison-{width}.txt"
    if os.environ.get("BLESS"):
        file.write_text(text)
    assert text == file.read_text()
    assert max(map(len, text.partition("not compared")[0].splitlines())) <= width


def means_in_numpy(folder):
    """(depth, activation) ─► measure ─► mean, half-width; straight from the files."""
    groups = {}
    for file in folder.glob("*/summary.json"):
        summary = json.loads(file.read_text())
        if summary["status"] in ("completed", "diverged"):
            model = summary["config"]["model"]
            groups.setdefault((str(model["depth"]), model["activation"]), []).append(summary)
    means = {}
    for key, summaries in groups.items():
        for name in MEASURE_COLUMNS:
            values = np.array([summary[name] for summary in summaries if summary[name] is not None], dtype=float)
            half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            means.setdefault(key, {})[name] = values.mean(), half
    return means


@pytest.mark.parametrize("width", [80, 160])
def test_each_printed_mean_and_interval_is_that_of_the_run_folders(tmp_path, width):
    write_sweep(tmp_path)
    text = printed(tmp_path, width)
    left_out = set(re.findall(r"\w+", text.partition("no room for:")[2].partition("(")[0]))
    names = [name for name in DEFAULT_COLUMNS if name in MEASURE_COLUMNS and name not in left_out]
    assert left_out <= {*DROPPED_FIRST, *DROPPED_NEXT}
    expected = means_in_numpy(tmp_path)
    lines = text.splitlines()
    checked = 0
    for index, line in enumerate(lines):
        found = re.match(r" +(\d+) +(relu|sigmoid) +5 (.*)", line)
        if not found:
            continue
        numbers = re.findall(r"[+-]?\d+\.?\d*(?:e-?\d+)?(?=[ %*])", re.sub(r" ±\S+", "", found[3]))[: len(names)]
        halves = re.findall(r"±([\d.]+)", line if "±" in line else lines[index + 1])
        assert len(numbers) == len(halves) == len(names)
        for name, shown, shown_half in zip(names, numbers, halves, strict=True):
            mean, half = (value * MEASURE_COLUMNS[name].scale for value in expected[found[1], found[2]][name])
            decimals = len(shown.partition(".")[2])
            tolerance = 0.500001 * 10**-decimals
            assert float(shown) == pytest.approx(mean, abs=tolerance), name
            assert float(shown_half) == pytest.approx(half, abs=tolerance), name
            checked += 1
    assert checked == 4 * len(names)


def test_what_is_missing_in_some_runs_is_starred(tmp_path):
    write_sweep(tmp_path)
    text = printed(tmp_path, 200)
    [row] = [line for line in text.splitlines() if re.match(r" +20 relu", line)]
    assert row.count("*") == 3  # accuracy, loss, and the slope at the end
    assert "* not all n runs have it" in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 250])
def test_what_has_no_room_is_named(tmp_path, width):
    write_sweep(tmp_path)
    text = printed(tmp_path, width)
    joined = " ".join(text.split())
    shown = {"step_ms": "ms per", "dead_fraction": " dead ", "saturated_fraction": "satu-"}
    for name, header in shown.items():
        assert (header in text) != (name in joined.partition("no room for:")[2])


@pytest.mark.parametrize("width", [34, 40, 60, 80, 120])
def test_the_verdict_and_the_decades_per_layer_always_stay_and_settings_are_told(tmp_path, width):
    write_sweep(tmp_path)
    write_run(tmp_path, verdict="unregistered-parameters", config={"model": {"depth": 7, "activation": "leaky_relu"}})
    text = printed(tmp_path, width)
    assert max(map(len, text.partition("not compared")[0].splitlines())) <= width
    assert re.search(r"decades per layer\s", text)
    for word in ("verdict", "vanishing-", "gradient", "4 healthy", "1 diverged", "unregistered-"):
        assert word in text
    assert not {"verdict", "decades_per_layer_start", "decades_per_layer_end"} & set(re.findall(r"\w+", left_out(text)))
    if width <= 40:
        assert re.search(r"^2 model.depth=5\s+model.activation=sigmoid", text, re.MULTILINE)
        assert re.search(r"^2 .*-0.595 +-0.590 vanishing-", text, re.MULTILINE)
    elif width >= 80:
        assert "#" not in text


def left_out(text):
    return text.partition("no room for:")[2].partition("(")[0]


def test_what_all_rows_share_is_told_below_where_it_is_not_the_default(tmp_path):
    write_sweep(tmp_path)
    assert "all have" not in printed(tmp_path)
    for depth in (3, 4):
        config = {"model": {"depth": depth, "activation": {"name": "leaky_relu", "negative_slope": 0.3}}, "seed": 3}
        write_run(tmp_path / "more", config=config)
    text = printed(tmp_path / "more")
    shared = "all have seed=3 model.activation=leaky_relu model.activation.negative_slope=0.3"
    assert shared in " ".join(text.split())
    assert text.index("all have") > text.index("verdict")


def test_profiles_share_one_scale(tmp_path):
    write_run(tmp_path, config={"model": {"depth": 2}}, log10_delta_end=[-12.0, 0.0], log10_delta_start=[-1.0, -1.0])
    write_run(tmp_path, config={"model": {"depth": 3}}, log10_delta_end=[0.0, 0.0, 0.0], log10_delta_start=[0.0] * 3)
    write_run(tmp_path, config={"model": {"depth": 4}}, log10_delta_end=[None] * 4, log10_delta_start=[0.0] * 4)
    text = printed(tmp_path, columns=["model.depth", "delta_end"])
    drawn = [line.split()[1] for line in text.splitlines() if re.match(r" +\d ", line)]
    assert drawn[0][0] == BLOCKS[0]
    assert drawn[0][-1] == BLOCKS[-1]
    assert drawn[1] == BLOCKS[-1] * 10
    assert drawn[2] == "·" * 10
    assert "▁ 1e-12 to █ 1e+00" in text


def test_columns_that_were_asked_for_all_stay(tmp_path):
    write_sweep(tmp_path)
    text = printed(
        tmp_path, 40, columns=["model.depth", "test_loss", "verdict", "seconds", "delta_start", "model.width"]
    )
    assert "no room" not in text
    assert re.search(r"5 +0.515 +healthy +2.00 .* 100", text)


def test_unfinished_runs_are_listed(tmp_path):
    write_sweep(tmp_path)
    text = printed(tmp_path)
    assert "not compared: 1 failed, 2 interrupted" in text
    assert re.search(r"failed +RUNS/made-up-\w+ .*seed=9  RuntimeError: out of memory", text)
    for seed in range(30):
        write_run(tmp_path / "more", config={"seed": 100 + seed}, status="failed")
    assert "and 13 more" in printed(tmp_path)


def test_nothing_finished_yet(tmp_path):
    write_run(tmp_path, status="interrupted")
    text = printed(tmp_path)
    assert "no run is finished yet" in text
    assert "not compared: 1 interrupted" in text


def test_one_run(tmp_path):
    write_run(tmp_path)
    text = printed(tmp_path, 120)
    assert text.startswith("1 run in 1 configuration\n")
    assert "±" not in text


def test_names_are_text_and_no_markup(tmp_path):
    write_run(tmp_path, verdict="[bold]odd")
    assert "[bold]odd" in printed(tmp_path)


def test_csv_has_all_digits(tmp_path):
    write_sweep(tmp_path)
    rows = list(csv.DictReader(io.StringIO(formats.comma_separated(compare(collect([tmp_path]))))))
    expected = means_in_numpy(tmp_path)
    assert len(rows) == 4
    for row in rows:
        means = expected[row["model.depth"], row["model.activation"]]
        for name, (mean, half) in means.items():
            assert float(row[name]) == pytest.approx(mean, rel=1e-12)
            assert float(row[f"{name}_interval"]) == pytest.approx(half, rel=1e-9, abs=1e-15)
    assert [row["test_loss_n"] for row in rows] == ["5", "5", "4", "5"]
    assert "train_loss_n" not in rows[0]


def test_csv_of_some_columns(tmp_path):
    write_run(tmp_path)
    text = formats.comma_separated(compare(collect([tmp_path])), ["name", "model.residual", "test_loss", "delta_end"])
    assert text.splitlines() == [
        "name,model.residual,test_loss,test_loss_interval,delta_end",
        next(line for line in text.splitlines() if line.startswith("made-up,false,0.3,,")),
    ]


def test_json_is_strict_and_whole(tmp_path):
    write_sweep(tmp_path)
    runs = collect([tmp_path])
    data = json.loads(json.dumps(formats.as_json(compare(runs), runs), allow_nan=False))
    assert {run["status"] for run in data["not_compared"]} == {"failed", "interrupted"}
    assert data["shared"]["train.optimizer"] == "sgd"
    assert [row["n"] for row in data["rows"]] == [5, 5, 5, 5]
    row = data["rows"][2]
    assert row["verdicts"] == {"healthy": 4, "diverged": 1}
    assert row["means"]["test_loss"]["n"] == 4
    assert len(row["log10_delta_start"]) == 21
    assert sum(len(row["runs"]) for row in data["rows"]) == 20


def test_markdown(tmp_path):
    write_sweep(tmp_path)
    lines = formats.markdown(compare(collect([tmp_path]))).splitlines()
    assert len(lines) == 6
    assert len({line.count("|") for line in lines}) == 1
    assert len(set(map(len, lines))) == 1
    assert re.match(r"\| +model.depth \| model.activation \| +n \| +test_accuracy \|", lines[0])
    assert re.fullmatch(r"\|( -*[-:] \|)+", lines[1])
