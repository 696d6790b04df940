"""One place to add each thing: a copy of the package gets made-up ones, and every command and view meets them.

Each addition is the touches that CONTRIBUTING.md names, and no other: a list of files, and what is put where in them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

PACKAGE = Path(__file__).parents[1] / "gradlab"
CONFIG = """\
name: made-up
model: {depth: 3, width: 8, activation: hard_swish, initializer: tripled}
data: {name: wine, batch_size: 32}
train: {steps: 60}
"""

# file: (text that is there, what comes before it)
ACTIVATION = {
    "choices/activations.py": (
        "ACTIVATIONS: Mapping",
        '''
class HardSwish(Activation):
    """h · relu6(h + 3) / 6: a cheap SiLU (Howard et al. 2019)."""

    name: Literal["hard_swish"] = "hard_swish"
    traits = Traits(torch_module="Hardswish", torch_functions=("hardswish",), half_stable=True)


class Bump(Activation):
    """exp(−h²/2): nobody has it, `torch.nn` neither."""

    name: Literal["bump"] = "bump"
    traits = Traits(bounded=True, zero_centred=False)


''',
    ),
    "choices/activations.py#2": ("    PythonActivation,\n)", "    HardSwish,\n    Bump,\n"),
    "networks/activations.py": (
        "_FUNCTIONS: Mapping",
        """
def _hard_swish(_: Any) -> ActivationFunction:
    def derivative(h: Array) -> Array:
        return np.where(h <= -3, 0.0, np.where(h >= 3, 1.0, h / 3 + 0.5))

    return _bent(lambda h: h * np.clip(h + 3, 0, 6) / 6, derivative)


def _bump(_: Any) -> ActivationFunction:
    return ActivationFunction(lambda h: np.exp(-(h**2) / 2), lambda h: -h * np.exp(-(h**2) / 2))


""",
    ),
    "networks/activations.py#2": ('    "mish": _mish,\n', '    "hard_swish": _hard_swish,\n    "bump": _bump,\n'),
}
INITIALIZER = {
    "choices/initializers.py": (
        "INITIALIZERS",
        '''
class Tripled(Choice):
    """Normal, Var W = 3/fan_in."""

    name: Literal["tripled"] = "tripled"


''',
    ),
    "choices/initializers.py#2": ("    PythonInitializer,\n)", "    Tripled,\n"),
    "networks/initializers.py": (
        '    "lsuv": (',
        '    "tripled": (lambda choice, shape: 3 / shape.fan_in, _normal),\n',
    ),
}
RULE = {
    "diagnosis/updates.py": (
        "def updates_too_small(",
        '''def any_update(tables: Tables) -> Answer:
    """Some weights moved: a rule that fires for every training."""
    median_L = _medians(_ratios(tables))
    if np.isnan(median_L).all():
        return NotApplicable("no update was recorded")
    return [Finding("any-update", "info", f"{np.count_nonzero(median_L)} layers moved")]


''',
    ),
    "diagnosis/rules.py": (
        '            Rule(\n                "off-theory",',
        '            Rule("any-update", "info", "some weights moved", ("nobody",), any_update),\n',
    ),
    "diagnosis/rules.py#2": (
        "from gradlab.diagnosis.updates import",
        "from gradlab.diagnosis.updates import any_update\n",
    ),
}
PICTURE = {
    "views/pictures/training.py": (
        "def training(figure",
        '''def loss_alone(figure: Figure, run: Tables) -> None:
    """Loss over time, and nothing else."""
    loss(figure.subplots(), run)


''',
    ),
    "views/pictures/__init__.py": ("PICTURES: Mapping", "from gradlab.views.pictures.training import loss_alone\n\n"),
    "views/pictures/__init__.py#2": ('    "overview": (', '    "loss_alone": (loss_alone, 3.0),\n'),
}
STATISTIC = {
    "statistics.py": (
        '    "zero_fraction": Statistic(',
        """    "activation_range": Statistic(
        lambda maximum, minimum: maximum - minimum, "range of activations", "Largest entry minus smallest.", log=True
    ),
""",
    ),
}
EXPORT = {
    "views/export/csv.py": (
        "def write_csv(",
        '''def write_steps(run: Tables, folder: Path) -> Path:
    """Only the numbers of the steps."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "steps.txt").write_text("\\n".join(map(str, run.steps["step"])))
    return folder


