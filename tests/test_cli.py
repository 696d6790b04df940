"""The command line as a user meets it: exit codes, messages, what is written, and how fast it starts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from gradlab import choices, run_folder
from gradlab.cli import Registry, app, main
from gradlab.config import Config, RecordConfig, TrainConfig
from gradlab.config.files import load_config, starter
from gradlab.views.listing import REGISTRIES
from tests.views.comparison.folders import write_run, write_sweep

GOLDEN = Path(__file__).parent / "golden"
SMALL = """\
model: {depth: 2, width: 8}
data: {name: wine, batch_size: 32}
train: {steps: 5}
"""


def gradlab(*arguments, cwd, **environment):
    """Run the command line in a process of its own, not in a terminal."""
    command = [sys.executable, "-m", "gradlab", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def in_process(tmp_path, monkeypatch, capsys):
    """Run the command line in this process, in an empty directory; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gradlab", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --------------------------------------------------------------------------------------------------------------- runs


def test_a_run_prints_its_summary_and_writes_its_folder(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    done = gradlab("run", "tiny.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout, "redirected output has no colour and no progress bar"
    assert max(map(len, done.stdout.splitlines())) <= 80
    (path,) = run_folder.find_runs(tmp_path / "runs")
    assert path.name in done.stdout
    assert (path / "plots" / "overview.png").stat().st_size > 10_000
    again = gradlab("run", "tiny.yaml", cwd=tmp_path)
    assert f"already done: runs/{path.name}" in again.stdout
    shown = gradlab("show", path, cwd=tmp_path)
    assert shown.stdout.splitlines()[:-1] == again.stdout.splitlines()[1:-1]


def test_json_is_the_summary_and_nothing_else(in_process, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    code, out, err = in_process("run", "tiny.yaml", "--json", "--no-plots")
    assert (code, err) == (0, "")
    assert json.loads(out) == run_folder.read_summary(next(run_folder.find_runs(tmp_path / "runs")))


def test_quiet_prints_nothing(in_process, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    assert in_process("run", "tiny.yaml", "-q", "--no-plots", "--runs", "elsewhere") == (0, "", "")
    assert len(list(run_folder.find_runs(tmp_path / "elsewhere"))) == 1


def test_check_turns_the_verdict_into_an_exit_code(in_process, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    arguments = ("run", "tiny.yaml", "-q", "--no-plots", "--check", "train.steps=60", "train.learning_rate=0.1")
    assert in_process(*arguments)[0] == 0
    broken = (*arguments, "model.depth=15", "model.activation=sigmoid", "model.initializer=glorot_uniform")
    assert in_process(*broken)[0] == 1
    assert in_process(*[word for word in broken if word != "--check"])[0] == 0


def test_check_fails_where_nothing_could_be_judged_and_says_so(in_process, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    code, _, err = in_process("run", "tiny.yaml", "-q", "--no-plots", "--check", "model.depth=1", "train.steps=3")
    assert (code, err) == (1, "not healthy: nothing could be judged\n")
    (path,) = run_folder.find_runs(tmp_path / "runs")
    shown = " ".join(in_process("show", path)[1].split())
    assert "nothing could be judged (vanishing-gradient: one hidden layer" in shown


def test_show_checks_a_run_that_is_there_and_diagnoses_one_that_goes_on(in_process, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    arguments = ("run", "tiny.yaml", "-q", "--no-plots", "train.steps=60", "train.learning_rate=0.1")
    assert in_process(*arguments)[0] == 0
    (path,) = run_folder.find_runs(tmp_path / "runs")
    assert in_process("show", path, "--check")[0] == 0
    assert in_process(*arguments, "--runs", "bad", "model.depth=15", "model.activation=sigmoid")[0] == 0
    (bad,) = run_folder.find_runs(tmp_path / "bad")
    assert [in_process("show", bad, *options)[0] for options in ([], ["--check"])] == [0, 1]
    summary = json.loads((bad / "summary.json").read_text())
    running = {key: summary[key] for key in ("schema", "id", "name", "config")} | {"status": "running"}
    (bad / "summary.json").write_text(json.dumps(running))
    code, out, err = in_process("show", bad, "--check", "--json")
    assert (code, err) == (1, "")
    assert {key: json.loads(out)[key] for key in ("status", "verdict")} == {
        "status": "running",
        "verdict": summary["verdict"],
    }
    assert json.loads(out)["findings"] == summary["findings"]
    for table in ("layers", "steps", "evaluations"):
        for part in (bad / table).iterdir():
            part.unlink()
    code, _, err = in_process("show", bad, "--check")
    assert (code, err) == (1, "not healthy: nothing could be judged\n")


def test_plot_format(in_process, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    assert in_process("run", "tiny.yaml", "-q", "--plot-format", "svg")[0] == 0
    (path,) = run_folder.find_runs(tmp_path / "runs")
    assert {file.suffix for file in (path / "plots").iterdir()} == {".svg"}
    assert in_process("show", path, "--plots")[0] == 0
    assert {file.suffix for file in (path / "plots").iterdir()} == {".svg", ".png"}


def start_long_run(folder, **options):
    """A process that has begun to train, for long."""
    (folder / "long.yaml").write_text(SMALL.replace("steps: 5", "steps: 1000000"))
    process = subprocess.Popen(
        [sys.executable, "-m", "gradlab", "run", "long.yaml", "--no-plots"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((folder / "runs").glob("*/steps/*.parquet")):
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.1)
    return process


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_ctrl_c_and_what_is_like_it_keeps_what_was_recorded_and_exits_130(tmp_path, number):
    process = start_long_run(tmp_path)
    process.send_signal(getattr(signal, number))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "interrupted" in out
    (path,) = run_folder.find_runs(tmp_path / "runs")
    assert run_folder.read_summary(path)["status"] == "interrupted"
    assert len(run_folder.read_tables(path).steps) == run_folder.read_summary(path)["steps"]


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(tmp_path):
    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = start_long_run(tmp_path, preexec_fn=ignore)
    for number in (signal.SIGHUP, signal.SIGINT):
        process.send_signal(number)
        time.sleep(0.5)
    (path,) = run_folder.find_runs(tmp_path / "runs")
    assert process.poll() is None
    assert run_folder.read_summary(path)["status"] == "running"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 130
    assert run_folder.read_summary(path)["status"] == "interrupted"


# --------------------------------------------------------------------------------------------- terminals and pipes


def process(*arguments, cwd, **options):
    command = [sys.executable, "-m", "gradlab", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, stderr=subprocess.PIPE, check=False, **options)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"COLUMNS": "0"},
        {"COLUMNS": "-3"},
        {"COLUMNS": "wide"},
    ],
    ids=str,
)
def test_terminals_of_other_encodings_and_widths(tmp_path, environment):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    done = process("predict", "tiny.yaml", cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ, **environment})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"tiny" in done.stdout
    assert b"rms" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [("schema",), ("predict", "tiny.yaml"), ("list", "rules"), ("--help",)], ids=str)
def test_output_that_cannot_be_written_is_one_message(tmp_path, arguments):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = process(*arguments, cwd=tmp_path, stdout=full)
    assert (done.returncode, done.stderr) == (1, b"Error: cannot write the output: No space left on device\n")


def test_a_run_is_kept_whatever_becomes_of_its_output(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    done = subprocess.run(
        [sys.executable, "-m", "gradlab", "run", "tiny.yaml", "--no-plots"],
        cwd=tmp_path, stderr=subprocess.PIPE, check=False, preexec_fn=lambda: os.close(1),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    (path,) = run_folder.find_runs(tmp_path / "runs")
    assert run_folder.read_summary(path)["status"] == "completed"


# ---------------------------------------------------------------------------------------------------------- bad input

BAD = {
    "unknown key": ("modle: {depth: 3}", "bad.yaml:1: modle: unknown key; did you mean 'model'?"),
    "wrong type": ("model: {depth: ten}", "bad.yaml:1: model.depth: must be a whole number, not 'ten'"),
    "depth 0": ("seed: 1\nmodel:\n  depth: 0", "bad.yaml:3: model.depth: must be at least 1, not 0"),
    "widths": ("model: {depth: 3, width: [1, 2]}", "bad.yaml:1: model.width: lists 2 layers, but depth is 3"),
    "steps and epochs": ("train: {steps: 1, epochs: 1}", "bad.yaml:1: train.epochs: steps (1) and epochs (1) exclude"),
    "learning rate": ("train: {learning_rate: -1}", "bad.yaml:1: train.learning_rate: must be greater than 0, not -1"),
    "broken YAML": ("model: [", "bad.yaml:1: not YAML"),
    "empty file": ("", "bad.yaml: the file is empty"),
    "duplicate key": ("seed: 1\nseed: 2", "bad.yaml:2: seed: given twice; first in line 1"),
    "unreadable dataset": ("data: {name: file, path: nowhere.csv}", "nowhere.csv"),
    "no dataset": ("data: {name: file, path: bad.yaml}", "ends in '.yaml'; a data file is one of .npz, .csv, .parquet"),
    "no such device": ("device: cuda:99", "device: cuda:99 is not on this machine"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_and_writes_nothing(in_process, tmp_path, case):
    text, message = BAD[case]
    (tmp_path / "bad.yaml").write_text(text)
    code, out, err = in_process("run", "bad.yaml")
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert files(tmp_path) == ["bad.yaml"]
    assert not (tmp_path / "runs").exists()


def test_a_missing_file_and_a_run_that_is_none(in_process, tmp_path):
    code, _, err = in_process("run", "nowhere.yaml")
    assert (code, err.splitlines()[0]) == (2, "Error: nowhere.yaml: there is no such file")
    assert in_process("show", "nowhere")[0] == 2
    assert in_process("show", tmp_path)[0] == 2


def test_a_directory_that_cannot_be_written(in_process, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SMALL)
    (tmp_path / "taken").write_text("")
    code, _, err = in_process("run", "tiny.yaml", "--runs", "taken")
    assert code == 2
    assert "cannot write" in err
    assert files(tmp_path) == ["taken", "tiny.yaml"]


def test_ctrl_c_outside_of_a_run_exits_130(in_process, monkeypatch):
    def interrupt(registry):
        raise KeyboardInterrupt

    monkeypatch.setattr("gradlab.views.listing.print_listing", interrupt)
    assert in_process("list", "datasets") == (130, "", "")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell with pipes")
def test_a_reader_that_leaves_is_no_error(tmp_path):
    pipe = f"'{sys.executable}' -m gradlab schema | true"
    done = subprocess.run(["sh", "-c", pipe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_wrong_options_exit_with_2(in_process):
    assert in_process("run", "--nonsense", "x.yaml")[0] == 2
    assert in_process("list", "activation")[0] == 2
    assert in_process("nonsense")[0] == 2


# --------------------------------------------------------------------------------------------------- the small commands


def test_the_lists_are_those_that_there_are():
    assert list(get_args(Registry)) == [*REGISTRIES, "rules"]


@pytest.mark.parametrize(
    ("what", "registry"),
    [
        ("activations", choices.ACTIVATIONS),
        ("initializers", choices.INITIALIZERS),
        ("normalizations", choices.NORMALIZATIONS),
        ("models", choices.MODELS),
        ("datasets", choices.DATASETS),
        ("optimizers", choices.OPTIMIZERS),
        ("schedules", choices.SCHEDULES),
    ],
)
def test_lists_name_everything_and_fit_80_columns(in_process, what, registry):
    code, out, _ = in_process("list", what)
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    names = [line.split()[0].rstrip(",") for line in lines if line[0] != " "]
    assert [name for name in names if name != "every"] == list(registry)


def test_the_schema_is_json(in_process):
    schema = json.loads(in_process("schema")[1])
    keys = ["name", "tags", "notes", "seed", "device", "dtype", "model", "data", "train", "record"]
    assert list(schema["properties"]) == keys
    assert {"kind", "normalization", "batch_norm"} <= set(schema["$defs"]["MLP"]["properties"])


def test_init_writes_a_config_that_is_the_default_one_and_never_overwrites(in_process, tmp_path):
    code, out, _ = in_process("init")
    assert (code, out) == (0, "wrote config.yaml; now: gradlab run config.yaml\n")
    assert load_config(tmp_path / "config.yaml").model_dump(exclude={"name"}) == load_config({}).model_dump(
        exclude={"name"}
    )
    code, _, err = in_process("init")
    assert (code, err.splitlines()[0]) == (2, "Error: config.yaml exists already")
    assert in_process("init", "-")[1] == starter()
    for part in (Config, choices.MLP, choices.Digits, TrainConfig, RecordConfig):
        keys = [key for key, field in part.model_fields.items() if not field.exclude]
        assert all(f" {key}:" in starter().replace("\n", " ") for key in keys)
    assert in_process("init", "nowhere/x.yaml")[0] == 2


def test_predict_says_what_theory_says_without_torch(in_process, tmp_path):
    (tmp_path / "x.yaml").write_text("model: {depth: 30, activation: sigmoid, initializer: glorot_uniform}")
    done = gradlab("predict", "x.yaml", "model.depth=20", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "δ ÷ 4.2 per layer toward the input (-0.628 decades)" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    code, out, _ = in_process("predict", "x.yaml", "--json")
    assert (code, len(json.loads(out)["layers"])) == (0, 30)
    assert in_process("predict", "x.yaml", "model.depth=0")[0] == 2
    assert files(tmp_path) == ["x.yaml"]
    command = "import sys; from gradlab.cli import app; app(['predict', 'x.yaml'], standalone_mode=False)"
    check = f"{command}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_compare_puts_finished_runs_side_by_side(in_process, tmp_path):
    write_sweep(tmp_path / "runs")
    code, out, _ = in_process("compare")
    assert code == 0
    assert out.startswith("20 runs in 4 configurations; mean ± 95 % interval (t) over seeds\n")
    assert max(map(len, out.partition("not compared")[0].splitlines())) <= 80
    code, out, err = in_process(
        "compare", "runs", "--format", "csv", "--where", "model.depth > 5", "--sort", "-test_loss"
    )
    assert (code, len(out.splitlines())) == (0, 3)
    assert "not compared: 1 failed, 2 interrupted" in err
    code, out, _ = in_process("compare", "--format", "json", "--group-by", "model.depth, model.activation")
    assert (code, [row["n"] for row in json.loads(out)["rows"]]) == (0, [5, 5, 5, 5])
    code, out, err = in_process("compare", "--columns", "model.depth,verdict", "--plot", "pictures/all.svg")
    assert (code, err) == (0, "drew pictures/all.svg\n")
    assert (tmp_path / "pictures" / "all.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no run nowhere"),
        (["empty"], "there are no runs in empty"),
        (["runs", "--sort", "accuracy"], "did you mean 'test_accuracy'"),
        (["runs", "--columns", "verdikt"], "did you mean 'verdict'"),
        (["runs", "--group-by", "model.deep"], "did you mean 'model.depth'"),
        (["runs", "--where", "model.depth >"], "is not an expression"),
        (["runs", "--where", "open('x')"], "is more than an expression may say"),
        (["runs", "--plot", "x.doc"], ".png, .svg, .pdf"),
    ],
)
def test_what_compare_cannot_do_is_one_message(in_process, tmp_path, arguments, message):
    write_sweep(tmp_path / "runs")
    (tmp_path / "empty").mkdir()
    before = files(tmp_path)
    code, out, err = in_process("compare", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert files(tmp_path) == before


def test_export_writes_a_run_for_other_programs(in_process, tmp_path):
    (tmp_path / "x.yaml").write_text(SMALL)
    in_process("run", "x.yaml", "--no-plots")
    (path,) = run_folder.find_runs(tmp_path / "runs")
    code, out, _ = in_process("export", path, "--to", "csv")
    assert (code, out.splitlines()[0]) == (0, f"wrote {path}/export/csv")
    assert (path / "export" / "csv" / "layers.csv").read_text().startswith("step,layer,module,kind,calls")
    assert in_process("export", tmp_path / "nowhere", "--to", "csv")[0] == 2
    assert in_process("export", path, "--to", "excel")[0] == 2


def test_show_takes_the_newest_run_a_name_or_an_id(in_process, tmp_path):
    first = write_run(tmp_path / "runs", name="first", config={"seed": 7})
    second = write_run(tmp_path / "runs", name="second")
    os.utime(first / "summary.json", (1e9, 1e9))
    for arguments, shown in [((), second), (("first",), first), ((first.name[-12:-6],), first), (("runs",), second)]:
        code, out, err = in_process("show", *arguments)
        assert (code, out.splitlines()[-1], err) == (0, str(shown.relative_to(tmp_path)), "")
    code, out, err = in_process("show", "frist")
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "Error: there is no run frist"
    assert err.splitlines()[1].startswith(f"Runs there are: runs/{first.name}")
    code, out, _ = in_process("compare", "first", "second")
    assert (code, out.splitlines()[0]) == (0, "2 runs in 1 configuration; mean ± 95 % interval (t) over seeds")


def test_of_several_runs_of_a_name_the_newest_is_shown_and_that_is_said(in_process, tmp_path):
    older = write_run(tmp_path / "runs", config={"seed": 1})
    newer = write_run(tmp_path / "runs", config={"seed": 2})
    os.utime(older / "summary.json", (1e9, 1e9))
    code, _, err = in_process("show", "made-up")
    assert (code, err) == (0, f"runs/{newer.name}, the newest of 2 runs\n")


def test_short_keys_are_told_on_the_error_stream(in_process, tmp_path):
    (tmp_path / "x.yaml").write_text(SMALL)
    code, out, err = in_process("predict", "x.yaml", "depth=3", "--json")
    assert (code, err) == (0, "depth is model.depth\n")
    assert json.loads(out)["config"]["model"]["depth"] == 3


def test_help_is_a_command_too(in_process):
    code, out, _ = in_process("help", "run")
    assert code == 0
    assert "Usage: gradlab run [OPTIONS] {CONFIG}" in out
    assert "Usage: gradlab [OPTIONS] COMMAND" in in_process("help")[1]
    code, _, err = in_process("help", "rn")
    assert code == 2
    assert "Did you mean 'run'?" in err


@pytest.mark.parametrize(
    "command", [[], ["run"], ["predict"], ["sweep"], ["compare"], ["export"], ["show"], ["report"], ["delete"]]
)
def test_help(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    out = CliRunner().invoke(app, [*command, "--help"], color=False).output
    lines = [line.rstrip() for line in out.splitlines()]
    golden = GOLDEN / f"help{'-'.join(['', *command])}.txt"
    assert "\n".join(lines).strip() + "\n" == golden.read_text(), f"if this is meant, write it to {golden}"
    assert max(map(len, lines)) <= 80
    named = {option for line in lines for option in line.split() if option.startswith("--")}
    info = app.registered_commands
    callbacks = {"run": 8, "predict": 2, "sweep": 6, "compare": 6, "export": 3, "show": 3, "report": 2, "delete": 3}
    if command:
        assert len(named) >= callbacks[command[0]] - 1
    else:
        assert all((cmd.name or cmd.callback.__name__) in out for cmd in info)


@pytest.mark.parametrize(
    "command", ["--help", "--version", "list activations", "list rules", "schema", "init -", "compare runs"]
)
def test_what_does_not_train_does_not_import_torch(command, tmp_path):
    write_run(tmp_path / "runs")
    code = (
        "import sys, gradlab.cli\n"
        f"sys.argv = ['gradlab', *{command.split()!r}]\n"
        "try: gradlab.cli.main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        "heavy = {'torch', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)
