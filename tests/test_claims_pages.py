"""Pages of claims, made of sweep files and of numbers that were written down; one tiny sweep is run."""

import json
import re

import pytest

from gradlab import datasets
from gradlab.errors import ConfigError, DatasetError, UserError
from scripts import claims, claims_page, docs
from scripts.claims import fingerprint, load, measure, measure_and_keep, measure_reduced, results_file
from scripts.claims_page import Stale, claims_table, entries, page_path

PAGE = "chapter11"
SWEEP = """\
base:
  model: {depth: 2, width: 8}
  data: wine
  train: {steps: 5}
  record: {histograms: 0, dead_units: 0}
grid:
  model.activation: [relu, tanh]
  seed: [0, 1]
claim:
  title: "He: σ² = 2/fan_in | ReLU"
  sentence: >
    Use He
    initialization.
  expect:
    - {says: it does not diverge, of: {model.activation: [relu, tanh]}, measure: diverged, above: -1, below: 1}
    - {says: relu learns, role: condition, of: {model.activation: relu}, measure: test_accuracy, above: -1}
  note: It is so.
  picture:
    - {draw: points, measure: diverged, across: model.activation, title: diverged}
  reduced: {seed: [0, 1], train.steps: [2]}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty repository with one sweep that makes a claim."""
    for module in (claims, claims_page, docs):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "configs" / PAGE).mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    write(tmp_path)
    return tmp_path


def write(root, text=SWEEP, name="04_he"):
    path = root / "configs" / PAGE / f"{name}.yaml"
    path.write_text(text)
    return path


def expectation(**changes):
    return {
        "says": "it does not diverge",
        "role": "claim",
        "measure": "diverged; model.activation=relu|tanh",
        "expected": "−1 … 1",
        "outcome": "holds",
        "runs": 2,
        "seeds": 2,
        "configurations": 2,
        "settings": {"model.activation": "relu"},
        "measured": "0.000 ± 0.000",
        **changes,
    }


def keep(root, name="04_he", *, stale=False, **changes):
    """Write down numbers for a sweep as `scripts.claims` does."""
    file = results_file(PAGE)
    kept = json.loads(file.read_text()) if file.exists() else {}
    of = fingerprint(load(root / "configs" / PAGE / f"{name}.yaml"))
    kept[name] = {
        "fingerprint": "0" * 12 if stale else of,
        "runs": 4,
        "run_seconds": 90.0,
        "wall_seconds": 60.0,
        "verdict": "confirmed",
        "conditions": [],
        "expectations": [expectation()],
        **changes,
    }
    kept[name] = {key: value for key, value in kept[name].items() if value is not None}
    file.write_text(json.dumps(kept))


def page():
    return "\n".join(claims_page.claims_page(PAGE))


# ---------------------------------------------------------------------------------------------------------- freshness


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("note: It is so.", "note: It is not so.", True),
        ("initialization.", "initialisation.", True),
        ("title: diverged", "title: who diverged", True),
        ("2/fan_in | ReLU", "2/fan_in", True),
        ("reduced: {seed: [0, 1],", "reduced: {seed: [0, 1, 2],", True),
        ("[relu, tanh]\n  seed", "[tanh, relu]\n  seed", True),
        ("below: 1}", "below: 2}", False),
        ("says: relu learns", "says: relu does learn", False),
        ("role: condition, ", "", False),
        ("of: {model.activation: relu}", "of: {model.activation: tanh}", False),
        ("measure: test_accuracy", "measure: train_accuracy", False),
        ("seed: [0, 1]\nclaim", "seed: [0, 1, 2]\nclaim", False),
        ("width: 8", "width: 9", False),
        ("steps: 5", "steps: 6", False),
    ],
)
def test_a_fingerprint_is_of_the_runs_and_of_what_is_expected(root, before, after, same):
    assert before in SWEEP
    one, other = (fingerprint(load(write(root, text))) for text in (SWEEP, SWEEP.replace(before, after, 1)))
    assert re.fullmatch("[0-9a-f]{12}", one)
    assert (one == other) is same


def test_numbers_that_are_not_of_todays_sweep_are_stale(root):
    with pytest.raises(Stale, match=r"configs/chapter11/04_he\.yaml is not what was measured: run python -m scripts"):
        entries(PAGE)
    keep(root)
    assert list(entries(PAGE)) == ["04_he"]
    write(root, SWEEP.replace("below: 1}", "below: 2}"))
    with pytest.raises(Stale, match="is not what was measured"):
        entries(PAGE)


def test_a_sweep_without_a_claim_has_no_place_on_a_page(root):
    write(root, SWEEP[: SWEEP.index("claim:")])
    with pytest.raises(Stale, match="makes no claim"):
        entries(PAGE)