''',
    ),
    "views/export/__init__.py": (
        '    "csv": "gradlab',
        '    "steps": "gradlab.views.export.csv:write_steps",\n',
    ),
}


def add(package, touches):
    """Put each text before the one that is there."""
    for file, (there, new) in touches.items():
        path = package / file.partition("#")[0]
        text = path.read_text(encoding="utf-8")
        assert text.count(there) == 1, f"{there!r} in {file}"
        path.write_text(text.replace(there, new + there), encoding="utf-8")


@pytest.fixture(scope="module")
def gradlab(tmp_path_factory):
    """Runs `gradlab` of a copy of the package that has all the additions."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, root / "gradlab", ignore=shutil.ignore_patterns("__pycache__"))
    for touches in (ACTIVATION, INITIALIZER, STATISTIC, RULE, PICTURE, EXPORT):
        add(root / "gradlab", touches)
    (root / "config.yaml").write_text(CONFIG)

    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"}
        command = [sys.executable, "-m", "gradlab", *arguments]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.root = root
    return run


@pytest.fixture(scope="module")
def trained(gradlab):
    """The folder and the summary of a run with the made-up activation and initializer."""
    summary = json.loads(gradlab("run", "config.yaml", "--json"))
    return gradlab.root / "runs" / f"made-up-{summary['id']}", summary


def test_run_trains_diagnoses_and_draws(trained):
    path, summary = trained
    assert summary["status"] == "completed"
    assert "any-update" in [finding["rule"] for finding in summary["findings"]]
    assert (path / "plots" / "loss_alone.png").stat().st_size > 1000


def test_theory_predicts_an_activation_and_an_initializer_that_it_has_never_heard_of(gradlab):
    predicted = json.loads(gradlab("predict", "config.yaml", "--json"))
    assert predicted["not_covered"] is None
    assert len(predicted["layers"]) == 3
    assert predicted["decades_per_layer"] is not None
    near_two = gradlab("predict", "config.yaml", "model.initializer=he_normal", "model.width=64", "--json")
    assert any("half-stable" in caveat for caveat in json.loads(near_two)["caveats"]), "the trait"


def test_an_activation_that_torch_does_not_have_trains_and_is_on_its_theory(gradlab):
    summary = json.loads(gradlab("run", "config.yaml", "model.activation=bump", "model.width=200", "--json"))
    assert summary["status"] == "completed"
    assert "off-theory" not in [finding["rule"] for finding in summary["findings"]]


def test_a_statistic_is_a_column_of_every_row_that_has_an_output(gradlab, trained):
    path, _ = trained
    layers = pl.concat(pl.read_parquet(part) for part in sorted((path / "layers").glob("*.parquet")))
    assert layers["activation_range"].null_count() == 0
    expected = layers["activation_max"] - layers["activation_min"]
    assert (layers["activation_range"] - expected).abs().max() == 0
    gradlab("export", str(path), "--to", "csv")
    assert "activation_range" in (path / "export" / "csv" / "layers.csv").read_text().splitlines()[0]


def test_lists_and_the_schema_have_them(gradlab):
    assert "hard_swish" in gradlab("list", "activations")
    assert "tripled" in gradlab("list", "initializers")
    assert "any-update" in gradlab("list", "rules")
    schema = gradlab("schema")
    assert '"hard_swish"' in schema
    assert '"tripled"' in schema


def test_show_compare_and_export_have_them(gradlab, trained):
    path, summary = trained
    assert "any-update" in gradlab("show", str(path))
    gradlab("run", "config.yaml", "model.activation=relu", "--no-plots", "--quiet")
    table = gradlab("compare", "runs", "--format", "markdown")
    assert "hard_swish" in table
    assert "relu" in table
    gradlab("export", str(path), "--to", "steps")
    assert (path / "export" / "steps" / "steps.txt").read_text().count("\n") == summary["steps"] - 1


def test_a_watched_model_with_it_is_recognized(gradlab):
    code = """
import torch, gradlab
from torch.nn import functional
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.act, self.two = torch.nn.Linear(6, 8), torch.nn.Hardswish(), torch.nn.Linear(8, 8)
    def forward(self, x):
        return functional.hardswish(self.two(self.act(self.one(x))))
model = Net()
optimizer = torch.optim.SGD(model.parameters(), 0.1)
with gradlab.watch(model, optimizer) as recorder:
    model(torch.randn(64, 6)).square().mean().backward()
    optimizer.step()
rows = recorder.rows().filter(kind="activation")
assert rows["module"].to_list() == ["act", ":hardswish"], rows
assert rows["saturated_fraction"].null_count() == 0, rows
"""
    environment = {**os.environ, "PYTHONPATH": str(gradlab.root)}
    subprocess.run([sys.executable, "-c", code], cwd=gradlab.root, env=environment, check=True)
