import io
import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from gradlab.config import SCHEMA
from gradlab.tables import INSPECTED, Finding, Source
from gradlab.views.summary import BAR, bar, print_summary
from tests.views.synthetic import INF, NAN, ODD_RUNS, changed, make_run

GOLDEN = Path(__file__).parents[1] / "golden" / "views"
FINDINGS = [
    Finding(
        "vanishing-gradient",
        "error",
        "the gradient signal δ shrinks toward the input, ÷ 10 per layer (1 decades, R² 1.00): 19.0 decades, from the "
        "first recorded step to the last [not markup]",
        remedies=("model.initializer=he_normal model.activation=relu", "model.batch_norm=before"),
    ),
    Finding("updates-too-small", "warning", "one step moves the weights by 5e-10 of their size"),
]
RUNS = {
    "vanishing": {"depth": 20, "steps": range(5), "findings": FINDINGS, "verdict": "vanishing-gradient"},
    "diverged": {**ODD_RUNS["diverged"], "verdict": "diverged"},
}


def printed(run, width=80, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    print_summary(run, console)
    return console.file.getvalue()


def layer_rows(text):
    """The table's rows, split at blanks: layer, δ at the start, →, δ at the end, …"""
    return [line.split() for line in text.splitlines() if "→" in line and re.match(r" +(\d+|out) ", line)]


@pytest.mark.parametrize("width", [40, 80, 120, 160])
@pytest.mark.parametrize("name", RUNS)
def test_summary_is_the_golden_text(name, width):
    """To accept a change that you have read: BLESS=1 pytest tests/views"""
    text, file = printed(make_run(**RUNS[name]), width), GOLDEN / f"summary-{name}-{width}.txt"
    if os.environ.get("BLESS"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("width", [30, 40, 50, 60, 80])
def test_columns_that_do_not_fit_are_left_out_whole_and_the_legend_is_of_those_that_are_there(width):
    text = printed(changed(make_run(depth=12), findings=[]), width)
    head, *rows = text.splitlines()[1:15]
    assert max(map(len, text.splitlines()[:17])) <= width
    assert head.startswith("layer")
    assert len(rows) == 13
    assert all(re.search("[▏▎▍▌▋▊▉█]", row) for row in rows), "the bar of δ stays"
    assert "…" not in text
    for column, word in {"sat.": "sat.:", "log ΔW/W": "ΔW/W:", "log δ": "bar:"}.items():
        assert (column in head) == (word in " ".join(text.split()))


def test_names_of_watched_modules_are_shortened_and_not_cut_off():
    layers = make_run(depth=3).layers.with_columns(module=pl.concat_str(pl.lit("model.encoder.blocks.7."), "module"))
    text = printed(changed(make_run(depth=3), config=None, layers=layers, findings=[]), 40)
    rows = text.splitlines()[2:6]
    assert all(re.match(r"mo.*…", row) for row in rows)
    assert max(map(len, rows)) <= 40


def test_tags_and_notes_are_shown_and_do_no_harm():
    config = {"name": "x", "tags": ["lecture", "first"], "notes": "a long\x1b[31m story\n" * 9}
    text = printed(changed(make_run(), summary={"schema": SCHEMA, "id": "0123456789ab", "config": config}))
    assert text.splitlines()[1] == "tags: lecture, first"
    assert r"a long\x1b[31m story a long" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "tags" not in printed(make_run())


@pytest.mark.parametrize("width", [80, 120])
def test_summary_shows_the_numbers_of_the_tables(width):
    run = make_run(**RUNS["vanishing"])
    rows = layer_rows(printed(run, width))
    assert len(rows) == 21
    for row in rows:
        layer = 20 if row[0] == "out" else int(row[0])
        of_layer = {kind: run.layers.filter(layer=layer, kind=kind) for kind in ("weight", "output", "activation")}
        weight = of_layer["output"] if layer == 20 else of_layer["weight"]
        start, end = weight["delta_rms"].to_numpy()[[0, -1]]
        np.testing.assert_allclose([float(row[1]), float(row[3])], [start, end], rtol=0.05)
        numbers = row[4:]
        if "█" in numbers[0] or numbers[0] in "▏▎▍▌▋▊▉":
            numbers = numbers[1:]
        np.testing.assert_allclose(float(numbers[0]), weight["weight_gradient_norm"].to_numpy()[-1], rtol=0.05)
        np.testing.assert_allclose(float(numbers[-1]), np.log10(weight["update_ratio"].to_numpy()[-1]), atol=0.051)
        if layer < 20:
            last = of_layer["activation"].row(-1, named=True)
            assert [float(numbers[1]), float(numbers[3])] == [last["activation_mean"], last["activation_std"]]
            shares = [float(number.rstrip("%")) / 100 for number in numbers[4:6]]
            np.testing.assert_allclose(shares, [last["zero_fraction"], last["saturated_fraction"]], atol=0.005)


def test_totals_are_those_of_the_tables():
    run = make_run(**RUNS["vanishing"])
    text = printed(run)
    recording, steps = run.steps["record_seconds"].to_numpy().sum(), run.steps["step_seconds"].to_numpy().sum()
    assert f"{run.steps.height} steps" in text
    assert f"loss {run.steps['loss'][0]:.2f} → {run.steps['loss'][-1]:.3f}" in text
    assert "test accuracy 62%" in text
    assert "δ ÷ 10 per layer (-1.00 decades)" in text
    assert f"recording made the steps {steps / (steps - recording):.1f} times as long" in text
    assert "1.2 s" in text


def test_remedies_can_be_pasted_and_markup_is_text():
    lines = printed(make_run(**RUNS["vanishing"])).splitlines()
    assert "  try  model.initializer=he_normal model.activation=relu" in lines
    assert "not markup]" in printed(make_run(**RUNS["vanishing"]))
    assert lines[-1] == "runs/made-up-0123456789ab"


def test_a_long_remedy_and_a_long_path_are_not_broken():
    remedy = "model.activation=" + "x" * 100
    run = make_run(findings=[Finding("a-rule", "info", "a message", remedies=(remedy,))])
    run = changed(run, path=Path("runs") / ("y" * 200))
    lines = printed(run).splitlines()
    assert f"  try  {remedy}" in lines
    assert lines[-1] == str(run.path)


@pytest.mark.parametrize("options", ODD_RUNS.values(), ids=ODD_RUNS)
def test_odd_runs_have_a_summary_that_fits(options):
    run = make_run(**options)
    text = printed(run)
    assert max(map(len, text.splitlines())) <= 80
    assert len(layer_rows(text)) == run.layers["layer"].n_unique()
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("depth", [1, 100])
def test_extreme_numbers_fit_in_80_columns(depth):
    run = make_run(
        depth,
        delta=lambda s, layer, d: 1.2345e-134 if s else 5.4321e-300,
        activation=lambda s, layer: (-1.2345e-134, 9.8765e-234),
    )
    text = printed(run)
    assert max(map(len, text.splitlines())) <= 80
    assert "5e-300 → 1e-134" in text
    assert "-1e-134 ± 1e-233" in text
    assert "…" not in text


def test_long_numbers_fit_in_80_columns():
    text = printed(
        make_run(100, delta=lambda s, layer, d: 1.2e-34, activation=lambda s, layer: (-1.2e-34, 1.2e-34)),
    )
    assert max(map(len, text.splitlines())) <= 80
    assert "1.2e-34 → 1.2e-34" in text
    assert "-1.2e-34 ± 1.2e-34" in text
    assert "…" not in text


def test_a_terminal_gets_colour():
    assert "\x1b[" in printed(make_run(), force_terminal=True)


def test_status_says_where_it_ended():
    assert "diverged at step 2: the loss is not finite" in printed(make_run(**ODD_RUNS["diverged"]))
    assert "interrupted after 3 steps" in printed(make_run(status="interrupted"))
    assert "no step was recorded" in printed(make_run(steps=[]))
    assert "completed" not in printed(make_run())


class Damaged(Source):
    """A folder of which some is missing."""

    def problems(self):
        return ["layers/000003.parquet cannot be read: \x1b[31m" + "x " * 60, *map(str, range(9))]


def test_what_could_not_be_written_or_read_is_said():
    text = printed(changed(make_run(), source=Damaged()))
    assert "what could not be written or read\n  layers/000003.parquet cannot be read: \\x1b[31mx x" in text
    assert "\n  3\n  and 5 more\n" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "could not be written" not in printed(make_run())


def watched(prefix, status="completed"):
    """A run without a config whose modules have long names."""
    run = make_run(depth=3)
    named = run.layers.with_columns(module=pl.lit(prefix) + pl.col("module"))
    return changed(run, layers=named, config=None, status=status, path=Path())


def test_layers_of_watched_models_have_their_names():
    for width, prefix in ((80, ""), (80, "bert.encoder.layer."), (200, "bert.encoder.layer."), (80, "[red]\x1b[31m")):
        lines = printed(watched(prefix), width).splitlines()
        assert max(map(len, lines)) <= width
        assert lines[1].startswith("module")
        cells = [line.split("  ")[0].split()[0] for line in lines[2:6]]
        assert all(cell.endswith(f"{layer}.linear"[-6:]) for layer, cell in enumerate(cells)), cells
        if not prefix or width == 200:
            assert cells == [f"{prefix}{layer}.linear" for layer in range(4)]
        assert "\x1b" not in "".join(lines)


def test_what_was_not_judged_of_a_watched_model_is_said():
    reasons = {
        "stalled-loss": "too few [steps]",
        "rising-loss": "too few [steps]",
        "off-theory": "\x1b[31m" + "x " * 50,
    }
    text = printed(changed(watched(""), not_judged=reasons))
    assert "not judged: stalled-loss, rising-loss (too few [steps]); off-theory (\\x1b[31mx" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "not judged" not in printed(changed(make_run(), not_judged=reasons))


def test_one_pass_has_one_column_of_signals():
    text = printed(watched("", INSPECTED))
    assert "δ RMS  log δ" in " ".join(text.split("module")[1].split("\n")[0].split()).replace("δ RMS log", "δ RMS  log")
    assert "→" not in text.split("loss")[0]
    assert "before any step" in text


def test_a_layer_of_nan_does_not_look_healthy():
    rows = layer_rows(printed(make_run(**ODD_RUNS["diverged"])))
    assert rows[1][-3:-1] == ["nan", "nan"], "zero and saturated share"


def test_bar_grows_with_the_logarithm():
    lengths = [len(bar(10.0**k, -12, 0)) for k in range(-12, 1)]
    assert lengths == sorted(lengths)
    assert bar(1.0, -12, 0) == "█" * BAR
    assert bar(1e-12, -12, 0) == "▏"
    assert bar(0.0, -12, 0) == bar(None, -12, 0) == bar(NAN, -12, 0) == ""
    assert bar(INF, -12, 0) == "!" * BAR