def test_scripts_docs_reports_stale_pages_and_writes_fresh_ones(root, monkeypatch, capsys):
    readme = root / "README.md"
    readme.write_text("before\n<!-- claims -->\nold\n<!-- /claims -->\nafter\n")
    page_file = page_path(PAGE)
    generated = {page_file: lambda: docs.page(PAGE), readme: docs.readme}
    monkeypatch.setattr(docs, "GENERATED", generated)
    monkeypatch.setattr("sys.argv", ["docs"])
    assert docs.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert said == ["configs/chapter11/04_he.yaml is not what was measured: run python -m scripts.claims chapter11"]
    keep(root)
    assert docs.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{name} is stale: run python -m scripts.docs --fix" for name in ("docs/chapter11.md", "README.md")]
    monkeypatch.setattr("sys.argv", ["docs", "--fix"])
    assert docs.main() == 0
    monkeypatch.setattr("sys.argv", ["docs"])
    assert docs.main() == 0
    lines = readme.read_text().splitlines()
    assert (lines[:2], lines[-2:]) == (["before", "<!-- claims -->"], ["<!-- /claims -->", "after"])
    assert "](docs/chapter11.md#4-he" in lines[4]
    assert page_file.read_text().startswith("<!-- Generated by")
    write(root, SWEEP.replace("note: It is so.", "note: It was so."))
    assert docs.main() == 1
    assert capsys.readouterr().out == "docs/chapter11.md is stale: run python -m scripts.docs --fix\n"


def test_a_readme_without_the_marks_is_left_alone(root, monkeypatch, capsys):
    keep(root)
    (root / "README.md").write_text("no marks\n")
    monkeypatch.setattr(docs, "GENERATED", {root / "README.md": docs.readme})
    monkeypatch.setattr("sys.argv", ["docs", "--fix"])
    assert docs.main() == 1
    assert "no place for the table of claims" in capsys.readouterr().out
    assert (root / "README.md").read_text() == "no marks\n"


# --------------------------------------------------------------------------------------------------- lines of an entry


def cells(line):
    """Of a Markdown table's row, as they are read."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_section_says_what_was_claimed_expected_and_measured(root):
    keep(
        root, expectations=[expectation(), expectation(role="condition", runs=1, configurations=1, outcome="undecided")]
    )
    text = page()
    assert "\n> Use He initialization.\n" in text
    assert "\n**Confirmed**.\n" in text
    assert "\n    gradlab sweep configs/chapter11/04_he.yaml\n" in text
    assert "](images/chapter11/04_he.png)" in text
    assert "\nIt is so.\n" in text
    rows = [cells(line) for line in text.splitlines() if line.startswith("|") and "diverge<br>" in line]
    what = "it does not diverge<br><sub>diverged; model.activation=relu|tanh</sub>"
    assert rows == [
        [what, "−1 … 1", "0.000 ± 0.000, 2 seeds (model.activation=relu)", "holds"],
        [f"*limit:* {what}", "−1 … 1", "0.000 ± 0.000, 1 of 2 seeds", "**undecided**"],
    ]


def test_every_row_of_every_table_has_the_cells_of_its_head(root):
    keep(root)
    lines = [line for line in page().splitlines() if line.startswith("|")]
    heads = [index for index, line in enumerate(lines) if set(line) <= set("|-")]
    assert len(heads) == 2
    for index, line in enumerate(lines):
        head = max((at for at in heads if at - 1 <= index), default=heads[0])
        assert len(cells(line)) == lines[head].count("|") - 1, line


def test_conditions_are_said_with_the_verdict(root):
    keep(root, verdict="confirmed with a condition", conditions=["it is warm", "it is dry"])
    assert "\n**Confirmed with a condition**: it is warm; it is dry.\n" in page()
    keep(root, verdict="partly confirmed", conditions=["it is warm"], failing=["it is dry"])
    assert "\n**Partly confirmed**; what fails: it is dry.\n" in page()
    keep(root, verdict="not what we measured", conditions=["it is warm"])
    assert "\n**Not what we measured**.\n" in page()


@pytest.mark.parametrize(
    ("name", "title", "anchor"),
    [
        ("04_he", "He: σ² = 2/fan_in for ReLU", "4-he-σ--2fan_in-for-relu"),
        ("12_x", "Batch-Norm (again), ‖ΔW‖ & “more”", "12-batch-norm-again-δw--more"),
        ("fig6", "Figure 6", "figure-6"),
        ("00_zero", "Zéro", "zéro"),
    ],
)
def test_anchors_are_those_that_github_makes(root, name, title, anchor):
    (root / "configs" / PAGE / "04_he.yaml").unlink()
    write(root, SWEEP.replace("He: σ² = 2/fan_in | ReLU", title), name)
    keep(root, name)
    [row] = list(claims_table(PAGE, "#"))[2:]
    heading = next(line for line in page().splitlines() if line.startswith("## "))
    assert heading.endswith(title)
    assert f"](#{anchor})" in row


def test_bars_in_a_title_do_not_end_its_cell(root):
    keep(root)
    [row] = list(claims_table(PAGE, "#"))[2:]
    assert cells(row) == ["4", "[He: σ² = 2/fan_in | ReLU](#4-he-σ--2fan_in--relu)", "confirmed"]


def test_totals_are_sums(root):
    write(root, name="05_more")
    keep(root)
    keep(root, "05_more", runs=8, run_seconds=210.0, wall_seconds=120.0)
    assert "\n12 runs, 5 minutes of one core's time. All sweeps, one after the other, took 3 minutes on two" in page()
    assert "\n4 runs, 60 s on two cores." in page()
    keep(root, "05_more", runs=8, run_seconds=210.0, wall_seconds=None)
    assert "\n12 runs, 5 minutes of one core's time.\n" in page()
    assert "\n8 runs, 4 minutes of one core's time." in page()


def test_what_could_not_be_run_says_why(root):
    gone = {"verdict": None, "conditions": None, "expectations": None, "run_seconds": None, "wall_seconds": None}
    keep(root, **gone, not_run="the data are not here.")
    text = page()
    assert "\n**Not run**.\n" in text
    assert "\nIt was not run for this page: the data are not here.\n" in text
    assert "![" not in text
    assert cells(list(claims_table(PAGE, "#"))[2])[2] == "not run"
    assert "\n0 runs, 0 s of one core's time.\n" in text


# -------------------------------------------------------------------------------------------------------- measuring


def test_a_sweep_is_measured_and_its_numbers_make_the_page(root, capsys):
    source = root / "configs" / PAGE / "04_he.yaml"
    measure_and_keep(PAGE, source, root / "runs", 1)
    assert "verdict: confirmed with a condition: relu learns" in capsys.readouterr().out
    assert (root / "docs" / "images" / PAGE / "04_he.png").read_bytes().startswith(b"\x89PNG")
    first = json.loads(results_file(PAGE).read_text())["04_he"]
    assert (first["runs"], first["verdict"], first["conditions"]) == (4, "confirmed with a condition", ["relu learns"])
    assert "**Confirmed with a condition**: relu learns." in page()
    file = results_file(PAGE)
    file.write_text(json.dumps({**json.loads(file.read_text()), "gone": {}}))
    measure_and_keep(PAGE, source, root / "runs", 1)
    again = json.loads(results_file(PAGE).read_text())
    assert list(again) == ["04_he"], "what is no longer there is dropped"
    assert again["04_he"]["wall_seconds"] == first["wall_seconds"], "of when the runs were made"


def test_a_sweep_whose_data_are_out_of_reach_is_not_run(root, monkeypatch):
    source = root / "configs" / PAGE / "04_he.yaml"
    source.write_text(source.read_text().replace("claim:", "  data.name: [openml]\n  data.dataset: [x]\nclaim:", 1))
    monkeypatch.setattr(datasets, "load_for", lambda *_: (_ for _ in ()).throw(DatasetError("there is no such data")))
    assert measure(source, root / "runs", 1, root / "x.png") == {
        "fingerprint": fingerprint(load(source)), "runs": 4, "not_run": "there is no such data",
    }  # fmt: skip


def test_the_reduced_sweep_is_small_and_judged(root, tmp_path):
    source = root / "configs" / PAGE / "04_he.yaml"
    verdict, observations = measure_reduced(source, tmp_path / "runs")
    assert verdict.confirmed
    assert {one.settings["train.steps"] for one in observations} == {2}
    assert len(observations) == 4


@pytest.mark.parametrize(
    ("axes", "values"),
    [
        ("{model.width: [[8, 4], [4, 8]]}", {(8, 4), (4, 8)}),
        ("{model.width: 4}", {4}),
        ('{model.width: "range(3, 5)"}', {3, 4}),
        ("{model.activation: [relu, {name: leaky_relu, negative_slope: 0.3}]}", {8}),
    ],
)
def test_reduced_axes_are_as_in_a_grid(root, axes, values):
    text = SWEEP.replace("{seed: [0, 1], train.steps: [2]}", axes).replace("of: {model.activation: [relu, tanh]}, ", "")
    text = text.replace("title: diverged}", "title: diverged, lines: model.width}")
    plan = load(write(root, text), reduced=True)
    assert plan.claim
    widths = [point.config.model.width for point in plan.points]
    assert {tuple(width) if isinstance(width, list) else width for width in widths} == values


def test_reduced_axes_that_leave_out_what_the_claim_speaks_of(root, tmp_path):
    source = write(root, SWEEP.replace("{seed: [0, 1], train.steps: [2]}", "{model.activation: [tanh]}"))
    with pytest.raises(UserError, match=r"leaves out what the claim speaks of: claim\.expect\.1\.of"):
        measure_reduced(source, tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        load(write(root, SWEEP.replace("train.steps: [2]", "train.stesp: [2]")), reduced=True)
